"""The simulated users: each does one thing after the other, drawn from the ordinary moments of a chat.

A user creates conversations and writes at once, opens direct conversations at the same time as the other side, adds, removes
and adds again, leaves conversations, writes on any device or by REST, reads, types, is away for times around the grace period,
loses a device to a crash, reads on another one, and logs out everywhere. The history has each request and its acknowledgement.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from holdfast.domain.conversations import direct_id
from holdfast.domain.ids import UserId
from holdfast.drills.calls import Answer
from simulation import rest
from simulation.context import AWAY, Context
from simulation.devices import KINDS, Device
from simulation.rooms import Rooms

_TOO_EARLY_SECONDS: Final = (
    12.0  # a token from right after a revocation is accepted that much later: twice the leeway would be safe
)
_CLOSED_SECONDS: Final = 1.0  # instances have closed the user's connections by then
_LAG_SECONDS: Final = 0.03  # between what happens at the same time
_MAX_DEVICES: Final = 3
_FOR_GOOD_SECONDS: Final = 100_000.0  # longer than any run


class People:
    """All users of one run. `start` once; `devices`: of all users, by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.rooms = Rooms(context.history)
        self.users = [f"u{number}" for number in range(1, context.size.users + 1)]
        self.persons = {user: Person(context, self, user, number) for number, user in enumerate(self.users)}

    @property
    def devices(self) -> list[Device]:
        """Of all users, in the order of their making."""
        return [device for person in self.persons.values() for device in person.devices]

    def start(self) -> None:
        """Every user connects and begins to act."""
        for person in self.persons.values():
            person.start()

    def stop(self) -> None:
        """All users and devices stand still for good: what is seen now, the store has."""
        for person in self.persons.values():
            person.freeze()


class Person:
    """One user. `devices`: in the order of their making."""

    def __init__(self, context: Context, people: People, user: str, number: int) -> None:
        self._context = context
        self._people = people
        self._rooms = people.rooms
        self._number = number
        self.user = user
        self.devices: list[Device] = []
        self._rng = context.randomness(f"person-{user}")
        self._process = context.loop.process(user)
        self._may_sign_in = asyncio.Event()  # cleared while new tokens are refused, after a log-out
        self._may_sign_in.set()
        self._acts: list[tuple[float, Callable[[random.Random], Awaitable[None]]]] = [
            (60, self._say),
            (8, self._say_by_rest),
            (7, self._create),
            (3, self._direct),
            (7, self._add),
            (4, self._remove),
            (4, self._return),
            (1, self._leave_conversation),
            (3, self._type),
            (2, self._crash),
            (2, self._another_device),
            (0.4, self._log_out),
            (100 * context.size.leaving, self._leave_device),
            (50 * context.size.leaving, self._be_away),
        ]

    def start(self) -> None:
        """Connect, then act until the run is over."""
        self._add_device(KINDS[self._rng.randrange(len(KINDS))] if self._number else "client")
        if self._number % 3 == 0:
            self._add_device("raw" if self.devices[0].kind == "client" else "client")
        self._process.spawn(self._live())

    def freeze(self) -> None:
        """The user and all devices stand still."""
        for process in (self._process, *(device.process for device in self.devices)):
            if process is not None:
                process.freeze()

    async def _live(self) -> None:
        await asyncio.sleep(1 + self._rng.random() * 2)
        weights, acts = zip(*self._acts, strict=True)
        while not self._context.is_stopping:
            await asyncio.sleep(self._rng.expovariate(1 / self._context.size.pause_seconds))
            (act,) = self._rng.choices(acts, weights)
            if not self._context.has_stopped():
                await act(self._rng)

    # --- writing --------------------------------------------------------------------------------------------------------

    async def _say(self, rng: random.Random) -> None:
        mine = self._rooms.of(self.user)
        if not mine:
            return await self._create(rng)
        self.write(rng.choice(mine), rng)
        return None

    def write(self, conversation: str, rng: random.Random) -> None:
        """Say something now, on any device that is there."""
        ready = [device for device in self.devices if device.is_on]
        if ready and self.user in self._rooms.members.get(conversation, ()) and not self._context.is_stopping:
            number = next(self._context.numbers)
            self._context.aims.note("send", self.user)
            rng.choice(ready).say(conversation, f"{self.user} says {number}", f"k{number}")

    async def _say_by_rest(self, rng: random.Random) -> None:
        mine = self._rooms.of(self.user)
        if mine:
            await self._post(rng.choice(mine), rng)

    async def _post(self, conversation: str, rng: random.Random) -> None:
        number = next(self._context.numbers)
        key, body = f"k{number}", f"{self.user} says {number} by REST"
        device = self._context.history.device(f"{self.user}-rest", self.user)
        device.record("send", conversation=conversation, key=key, body=body, name="rest")
        content = {"client_message_id": key, "body": body}
        answer = await self._insist(rng, "POST", f"/api/conversations/{conversation}/messages", content)
        if answer.is_success:
            told = answer.content
            device.record("ack", conversation=conversation, key=key, seq=told["seq"], duplicate=told["duplicate"])
        elif answer.status > 0 and answer.content.get("outcome") != "unknown":
            device.record("refused", conversation=conversation, key=key, code=answer.code)

    async def _write_at_once(self, conversation: str, rng: random.Random) -> None:
        """In the moment after a change: by socket or by REST, perhaps both."""
        for _ in range(rng.randint(0, 2)):
            if rng.random() < 0.7:
                self.write(conversation, rng)
            else:
                await self._post(conversation, rng)

    def _others_write(self, conversation: str, rng: random.Random) -> None:
        others = [user for user in self._rooms.members.get(conversation, ()) if user not in (self.user, AWAY)]
        for user in rng.sample(others, min(2, len(others))):
            self._people.persons[user].write(conversation, rng)

    async def _type(self, rng: random.Random) -> None:
        mine, ready = self._rooms.of(self.user), [device for device in self.devices if device.is_on]
        if mine and ready:
            rng.choice(ready).type_in(rng.choice(mine))

    # --- conversations and members --------------------------------------------------------------------------------------

    async def _create(self, rng: random.Random) -> None:
        if len(self._rooms.creators) >= self._context.size.conversations:
            return
        conversation = f"c{len(self._rooms.creators)}"
        self._rooms.creators[conversation] = self.user
        others = [user for user in self._people.users if user != self.user]
        members = [self.user, *rng.sample(others, rng.randint(1, len(others))), *([AWAY] if rng.random() < 0.5 else [])]
        body = {"conversation_id": conversation, "members": members, "title": conversation}
        with self._rooms.changing(conversation, *members, present=True) as acknowledged:
            answer = await self._insist(rng, "POST", "/api/conversations", body)
            if answer.is_success or answer.code == "conversation_exists":
                acknowledged()
                self._context.aims.note("creation", self.user)
        await self._write_at_once(conversation, rng)
        self._others_write(conversation, rng)

    async def _direct(self, rng: random.Random) -> None:
        """Both sides open it at the same time, and write at once."""
        other = rng.choice([user for user in self._people.users if user != self.user])
        conversation = direct_id(UserId(self.user), UserId(other))
        if conversation in self._rooms.creators:
            return
        self._rooms.creators[conversation] = self.user
        with self._rooms.changing(conversation, self.user, other, present=True) as acknowledged:

            async def open_it(person: "Person", with_whom: str) -> None:
                await asyncio.sleep(rng.random() * _LAG_SECONDS)
                answer = await person._insist(rng, "PUT", f"/api/conversations/direct/{with_whom}")
                if answer.is_success:
                    acknowledged()
                    person.write(conversation, rng)

            await asyncio.gather(open_it(self, other), open_it(self._people.persons[other], self.user))

    async def _add(self, rng: random.Random) -> None:
        found = self._a_conversation(rng)
        absent = [user for user in self._people.users if found and self._is_free(found, user, present=False)]
        if found and absent:
            await self._put(found, rng.choice(absent), rng)

    async def _put(self, conversation: str, user: str, rng: random.Random) -> bool:
        """Others write meanwhile, and everybody right after."""
        with self._rooms.changing(conversation, user, present=True) as acknowledged:
            self._others_write(conversation, rng)
            answer = await self._insist(rng, "PUT", f"/api/conversations/{conversation}/members/{user}")
            if answer.is_success:
                acknowledged()
                self._context.aims.note("addition", user)
        if answer.is_success:
            self.write(conversation, rng)
            self._people.persons[user].write(conversation, rng)
            self._others_write(conversation, rng)
        return answer.is_success

    async def _remove(self, rng: random.Random) -> None:
        await self._take_out(rng)

    async def _return(self, rng: random.Random) -> None:
        """Removed and added again; in between others write."""
        if (removed := await self._take_out(rng)) is not None:
            await asyncio.sleep(rng.choice([0.0, 0.2, 3.0]))
            await self._put(*removed, rng)

    async def _take_out(self, rng: random.Random) -> tuple[str, str] | None:
        conversation = self._a_conversation(rng)
        if conversation is None or self._rooms.creators[conversation] != self.user:
            return None
        members = [user for user in self._people.users if user != self.user and self._is_free(conversation, user, present=True)]
        if len(members) < 2:
            return None
        user = rng.choice(members)
        return (conversation, user) if await self._delete(conversation, user, rng) else None

    async def _delete(self, conversation: str, user: str, rng: random.Random) -> bool:
        with self._rooms.changing(conversation, user, present=False) as acknowledged:
            self._others_write(conversation, rng)
            answer = await self._insist(rng, "DELETE", f"/api/conversations/{conversation}/members/{user}")
            if answer.is_success:
                acknowledged()
        self._others_write(conversation, rng)
        return answer.is_success

    async def _leave_conversation(self, rng: random.Random) -> None:
        conversation = self._a_conversation(rng)
        if conversation is None or self._rooms.creators[conversation] == self.user:
            return
        if self._is_free(conversation, self.user, present=True):
            await self._delete(conversation, self.user, rng)

    def _a_conversation(self, rng: random.Random) -> str | None:
        """One of the user's, that is none of two users alone."""
        mine = [each for each in self._rooms.of(self.user) if not each.startswith("direct-")]
        return rng.choice(mine) if mine else None

    def _is_free(self, conversation: str, user: str, *, present: bool) -> bool:
        """Whether the user is surely a member, or surely none, and no change of that is under way."""
        is_member = user in self._rooms.members.get(conversation, ())
        return is_member is present and not self._rooms.is_open(conversation, user)

    # --- coming and going -----------------------------------------------------------------------------------------------

    def _add_device(self, kind: str) -> Device:
        device = Device(self._context, self.user, f"{self.user}-{len(self.devices) + 1}", kind)
        if self.devices:
            device.cursors = None if self._rng.random() < 0.3 else {}
        self.devices.append(device)
        device.start(self._number + len(self.devices))
        return device

    def _away_for(self, rng: random.Random) -> float:
        grace = self._context.size.grace_seconds
        return rng.choice([0.2, 5.0, grace - 1.5, grace + 2.0, grace + 9.0, 2.5 * grace])

    async def _leave_device(self, rng: random.Random) -> None:
        """One device leaves and comes back; the user goes on with the others."""
        ready = [device for device in self.devices if device.is_on]
        if ready:
            self._spawn(self._absence([rng.choice(ready)], self._away_for(rng), rng.randrange(100)))

    async def _be_away(self, rng: random.Random) -> None:
        """All devices leave at about the same time; the user does nothing until they are back."""
        ready = [device for device in self.devices if device.is_on]
        if ready:
            gone = self._context.size.gone
            seconds = _FOR_GOOD_SECONDS if gone and rng.random() < gone else self._away_for(rng)
            await self._absence(ready, seconds, rng.randrange(100))

    async def _absence(self, devices: list[Device], seconds: float, first: int) -> None:
        for device in devices:
            device.is_busy = True
        for device in devices:
            await device.close()
        if not any(device.is_on for device in self.devices):
            self._context.history.record("left", user=self.user)
            self._context.aims.note("absence", self.user)
        self._context.aims.note("departure", self.user)
        await asyncio.sleep(seconds)
        for device in devices:
            await self._come_back(device, first)

    async def _crash(self, rng: random.Random) -> None:
        """A device ends in the middle of whatever it did, and begins anew with its saved cursors."""
        ready = [device for device in self.devices if device.is_on]
        if ready:
            device = rng.choice(ready)
            device.is_busy = True
            device.crash()
            self._context.aims.note("departure", self.user)
            self._spawn(self._restart(device, rng.choice([0.1, 1.0, 6.0]), rng.randrange(100)))

    async def _restart(self, device: Device, seconds: float, first: int) -> None:
        await asyncio.sleep(seconds)
        await self._come_back(device, first)

    async def _come_back(self, device: Device, first: int) -> None:
        await self._may_sign_in.wait()
        device.is_busy = False
        device.start(first)

    async def _another_device(self, rng: random.Random) -> None:
        if len(self.devices) < _MAX_DEVICES:
            self._add_device(rng.choice(KINDS))

    async def _log_out(self, rng: random.Random) -> None:
        """Everywhere; after that the user signs in again on all devices, also on those that were away.

        A device without a connection gives up what it tries: its tokens would be refused for as long.
        """
        self._may_sign_in.clear()
        await self._call(rng, "DELETE", "/api/connections")  # without an answer it may have been done all the same
        await asyncio.sleep(_CLOSED_SECONDS)
        for device in [each for each in self.devices if each.is_on and not each.watched.open]:
            device.is_busy = True
            await device.close()
            self._spawn(self._come_back(device, rng.randrange(100)))
        await asyncio.sleep(_TOO_EARLY_SECONDS)
        self._may_sign_in.set()
        for device in self.devices:
            if device.is_over and not device.is_busy:
                device.start(rng.randrange(100))

    # --- REST -----------------------------------------------------------------------------------------------------------

    async def _insist(self, rng: random.Random, method: str, path: str, body: object = None) -> Answer:
        """With a token that is accepted: others let a user who has just logged out open a direct conversation, too."""
        await self._may_sign_in.wait()
        return await self._call(rng, method, path, body)

    async def _call(self, rng: random.Random, method: str, path: str, body: object = None) -> Answer:
        urls, was_member = self._context.urls(), self._is_surely_in(path)
        rng.shuffle(urls)
        answer = await rest.insist(urls, lambda: self._context.token(self.user), method, path, body)
        is_unknown = answer.code == "conversation_not_found" and was_member and self._is_surely_in(path)
        is_refused = answer.status == -1 and self._may_sign_in.is_set()  # else the user has logged out meanwhile
        if is_refused or is_unknown:
            self._context.history.record("unserved", user=self.user, code=f"{method} {path}: {answer.code or 'no answer'}")
        return answer

    def _is_surely_in(self, path: str) -> bool:
        conversation = path.removeprefix("/api/conversations/").partition("/")[0]
        return conversation in self._rooms.creators and self._is_free(conversation, self.user, present=True)

    def _spawn(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            await work

        self._process.spawn(run())
