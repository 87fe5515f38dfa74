"""Ports for the parts of a cluster on this machine."""

from holdfast.drills.local.waiting import free_port


def test_no_port_is_given_twice_and_none_that_an_outgoing_connection_could_get() -> None:
    """A client that tries to reach a dead server from that very port is connected to itself, and the server stays away."""
    ports = [free_port() for _ in range(200)]
    assert len(set(ports)) == 200
    assert max(ports) < 32_768, "where Linux begins to number outgoing connections"
