"""Whose address counts, and how often."""

import pytest

from holdfast.errors import CommandError, ConfigurationError
from holdfast.web.addresses import Addresses


def test_without_trusted_proxies_addresses_do_not_count() -> None:
    """Behind an unknown balancer everybody would be one address."""
    assert Addresses((), 1).of("10.0.0.1", [b"1.2.3.4"]) is None


def test_the_last_hop_that_is_no_proxy_of_ours_is_the_client() -> None:
    """What stands further left was written by the client itself."""
    addresses = Addresses(("10.0.0.0/8", "192.168.1.1"), 1)
    assert addresses.of("10.0.0.1", [b"6.6.6.6, 1.2.3.4, 192.168.1.1"]) == "1.2.3.4"
    assert addresses.of("9.9.9.9", [b"1.2.3.4"]) == "9.9.9.9", "a stranger's header is not believed"
    assert addresses.of("10.0.0.1", [b"not an address"]) == "10.0.0.1"
    assert addresses.of("10.0.0.1", []) == "10.0.0.1"


def test_an_address_holds_so_many_sockets_and_gets_them_back() -> None:
    """One flat must not take the whole house."""
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
