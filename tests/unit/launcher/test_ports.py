"""Ports for the parts of a cluster on this machine."""

import subprocess
import sys

_PROGRAM = "from holdfast.launcher.ports import free_port; print(*(free_port() for _ in range(100)))"


def test_no_port_is_given_twice_and_none_that_an_outgoing_connection_could_get() -> None:
    """Whichever process asks. A client that tries to reach a dead server from that very port is connected to itself, and the
    server stays away.
    """
    asking = [subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ports = [int(port) for process in asking for port in process.communicate()[0].split()]
    assert len(ports) == len(set(ports)) == 300
    assert max(ports) < 32_768, "where Linux begins to number outgoing connections"
