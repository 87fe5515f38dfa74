"""How many sockets one address may hold. Off unless trusted proxies are configured: without them a whole company is one address.

`X-Forwarded-For` is trusted from those proxies only, and read from the right: a client's own entries stand further left.
Proxies write addresses in many forms: with ports, in brackets, as IPv4 within IPv6, or `unknown`. A client whose address the
proxies do not name is not counted: all such clients would share one limit. IPv6 clients count by their /64: one customer has it.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from holdfast.errors import CommandError, ConfigurationError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CUSTOMER_BITS: Final = 64  # what a provider gives to one customer at least (RFC 6177)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_WITH_PORT: Final = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d{1,5})?")


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
        """The client's address behind the proxies, an IPv6 one as its /64; None when it does not count, or is not known."""
        if not self._trusted:
            return None
        address = _address(peer)
        if address is None or not self._is_trusted(address):
            return _counted(address)
        hops = [hop.strip() for value in forwarded for hop in value.decode("latin-1").split(",") if hop.strip()]
        client: Address | None = None
        while hops:
            client = _address(hops.pop())
            if client is None or not self._is_trusted(client):
                break
        return _counted(client)

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

    def _is_trusted(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(f"HOLDFAST_HTTP__TRUSTED_PROXIES: {text!r} is no address or network") from None
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & 0xFFFF_FFFF, network.prefixlen - _MAPPED.prefixlen))
    return network


def _address(text: str) -> Address | None:
    """An address as proxies write it; None for all else (`unknown`, `_hidden`, a name)."""
    text = text.strip('"')
    if (match := _WITH_PORT.fullmatch(text)) is not None:  # else bare IPv6, whose colons are no ports
        text = match[1] if match[1] is not None else match[2]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _counted(address: Address | None) -> str | None:
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, _CUSTOMER_BITS), strict=False))
    return None if address is None else str(address)
