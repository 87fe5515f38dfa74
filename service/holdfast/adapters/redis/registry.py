"""The registry: which user is connected to which instance, as keys that an operator reads with `redis-cli`.

Every step is one script that checks `registry:world` and this instance's lease before it writes. Work on many users is cut into
scripts of 500 records (100 users when reaping) that may be repeated and may stop anywhere. `subscriptions:` of the instance keeps
the index of the remaining work until it is done.

With a bus secret each record is signed, for its user and connection: a record that no instance signed counts as no connection.
"""

import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from holdfast.adapters.redis import decoding, keys, scripts
from holdfast.adapters.redis.fates import SHORT_LEASE_MS
from holdfast.adapters.redis.link import RedisLink
from holdfast.adapters.redis.scripts import Argument, Script
from holdfast.domain.chunks import chunks
from holdfast.domain.ids import ConnectionId, Epoch, InstanceId, UserId, run_id
from holdfast.domain.registry import ConnectionRecord, InstanceLease
from holdfast.errors import LeaseLost, NameTaken, RedisUnavailable, Undecodable, WorldChanged
from holdfast.protocol.seals import Seals

LEASE_MS: Final = 12_000  # four renewals of 3 s; longer would leave the dead online for longer
_REGISTRATION_TTL_MS: Final = 3_600_000  # renewed every 15 minutes: a key without renewal does not stay for ever
_CHUNK: Final = 500  # records per script: about 3 ms of Redis's time
_REAP_CHUNK: Final = 100  # users per script: each costs reading all of that user's connections
_SCAN_COUNT: Final = 1000
_OF_OLDER: Final = "-"
"""The `epoch` in a record. Instances of an older version need one, and would take the users of that epoch offline once the lease
is gone, without a look at the bulletin. No user stands in the store under this one.
"""


class RedisRegistry:
    """Implements `ports.Registry`. Used from one event loop; owns no connection (the link's owner closes it).

    Attributes:
        server: see `Registry.server`.
    """

    def __init__(self, link: RedisLink, instance_id: InstanceId, seals: Seals | None = None) -> None:
        """Reaches Redis first in `acquire`. With `seals` records are signed, and no others believed."""
        self._link = link
        self._seals = seals
        self.rename(instance_id)
        self._world = ""
        self.server = ""
        self._registration = ""  # empty while no lease is held
        self._epoch = Epoch("")  # once the name was had
        self._lease_for_older = ""

    # --- the lease ----------------------------------------------------------------------------------------------------

    async def acquire(self, epoch: Epoch, state: str) -> None:
        """See `Registry.acquire`."""
        self._registration = ""
        registration, new_world, has_had = secrets.token_hex(8), secrets.token_hex(12), self._epoch == epoch
        if not has_had:  # a run keeps the name that it began with
            self._lease_for_older = keys.lease_for_older(run_id(self._instance_id, epoch))
        answer = await self._link.run(
            scripts.ACQUIRE,
            (keys.WORLD, self._lease, keys.INSTANCES, self._lease_for_older),
            (self._instance_id, state, LEASE_MS, new_world, epoch, int(has_had), registration),
        )
        if answer[0] == b"TAKEN":
            raise NameTaken(f"a younger process has the name {self._instance_id}")
        world, self.server = decoding.text(answer[1]), decoding.text(answer[2])
        await self._link.open_connections()
        self._epoch = epoch
        await self._reap(world, self._instance_id, registration)
        self._world, self._registration = world, registration

    def rename(self, instance_id: InstanceId) -> None:
        """See `Registry.rename`."""
        self._instance_id = instance_id
        self._lease = keys.lease(instance_id)
        self._subscriptions = keys.subscriptions(instance_id)

    async def renew(self, state: str, connections: int) -> None:
        """See `Registry.renew`."""
        more = (self._instance_id, state, connections, LEASE_MS, SHORT_LEASE_MS, self._epoch)
        more_keys = (keys.INSTANCES, keys.fate(self._instance_id), self._lease_for_older)
        (server,) = await self._owned(scripts.RENEW, more_keys, more)
        self.server = decoding.text(server)

    async def set_registered(self) -> None:
        """See `Registry.set_registered`."""
        await self._owned(scripts.SET_REGISTERED, (), ())

    async def release(self) -> None:
        """See `Registry.release`."""
        if not self._registration:
            return
        try:
            await self._owned(scripts.RELEASE, (self._lease_for_older,), ())
        except (LeaseLost, WorldChanged):
            return
        finally:
            self._registration = ""
        # The lease goes first: from then on what is left does not count, and after an interruption it is left to a reaper.
        with contextlib.suppress(LeaseLost):  # a successor has the name, and removes it
            await self._reap(self._world, self._instance_id, "")

    # --- connections --------------------------------------------------------------------------------------------------

    async def register(self, records: Sequence[ConnectionRecord]) -> dict[UserId, int]:
        """See `Registry.register`. Records that were made under a lease that is over are `LeaseLost`."""
        counts: dict[UserId, int] = {}
        registration = self._registration
        for chunk in chunks(records, _CHUNK):
            if not registration or registration != self._registration:
                raise LeaseLost("the records belong to another registration")
            arguments: list[Argument] = [_REGISTRATION_TTL_MS]
            for record in chunk:
                arguments += (keys.user_channel(record.user_id), record.connection_id, self._encode(record))
            connections = tuple(keys.connections(record.user_id) for record in chunk)
            answer = await self._owned(scripts.REGISTER, (self._subscriptions, *connections), tuple(arguments))
            counts.update((record.user_id, count) for record, count in zip(chunk, answer, strict=True))
        if self._seals is not None and (several := [user_id for user_id, count in counts.items() if count > 1]):
            counts |= {user_id: len(records) for user_id, records in (await self._signed(several)).items()}
        return counts

    async def unregister(self, connections: Sequence[tuple[UserId, ConnectionId]]) -> None:
        """See `Registry.unregister`."""
        for chunk in chunks(connections, _CHUNK):
            told = [part for user_id, connection_id in chunk for part in (connection_id, keys.user_channel(user_id))]
            its_keys = tuple(keys.connections(user_id) for user_id, _ in chunk)
            await self._owned(scripts.UNREGISTER, (self._subscriptions, *its_keys), (self._instance_id, *told))

    async def refresh(self, user_ids: Sequence[UserId]) -> None:
        """See `Registry.refresh`."""
        for chunk in chunks(user_ids, _CHUNK):
            connections = tuple(keys.connections(user_id) for user_id in chunk)
            await self._owned(scripts.REFRESH, (self._subscriptions, *connections), (_REGISTRATION_TTL_MS,))

    async def connections_of(self, user_id: UserId) -> list[ConnectionRecord]:
        """See `Registry.connections_of`."""
        return (await self._signed([user_id]))[user_id]

    async def _signed(self, user_ids: Sequence[UserId]) -> dict[UserId, list[ConnectionRecord]]:
        """The living connections of each that may be believed."""
        found: dict[UserId, list[ConnectionRecord]] = {user_id: [] for user_id in user_ids}
        for chunk in chunks(user_ids, _REAP_CHUNK):
            answer = await self._known(scripts.CONNECTIONS_OF, tuple(keys.connections(user_id) for user_id in chunk))
            for user_id, living in zip(chunk, answer, strict=True):
                for connection, record in zip(living[::2], living[1::2], strict=True):
                    try:
                        read = decoding.connection(user_id, connection, record)
                    except Undecodable:
                        self._link.undecodable("connections")
                        continue
                    if self._seals is None or self._seals.may_believe(_place(user_id, read.connection_id), record):
                        found[user_id].append(read)
        return found

    async def connected(self, user_ids: Sequence[UserId]) -> set[UserId]:
        """See `Registry.connected`."""
        if self._seals is not None:
            return {user_id for user_id, records in (await self._signed(user_ids)).items() if records}
        found: set[UserId] = set()
        for chunk in chunks(user_ids, _REAP_CHUNK):
            answer = await self._known(scripts.CONNECTED, tuple(keys.connections(user_id) for user_id in chunk))
            found.update(user_id for user_id, is_connected in zip(chunk, answer, strict=True) if is_connected)
        return found

    # --- instances ----------------------------------------------------------------------------------------------------

    async def instances(self) -> list[InstanceLease]:
        """See `Registry.instances`."""
        answer = await self._known(scripts.INSTANCES, (keys.INSTANCES,))
        found, unread = [], []
        for at in range(0, len(answer), 6):
            try:
                found.append(decoding.lease(*answer[at : at + 6]))
            except Undecodable:
                unread.append(answer[at])
        await self._drop(keys.INSTANCES, unread, "instances")
        return found

    async def reap(self, instance_id: InstanceId) -> list[UserId] | None:
        """See `Registry.reap`. When Redis fails in between it returns what was done; the rest stays indexed."""
        world = self._require_world()
        try:
            return await self._reap(world, instance_id, "", keeps_what_was_done=True)
        except LeaseLost:
            return None

    async def _reap(
        self, world: str, instance_id: InstanceId, registration: str, *, keeps_what_was_done: bool = False
    ) -> list[UserId]:
        """Remove what registrations of `instance_id` other than this one left; '' where it must not have a lease.

        Raises:
            LeaseLost: its lease is another one.
        """
        lost = list[UserId]()
        fixed = (keys.WORLD, keys.lease(instance_id), keys.subscriptions(instance_id))
        is_own = instance_id == self._instance_id and registration != ""
        try:
            async for entries in self._scan(fixed[2]):
                channels = [entry for entry in entries if not entry.startswith(keys.USER_PREFIX)]
                if channels and not is_own:  # a living bus writes its own channels again
                    _check(await self._link.run(scripts.REAP_CHANNELS, fixed, (world, registration, *channels)))
                users = [UserId(entry.removeprefix(keys.USER_PREFIX)) for entry in entries if entry.startswith(keys.USER_PREFIX)]
                for chunk in chunks(users, _REAP_CHUNK):
                    connections = tuple(keys.connections(user_id) for user_id in chunk)
                    arguments = (world, registration, instance_id, *(keys.user_channel(user_id) for user_id in chunk))
                    outcomes = _check(await self._link.run(scripts.REAP_USERS, fixed + connections, arguments))
                    lost += [user_id for user_id, outcome in zip(chunk, outcomes, strict=True) if outcome]
            if registration == "":
                await self._forget(world, instance_id)
        except RedisUnavailable:
            if not (keeps_what_was_done and lost):
                raise
        return lost

    async def _forget(self, world: str, instance_id: InstanceId) -> None:
        fixed = (keys.WORLD, keys.lease(instance_id), keys.subscriptions(instance_id), keys.INSTANCES)
        _check(await self._link.run(scripts.FORGET, fixed, (world, "", instance_id)))

    async def _scan(self, key: str) -> AsyncIterator[list[str]]:
        cursor: Argument = 0
        while True:
            cursor, found = await self._link.call("SSCAN", key, cursor, "COUNT", _SCAN_COUNT)
            entries, unread = [], []
            for raw in found:
                try:
                    entries.append(decoding.text(raw))
                except Undecodable:
                    unread.append(raw)
            await self._drop(key, unread, "subscriptions")
            if entries:
                yield entries
            if not int(cursor):
                return

    async def _drop(self, key: str, members: Sequence[bytes], source: str) -> None:
        """Take members that are none of ours out of a SET of ours."""
        self._link.undecodable(source, len(members))
        for chunk in chunks(members, _CHUNK):
            await self._link.call("SREM", key, *chunk)

    # --- scripts ------------------------------------------------------------------------------------------------------

    async def _owned(self, script: Script, more_keys: tuple[str, ...], more: tuple[Argument, ...]) -> list[Any]:
        mine = (self._require_world(), self._registration)
        return _check(await self._link.run_first(script, (keys.WORLD, self._lease, *more_keys), (*mine, *more)))

    async def _known(self, script: Script, more_keys: tuple[str, ...]) -> list[Any]:
        return _check(await self._link.run(script, (keys.WORLD, *more_keys), (self._require_world(),)))

    def _require_world(self) -> str:
        if not self._registration:
            raise LeaseLost("no lease was acquired")
        return self._world

    def _encode(self, record: ConnectionRecord) -> bytes:
        written = {"instance_id": self._instance_id, "epoch": _OF_OLDER, "registration": self._registration}
        text = json.dumps({**written, "connected_at": record.connected_at}).encode()
        return text if self._seals is None else self._seals.seal(_place(record.user_id, record.connection_id), text)


def _place(user_id: UserId, connection_id: ConnectionId) -> str:
    """Where a record lies: its seal is of this place alone."""
    return f"{keys.connections(user_id)}/{connection_id}"


def _check(answer: list[Any]) -> list[Any]:
    if answer[0] == b"WORLD":
        raise WorldChanged("Redis was flushed, restarted or replaced")
    if answer[0] == b"LEASE":
        raise LeaseLost("the lease is missing, or was taken anew")
    return answer[1:]
