"""The other instances over HTTP: found by name (a headless Service has one address per pod), asked on their internal port.

`node/health/isolation.py` uses the answers for one decision: whether this instance keeps getting new connections.
"""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, Final

import httpx

from holdfast.domain.ids import InstanceId
from holdfast.ports import Peer

_SECONDS: Final = 1.0  # a pod of the same cluster answers within milliseconds
_AT_ONCE: Final = 16
_MAX_ADDRESSES: Final = 1_000  # addresses of one name; more are not used
_MAX_BYTES: Final = 65_536  # a health body has about two thousand


class HttpPeers:
    """Implements `ports.Peers`. `names`: `host:port` of internal ports, each host with one or many addresses."""

    def __init__(self, names: Sequence[str]) -> None:
        """Connects with the first question."""
        self._names = [name.rsplit(":", 1) for name in names]
        limits = httpx.Limits(max_connections=_AT_ONCE, max_keepalive_connections=0)  # asked rarely, and then others
        self._http = httpx.AsyncClient(timeout=_SECONDS, limits=limits, follow_redirects=False, trust_env=False)

    async def addresses(self) -> Sequence[str]:
        """See `Peers.addresses`."""
        found = await asyncio.gather(*(_resolve(host, int(port)) for host, port in self._names))
        return sorted({address for addresses in found for address in addresses})[:_MAX_ADDRESSES]

    async def ask(self, address: str) -> Peer | None:
        """See `Peers.ask`."""
        try:
            async with asyncio.timeout(2 * _SECONDS):
                body = await self._body(f"http://{address}/api/health")
                ready = await self._http.get(f"http://{address}/readyz")
            return Peer(
                InstanceId(body["instance_id"]),
                body["services"]["redis"]["status"] == "connected",
                ready.status_code == 200,
                body["status"] == "draining",
            )
        except (httpx.HTTPError, OSError, TimeoutError, ValueError, KeyError, TypeError):
            return None  # away, or not an instance: its answer does not count

    async def close(self) -> None:
        """See `Peers.close`."""
        await self._http.aclose()

    async def _body(self, url: str) -> Any:
        async with self._http.stream("GET", url) as answer:
            content = b""
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > _MAX_BYTES:
                    raise ValueError("more than any health")
        return httpx.Response(200, content=content).json()


async def _resolve(host: str, port: int) -> list[str]:
    try:
        async with asyncio.timeout(_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return []
    return [f"[{at[0]}]:{port}" if family == socket.AF_INET6 else f"{at[0]}:{port}" for family, _, _, _, at in found]
