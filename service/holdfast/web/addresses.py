"""How many sockets one address may hold. Off unless trusted proxies are configured: without them a whole company is one address.

`X-Forwarded-For` is believed from those proxies only, and read from the right: what a client wrote itself stands further left.
"""

import ipaddress
from collections import Counter
from collections.abc import Sequence

from holdfast.errors import CommandError, ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Addresses:
    """The addresses of one instance's sockets. Lives in the loop."""

    def __init__(self, trusted_proxies: Sequence[str], limit: int) -> None:
        """`trusted_proxies`: addresses or networks.

        Raises:
            ConfigurationError: one of them is neither.
        """
        self._trusted = [_network(text) for text in trusted_proxies]
        self._limit = limit
        self._held: Counter[str] = Counter()

    def of(self, peer: str, forwarded: Sequence[bytes]) -> str | None:
        """The client's address behind the proxies; None when addresses do not count here."""
        if not self._trusted:
            return None
        hops = [hop.strip() for value in forwarded for hop in value.decode("latin-1").split(",") if hop.strip()]
        address = peer
        while self._is_trusted(address) and hops:
            address = hops.pop()
        return address if _is_address(address) else peer

    def enter(self, address: str | None) -> None:
        """Count one more socket.

        Raises:
            CommandError: `connection_limit`.
        """
        if address is None:
            return
        if self._held[address] >= self._limit:
            raise CommandError("connection_limit", "this address has too many connections", retry_after_ms=1000)
        self._held[address] += 1

    def leave(self, address: str | None) -> None:
        """One socket less."""
        if address is not None:
            self._held[address] -= 1
            if self._held[address] <= 0:
                del self._held[address]

    def _is_trusted(self, text: str) -> bool:
        if not _is_address(text):
            return False
        address = ipaddress.ip_address(text)
        return any(address.version == network.version and address in network for network in self._trusted)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(f"HOLDFAST_HTTP__TRUSTED_PROXIES: {text!r} is no address or network") from None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
