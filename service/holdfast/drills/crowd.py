"""The simulated users of a drill: each has a client that goes on chatting during the failure. The history records all that they
see.

One user is away from the beginning (`AWAY`), users leave and come back when told, one can be removed from a conversation.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from holdfast.client import Client, ClientStopped, Message, SendFailed
from holdfast.drills.calls import Calls
from holdfast.drills.history import History
from holdfast.launcher.waiting import TargetFailed
from holdfast.waiting import is_set_within

AWAY: Final = "away"
_MEMBERS: Final = 6
_HOT_MEMBERS: Final = 30
_MAX_PENDING: Final = 5  # of one user without an answer; more would only wait in a queue of the client's
_READ_SHARE: Final = 0.05
_ANSWER_SECONDS: Final = 60.0
_LEAVE_SECONDS: Final = 5.0  # that a client waits for the answers to its sends before it is closed
_GUESTS: Final = 5
_GUEST_PAUSE_SECONDS: Final = 0.3
_CLIENTS: Final = 30
_RATE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many, and how busy. `rate`: messages a second, all users together."""

    clients: int
    rate: float

    @classmethod
    def of(cls, *wishes: "tuple[int | None, float | None]") -> Self:
        """The first wish that says how many, the first that says how busy."""
        clients = next((clients for clients, _ in wishes if clients), _CLIENTS)
        return cls(clients, next((rate for _, rate in wishes if rate), _RATE))


class Crowd:
    """`start`, `stop`, `close`.

    Attributes:
        conversations: id -> members, the creator first.
        usual: those that are there from the beginning, in which everybody talks; the others came later.
        past: id -> everyone who was or may have been a member at any time.
        heard: user -> conversation -> the last message of another user that the user's own client showed.
        tag: in the names of all users and conversations.
    """

    def __init__(
        self,
        urls: Callable[[], Sequence[str]],
        token: Callable[[str], str],
        history: History,
        size: Size,
        seed: int,
        tag: str = "",
    ) -> None:
        """`urls`: of the instances, in any order; asked once per client. `tag`: in all names, where earlier crowds have been."""
        self._urls = urls
        self._token = token
        self.tag = tag
        self._history = history
        self._size = size
        self._random = random.Random(seed)
        self.users = [f"user-{tag}{number}" for number in range(1, size.clients + 1)]
        self.conversations: dict[str, list[str]] = {}
        self.usual: list[str] = []
        self.past: dict[str, dict[str, None]] = {}
        self.heard: dict[str, dict[str, Message]] = {}
        self.clients: dict[str, Client] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._pending: dict[str, set[asyncio.Task[Any]]] = {user: set() for user in self.users}
        self._may_talk = asyncio.Event()
        self._is_stopping = asyncio.Event()
        self._numbers = itertools.count(1)
        self._generations: dict[str, str] = {}  # of the store, of users who have left
        self.calls = Calls(urls)

    async def start(self) -> None:
        """Make the conversations, connect everybody, begin to talk.

        Raises:
            TargetFailed: it does not work even before anything is broken.
        """
        await self._make_conversations()
        self.usual = list(self.conversations)
        for number, user in enumerate(self.users):
            for conversation in self._usual_of(user):
                self._history.record("start", device=f"{user}-1", user=user, conversation=conversation, seq=0)
            self._connect(user, number, {})
        try:
            async with asyncio.timeout(30 + len(self.users) / 20):
                await asyncio.gather(*(client.connected() for client in self.clients.values()))
        except TimeoutError:
            raise TargetFailed("not every client is connected in time") from None
        self._may_talk.set()

    @contextlib.asynccontextmanager
    async def guest(self, user: str, urls: Sequence[str] = ()) -> AsyncIterator[Client]:
        """One more device of a user: it receives new messages, sends none by itself, and leaves with the context."""
        device = self._history.device(f"{user}-guest-{next(self._numbers)}", user)
        client = Client(list(urls or self._urls()), self._token(user), observer=device, name="holdfast-drill")
        async with listening(client):
            yield client

    async def talk_at(self, url: str, seconds: float) -> None:
        """Some have one more device at that instance for so long, and talk by it."""
        loop = asyncio.get_running_loop()
        users = list(self.clients)[:_GUESTS]
        async with contextlib.AsyncExitStack() as stack:
            guests = [await stack.enter_async_context(self.guest(user, [url])) for user in users]
            async with asyncio.timeout(_ANSWER_SECONDS):
                await asyncio.gather(*(guest.connected() for guest in guests))
            until = loop.time() + seconds
            while loop.time() < until:
                for user, guest in zip(users, guests, strict=True):
                    mine = [conversation for conversation, members in self.conversations.items() if user in members]
                    self.say(user, self._random.choice(mine), guest)
                await asyncio.sleep(_GUEST_PAUSE_SECONDS)
            await self.answered(*users)

    async def lose_one(self) -> None:
        """A client is closed and does not come back; half of them stay, however often this is asked."""
        if 2 * len(self.clients) > len(self.users):
            await self.leave(next(iter(self.clients)))

    async def leave(self, user: str) -> dict[str, int] | None:
        """The user's client is closed; its cursors, None where it was gone already."""
        client = self.clients.pop(user, None)
        if client is None:
            return None
        living, talking = self._tasks.pop(user)
        talking.cancel()
        if pending := list(self._pending[user]):
            await asyncio.wait(pending, timeout=_LEAVE_SECONDS)
        living.cancel()
        await asyncio.gather(living, talking, return_exceptions=True)
        await client.close()
        self._history.record("left", user=user)
        self._generations[user] = client.generation
        return client.cursors

    def come_back(self, user: str, cursors: dict[str, int]) -> Client:
        """The user's client is opened again, at any instance, with these cursors."""
        return self._connect(user, next(self._numbers), cursors)

    async def open_conversation(self, conversation: str, members: list[str]) -> None:
        """One more conversation, created by the first of its members. Users who already send elsewhere do not send in it."""
        body = {"conversation_id": conversation, "members": members, "title": conversation}
        with self.changing(conversation, *members, present=True) as acknowledged:
            await self.call(self._token(members[0]), "POST", "/api/conversations", body)
            acknowledged()

    async def remove(self, user: str, conversation: str) -> None:
        """Take the user out of a conversation, by its creator."""
        creator = self.conversations[conversation][0]
        with self.changing(conversation, user, present=False) as acknowledged:
            await self.call(self._token(creator), "DELETE", f"/api/conversations/{conversation}/members/{user}")
            acknowledged()

    @contextlib.contextmanager
    def changing(self, conversation: str, *users: str, present: bool) -> Iterator[Callable[[], None]]:
        """While it is entered these users' memberships change; call what this gives, once or more, when that is acknowledged.

        Users talk in a conversation while they are surely its members.
        """
        for user in users:
            self._history.record("asking", conversation=conversation, user=user, present=present)
            self.past.setdefault(conversation, {})[user] = None
            if not present:
                self.conversations[conversation].remove(user)
        asked = list(users)

        def acknowledged() -> None:
            members = self.conversations.setdefault(conversation, [])
            for user in asked:
                self._history.record("member", conversation=conversation, user=user, present=present)
                if present:
                    members.append(user)
            asked.clear()

        yield acknowledged

    async def stop(self) -> None:
        """No user sends any more; sends under way are answered, or given up after a minute."""
        self._is_stopping.set()
        await self.answered(*self._pending)

    async def answered(self, *users: str) -> None:
        """What these users said is answered, or given up after a minute."""
        pending = {task for user in users for task in self._pending.get(user, ())}
        if pending:
            await asyncio.wait(pending, timeout=_ANSWER_SECONDS)

    async def close(self) -> None:
        """Everybody leaves."""
        self._is_stopping.set()
        await asyncio.gather(*(client.close() for client in self.clients.values()), return_exceptions=True)
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.calls.close()

    def _usual_of(self, user: str) -> list[str]:
        return [conversation for conversation in self.usual if user in self.conversations[conversation]]

    def _connect(self, user: str, number: int, cursors: dict[str, int]) -> Client:
        device = self._history.device(f"{user}-1", user)
        urls = list(self._urls())
        first = number % len(urls) if urls else 0
        client = Client(
            urls[first:] + urls[:first],
            self._token(user),
            cursors=cursors,
            generation=self._generations.get(user, ""),
            observer=device,
            name="holdfast-drill",
        )
        self.clients[user] = client
        self._tasks[user] = [asyncio.create_task(self._live(user, client)), asyncio.create_task(self._talk(user, client))]
        return client

    async def _live(self, user: str, client: Client) -> None:
        with contextlib.suppress(ClientStopped):
            async with client:
                async for message in client.messages():
                    if message.sender != user:
                        self.heard.setdefault(user, {})[message.conversation_id] = message
                    if self._random.random() < _READ_SHARE:
                        self.read(user, message, client)

    async def _talk(self, user: str, client: Client) -> None:
        mine = self._usual_of(user)
        pause = len(self.users) / self._size.rate
        await self._may_talk.wait()
        while mine and not self._is_stopping.is_set():
            await is_set_within(self._is_stopping, self._random.uniform(0.3, 1.7) * pause)
            self.say(user, self._random.choice(mine), client)

    def read(self, user: str, message: Message, client: Client) -> None:
        """The user has read everything up to this message, and says so by that client."""
        if not self._is_stopping.is_set():
            self._soon(user, client.read(message.conversation_id, message.message_id))

    def say(self, user: str, conversation: str, client: Client | None = None) -> None:
        """The user says something, by their own client where none is given; not while they wait for many answers."""
        client = client or self.clients.get(user)
        if client is not None and user in self.conversations.get(conversation, ()) and not self._is_stopping.is_set():
            number = next(self._numbers)
            self._soon(user, client.send(conversation, f"{user} says {number}", client_message_id=f"k{number}"))

    def say_by_rest(self, user: str, conversation: str, url: str) -> None:
        """The same by REST, at one instance first; also of users who are no members."""
        if not self._is_stopping.is_set():
            self._soon(user, self._send_by_rest(user, conversation, url))

    async def _send_by_rest(self, user: str, conversation: str, url: str) -> None:
        number = next(self._numbers)
        key, body = f"k{number}", f"{user} says {number} by REST"
        device = self._history.device(f"{user}-rest", user)
        device.record("send", conversation=conversation, key=key, body=body, name="rest")
        try:
            answer = await self.calls.insist(
                self._token(user),
                "POST",
                f"/api/conversations/{conversation}/messages",
                {"client_message_id": key, "body": body},
                first=url,
                is_enough=lambda answer: answer.is_success or answer.is_refusal,
            )
        except TargetFailed:
            return  # whether it is stored is not known
        if answer.is_success:
            told = answer.content
            device.record("ack", conversation=conversation, key=key, seq=told["seq"], duplicate=told["duplicate"])
        else:
            device.record("refused", conversation=conversation, key=key, code=answer.code)

    def _soon(self, user: str, work: Coroutine[Any, Any, object]) -> None:
        pending = self._pending.setdefault(user, set())
        if len(pending) >= _MAX_PENDING:
            work.close()
            return
        task = asyncio.create_task(_quietly(work))
        pending.add(task)
        task.add_done_callback(pending.discard)

    async def _make_conversations(self) -> None:
        groups = [self.users[:_HOT_MEMBERS]]
        for start in range(0, len(self.users), _MEMBERS // 2):
            group = (self.users + self.users)[start : start + _MEMBERS]
            groups.append(list(dict.fromkeys(group)))
        limit = asyncio.Semaphore(16)

        async def make(number: int, members: list[str]) -> None:
            async with limit:
                await self.open_conversation(f"drill-{self.tag}{number}", [*members, AWAY])

        await asyncio.gather(*(make(number, members) for number, members in enumerate(groups)))

    async def call(self, token: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """A call of REST at any instance that answers; returns its answer, `{}` when it is empty.

        Raises: TargetFailed: no instance answers for long.
        """
        answer = await self.calls.insist(token, method, path, body, is_enough=lambda answer: answer.is_success)
        return answer.content


@contextlib.asynccontextmanager
async def listening(client: Client) -> AsyncIterator[Client]:
    """The client is there, and takes what comes."""

    async def listen() -> None:
        with contextlib.suppress(ClientStopped):
            async for _ in client.messages():
                pass

    async with client:
        task = asyncio.create_task(listen())
        try:
            yield client
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _quietly(work: Coroutine[Any, Any, object]) -> None:
    """What became of it is in the history."""
    with contextlib.suppress(SendFailed, ClientStopped):
        await work
