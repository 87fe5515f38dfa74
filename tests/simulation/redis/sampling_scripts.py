"""Holdfast's own scripts with random arguments: mostly what instances send, sometimes what garbage in Redis makes of it.

A registration, a leave or a proof is good only when Redis gave it: the sampler learns them from the replies.
"""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from holdfast.adapters.redis import scripts
from holdfast.adapters.redis.scripts import Argument, Script

Words = list[bytes]
Call = tuple[Sequence[str], Sequence[Argument]]
"""Keys and arguments."""

ALL: Final[Mapping[str, Script]] = {name: found for name, found in sorted(vars(scripts).items()) if isinstance(found, Script)}
_INSTANCES: Final = ("one", "one", "two", "three")
_USERS: Final = ("u1", "u2", "u3")
_CONVERSATIONS: Final = ("c1", "c2", "c3")
_GENERATIONS: Final = ("g1", "g1", "g1", "g2")
_LAYOUTS: Final = ("2", "3~signed")
_STAMPS: Final = ("", "stamp", "another")
_TIME: Final = "redis.call('TIME')"
_BEGINNING: Final = 1_800_000_000
_AGE_MS: Final = 3_600_000  # of all that ends: nothing does while a test runs, on whatever machine
_PASSED: Final = (0, 0, 0, 1, 1, 1, 30, 30, 1900, 4000)  # seconds; some leaves are older than half of that, some than all of it
_WEIGHTS: Final = {"ACQUIRE": 12, "LOOK": 8, "REGISTER": 8, "ENDED": 1, "REMOVED": 1, "RELEASE": 1}  # of the others: 4
_FOLLOWED: Final = 0.7


class ScriptSampler:
    """Draws calls of scripts. Redis's time is part of a script's text here, so that it is the same wherever the script runs."""

    def __init__(self, randomness: random.Random) -> None:
        self.random = randomness
        self.drawn: set[str] = set()
        self._world = "0" * 64
        self._leases: dict[str, tuple[str, str]] = {}
        self._acquiring = ""  # the instance of the last ACQUIRE
        self._acquired = ("", "")  # the epoch and the registration
        self._told = "x"
        self._following = ""  # what an instance does next
        self._is_filling = False
        self._looked = ("member:u1", "g1", _LAYOUTS[0])
        self._shapes: Mapping[str, Callable[[], Call]] = {
            "PUBLISH_COMMIT": self._publish_commit,
            "PUBLISH_CHANGE": self._publish_change,
            "MARK_DIRTY": lambda: (("dirty",), self._marks()),
            "CLAIM_DIRTY": lambda: (("dirty",), (self._number(5000), self._number(9000), self._number(3))),
            "REPAIR": self._repair,
            "ENDED": lambda: (self._fate_keys(), (_AGE_MS,)),
            "REMOVED": lambda: (self._fate_keys(), (_AGE_MS, _AGE_MS // 2)),
            "FORGET_FOREIGN_WORLD": lambda: (("registry:world",), ()),
            "ACQUIRE": self._acquire,
            "RENEW": self._renew,
            "RELEASE": lambda: self._owned((), ()),
            "SET_REGISTERED": lambda: self._owned((), ()),
            "REGISTER": self._register,
            "UNREGISTER": self._unregister,
            "REFRESH": lambda: self._owned(("subscriptions:one", *self._connections()), (_AGE_MS,)),
            "CONNECTIONS_OF": lambda: (("registry:world", *self._connections()), (self._known_world(),)),
            "CONNECTED": lambda: (("registry:world", *self._connections()), (self._known_world(),)),
            "INSTANCES": lambda: (("registry:world", "instances"), (self._known_world(),)),
            "REAP_USERS": self._reap_users,
            "REAP_CHANNELS": self._reap_channels,
            "FORGET": self._forget,
            "LOOK": self._look,
            "FILL": self._fill,
            "TAILS": lambda: (("registry:era", *self._heads()), self._looked[1:]),
            "FORGET_HEADS": lambda: (self._heads(), (self._generation(),)),
            "BEGIN_READS": lambda: (self._members(), (f"n{self._number(3)}", self._conversation(), _AGE_MS)),
            "END_READS": self._end_reads,
        }

    def draw(self) -> Words:
        """One call."""
        name = self._following or self.random.choices(tuple(self._shapes), [_WEIGHTS.get(each, 4) for each in self._shapes])[0]
        self.drawn.add(name)
        its_keys, arguments = self._shapes[name]()
        self._following = ""
        seconds = _BEGINNING + self.random.choice(_PASSED)
        script = Script(ALL[name].source.replace(_TIME, f"{{'{seconds}', '{self.random.choice((7, 123_456))}'}}"))
        by = script.by_hash if self.random.random() < 0.3 else script.by_source
        return [_word(each) for each in by(tuple(its_keys), tuple(arguments))]

    def learn(self, reply: Any) -> None:
        """Note the values of Redis, from the reply to one of these."""
        if isinstance(reply, list) and reply[:1] == [1] and self._is_filling and self.random.random() < _FOLLOWED:
            self._following = "LOOK"
        self._is_filling = False
        if not isinstance(reply, list) or not reply:
            return
        if isinstance(reply[0], list) and reply[0][:1] in ([b"FILL"], [b"ROWS"]):
            self._told = reply[0][1].decode("latin-1")
            if self.random.random() < _FOLLOWED:
                self._following = "FILL" if reply[0][0] == b"FILL" else "TAILS"
        elif reply[0] == b"OK" and len(reply) == 3 and isinstance(reply[1], bytes) and len(reply[1]) >= 40:
            self._world = reply[1].decode("latin-1")
            self._leases[self._acquiring] = self._acquired

    # --- single values --------------------------------------------------------------------------------------------------

    def _pick(self, of: Sequence[str]) -> str:
        return self.random.choice(of)

    def _number(self, most: int) -> int:
        return self.random.randint(0, most)

    def _hex(self, digits: int) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def _generation(self) -> str:
        return self._pick(_GENERATIONS)

    def _conversation(self) -> str:
        return self._pick(_CONVERSATIONS)

    def _member(self) -> str:
        return f"member:{self._pick(_USERS)}"

    def _members(self) -> list[str]:
        return [f"member:{user}" for user in self.random.sample(_USERS, self._number(2) + 1)]

    def _heads(self) -> list[str]:
        return [f"head:{name}" for name in self.random.sample(_CONVERSATIONS, self._number(2) + 1)]

    def _connections(self) -> list[str]:
        return [f"connections:{user}" for user in self.random.sample(_USERS, self._number(2) + 1)]

    def _known_world(self) -> str:
        return self._world if self.random.random() < 0.9 else self._hex(64)

    def _proof(self) -> str:
        return self._told if self.random.random() < 0.8 else "2|g1||x|y"

    def _marks(self) -> list[str]:
        return [f"{self._conversation()}|one|000{self._number(2)}|1" for _ in range(self._number(3))]

    def _fate_keys(self) -> tuple[str, str]:
        instance = self._pick(_INSTANCES)
        return f"instance:{instance}", f"fate:{instance}"

    def _repair(self) -> Call:
        kinds = {"dirty": "zset", "member:u1": "hash", "registry:era": "string", "instances": "set", "head:c1": "hash"}
        chosen = self.random.sample(sorted(kinds), self._number(3) + 1)
        return chosen, [kinds[key] for key in chosen]

    # --- the bus --------------------------------------------------------------------------------------------------------

    def _publish_commit(self) -> Call:
        name, generation = self._conversation(), self._generation()
        messages = [self._pick((f'{{"n":{self._number(99)}}}', "")) for _ in range(self._number(4))]
        fixed = (
            f"conversation:{name}",
            "envelope",
            self._number(20) + 1,
            _AGE_MS,
            self._number(9),
            generation,
            generation,
            self._pick(_STAMPS),
        )
        return (f"recent:{name}", f"head:{name}"), (*fixed, *messages)

    def _publish_change(self) -> Call:
        name, members = self._conversation(), self._members()
        channels = [f"user:{member}" for member in members]
        told = [part for channel in channels for part in (channel, b"\xff envelope")]
        change = (self._number(9), self._pick(_STAMPS), self._number(5))
        return (f"head:{name}", *members), (self._generation(), *change, *told)

    # --- the registry ---------------------------------------------------------------------------------------------------

    def _acquire(self) -> Call:
        self._acquiring = self._pick(_INSTANCES)
        had, _ = self._leases.get(self._acquiring, ("", ""))
        epoch = had if had and self.random.random() < 0.7 else f"{self._number(9):016d}-{self._hex(8)}"
        self._acquired = (epoch, self._hex(16))
        arguments = (self._acquiring, "healthy", _AGE_MS, self._hex(24), epoch, self._number(1), self._acquired[1])
        return ("registry:world", f"instance:{self._acquiring}", "instances", f"instance:{self._acquiring}:{epoch}"), arguments

    def _owned(self, more_keys: Sequence[str], more: Sequence[Argument], instance: str = "one") -> Call:
        """Of a lease that is held, mostly."""
        _, registration = self._leases.get(instance, ("", "none"))
        registration = registration if self.random.random() < 0.9 else self._hex(16)
        return ("registry:world", f"instance:{instance}", *more_keys), (self._known_world(), registration, *more)

    def _renew(self) -> Call:
        epoch = self._leases.get("one", ("", ""))[0]
        more = ("one", self._pick(("healthy", "draining")), self._number(9), _AGE_MS, _AGE_MS // 2, epoch)
        return self._owned(("instances", "fate:one", f"instance:one:{epoch}"), more)

    def _record(self, instance: str) -> str:
        epoch, registration = self._leases.get(instance, ("1-a", "none"))
        record: dict[str, Any] = {"instance_id": instance, "epoch": epoch, "registration": registration, "connected_at": "x" * 20}
        odd: list[Any] = [
            {},
            {**record, "epoch": 5},
            {**record, "registration": None},
            {**record, "instance_id": "\ud83d\ude00 é"},
        ]
        hostile = (
            "{",
            "[1, null, true]",
            '{"instance_id":"\\ud800","epoch":"1"}',
            "nan",
            "[" * 50,
            '{"a":0x10}',
            "",
            '"\\u0041\\n"',
        )
        chance = self.random.random()
        if chance < 0.08:
            return self._pick(hostile)
        return json.dumps(self.random.choice(odd) if chance < 0.16 else record, ensure_ascii=self.random.random() < 0.5)

    def _register(self) -> Call:
        connections = self._connections()
        more: list[Argument] = [_AGE_MS]
        for key in connections:
            more += (f"user:{key.partition(':')[2]}", f"k{self._number(4)}", self._record(self._pick(_INSTANCES)))
        return self._owned(("subscriptions:one", *connections), more)

    def _unregister(self) -> Call:
        connections = self._connections()
        told = [part for key in connections for part in (f"k{self._number(4)}", f"user:{key.partition(':')[2]}")]
        return self._owned(("subscriptions:one", *connections), ("one", *told))

    def _reaped(self) -> tuple[str, tuple[str, str, str]]:
        instance = self._pick(_INSTANCES)
        registration = self.random.choice(("", self._leases.get(instance, ("", ""))[1]))
        return registration, ("registry:world", f"instance:{instance}", f"subscriptions:{instance}")

    def _reap_users(self) -> Call:
        registration, fixed = self._reaped()
        connections = self._connections()
        channels = [f"user:{key.partition(':')[2]}" for key in connections]
        return (*fixed, *connections), (self._known_world(), registration, fixed[1].partition(":")[2], *channels)

    def _reap_channels(self) -> Call:
        registration, fixed = self._reaped()
        return fixed, (self._known_world(), registration, "conversation:c1", "control:one")

    def _forget(self) -> Call:
        _, fixed = self._reaped()
        return (*fixed, "instances"), (self._known_world(), "", fixed[1].partition(":")[2])

    # --- conversation lists ---------------------------------------------------------------------------------------------

    def _look(self) -> Call:
        if not self._following:
            self._looked = (self._member(), self._generation(), self._pick(_LAYOUTS))
        member, *place = self._looked
        others = [each for each in self._members() if self._number(3) == 0]
        return ("registry:era", member, *others), (*place, self._hex(16), _AGE_MS, self._number(4))

    def _fill(self) -> Call:
        member, *place = self._looked
        self._is_filling = True
        members = (member, *(self._members() if self._number(3) == 0 else ()))
        rosters = [each for _ in members for each in self._roster()]
        return ("registry:era", *members), (*place, _AGE_MS, *rosters)

    def _roster(self) -> list[Argument]:
        rows: list[Argument] = []
        names = self.random.sample(_CONVERSATIONS, self._number(3))
        for name in names:
            rows += (name, f"1 2 5 1700000000000 2 3 {self._number(9)}", self._number(9), self._pick(_STAMPS))
            rows += (self._number(9), self._pick(_STAMPS), self._number(5))
        return [self._proof(), _AGE_MS, self._pick(_STAMPS), len(names), *rows]

    def _end_reads(self) -> Call:
        members = self._members()
        cursors = [part for _ in members for part in (self._number(20), self._pick(_STAMPS))]
        return members, (f"n{self._number(3)}", self._conversation(), *cursors)


def _word(value: Argument) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
