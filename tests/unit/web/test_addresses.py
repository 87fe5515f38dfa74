"""Whose address counts, and how often."""

import pytest

from holdfast.errors import CommandError, ConfigurationError
from holdfast.web.addresses import Addresses


def test_without_trusted_proxies_addresses_do_not_count() -> None:
    """Behind an unknown balancer everybody would be one address."""
    assert Addresses((), 1).of("10.0.0.1", [b"1.2.3.4"]) is None


def test_the_last_hop_that_is_no_proxy_of_ours_is_the_client() -> None:
    """The entries further left were written by the client itself."""
    addresses = Addresses(("10.0.0.0/8", "192.168.1.1"), 1)
    assert addresses.of("10.0.0.1", [b"6.6.6.6, 1.2.3.4, 192.168.1.1"]) == "1.2.3.4"
    assert addresses.of("9.9.9.9", [b"1.2.3.4"]) == "9.9.9.9", "a stranger's header is not believed"
    assert addresses.of("10.0.0.1", [b"10.2.2.2"]) == "10.2.2.2", "a client inside the trusted network"


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4:50123", "1.2.3.4"),
        ("10.0.0.1", " 1.2.3.4 , 10.0.0.7", "1.2.3.4"),
        ("10.0.0.1", "1.2.3.4:50123, 10.0.0.7:80", "1.2.3.4"),
        ("10.0.0.1", '"1.2.3.4"', "1.2.3.4"),
        ("10.0.0.1", "::ffff:1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "[::ffff:1.2.3.4]:50123", "1.2.3.4"),
        ("::ffff:10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("::ffff:10.0.0.1", "1.2.3.4, ::ffff:10.0.0.7", "1.2.3.4"),
        ("10.0.0.1", "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("10.0.0.1", "2001:DB8:1:2:ffff:0:0:9", "2001:db8:1:2::/64"),
        ("10.0.0.1", "[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ("10.0.0.1", "[2001:db8:1:2::1]:50123", "2001:db8:1:2::/64"),
        ("10.0.0.1", '"[2001:db8:1:2::1]:50123"', "2001:db8:1:2::/64"),
        ("fd00::1", "fe80::1%eth0", "fe80::/64"),
        ("10.0.0.1", "unknown", None),
        ("10.0.0.1", "1.2.3.4, unknown", None),
        ("10.0.0.1", "_hidden", None),
        ("10.0.0.1", "", None),
        ("2001:db8:9:9::1", "1.2.3.4", "2001:db8:9:9::/64"),
    ],
)
def test_forms_in_which_proxies_write_a_client(peer: str, forwarded: str, counted: str | None) -> None:
    """An unread form must not make one address of all clients: together they would share the limit of one."""
    addresses = Addresses(("10.0.0.0/8", "fd00::/16"), 1)
    assert addresses.of(peer, [forwarded.encode()]) == counted


def test_a_trusted_network_may_be_written_as_ipv4_within_ipv6() -> None:
    """A listener for both families sees IPv4 proxies in that form, and its log shows them so."""
    addresses = Addresses(("::ffff:10.0.0.0/104",), 1)
    assert addresses.of("::ffff:10.9.9.9", [b"1.2.3.4"]) == addresses.of("10.9.9.9", [b"1.2.3.4"]) == "1.2.3.4"


def test_clients_of_one_ipv6_network_share_a_limit_and_clients_of_unknown_address_do_not() -> None:
    """A customer has 2^64 IPv6 addresses at least; a proxy that hides addresses must not lock out all its clients."""
    addresses = Addresses(("10.0.0.1",), 1)
    addresses.enter(addresses.of("10.0.0.1", [b"2001:db8::1"]))
    with pytest.raises(CommandError):
        addresses.enter(addresses.of("10.0.0.1", [b"2001:db8::2"]))
    for _ in range(3):
        addresses.enter(addresses.of("10.0.0.1", [b"unknown"]))


def test_an_address_holds_so_many_sockets_and_gets_them_back() -> None:
    """One address must not use up the places of all others."""
    addresses = Addresses(("10.0.0.1",), 2)
    for _ in range(2):
        addresses.enter("1.2.3.4")
    with pytest.raises(CommandError) as refused:
        addresses.enter("1.2.3.4")
    assert refused.value.code == "connection_limit"
    addresses.enter("5.6.7.8")
    addresses.leave("1.2.3.4")
    addresses.enter("1.2.3.4")


def test_a_wrong_proxy_ends_the_start() -> None:
    """A typing error must not switch the limit off."""
    with pytest.raises(ConfigurationError, match="TRUSTED_PROXIES"):
        Addresses(("ten.zero",), 1)
