"""Termination records of instances: Kubernetes saw them end, and the reapers read it in Redis."""

from typing import Final

from holdfast.adapters.redis import decoding, keys, scripts
from holdfast.adapters.redis.link import RedisLink
from holdfast.domain.ids import InstanceId
from holdfast.errors import Undecodable

_FATE_MS: Final = 120_000  # reaping takes seconds; a later reaper has two witnesses by then
SHORT_LEASE_MS: Final = 4_000  # one renewal and a little: a living owner holds it from one to the next


class RedisFates:
    """Implements `ports.Fates`. Owns no connection: the link's owner closes it."""

    def __init__(self, link: RedisLink) -> None:
        """Reaches Redis with the first call."""
        self._link = link

    async def ended(self, instance_id: InstanceId) -> bool:
        """See `Fates.ended`."""
        return bool(await self._link.run(scripts.ENDED, (keys.lease(instance_id), keys.fate(instance_id)), (_FATE_MS,)))

    async def removed(self, instance_id: InstanceId) -> None:
        """See `Fates.removed`."""
        both = (keys.lease(instance_id), keys.fate(instance_id))
        await self._link.run(scripts.REMOVED, both, (_FATE_MS, SHORT_LEASE_MS))

    async def connections(self) -> dict[InstanceId, int]:
        """See `Fates.connections`."""
        found = {}
        for name in await self._link.call("SMEMBERS", keys.INSTANCES):
            try:
                instance_id = decoding.instance_name(name)
                count = await self._link.call("HGET", keys.lease(instance_id), "connections")
                if count is not None:
                    found[instance_id] = decoding.number(count)
            except Undecodable:
                self._link.undecodable("instances")
        return found
