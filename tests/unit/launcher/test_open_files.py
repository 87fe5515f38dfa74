"""How many sockets a process may have: the clients of a drill, the connections of an instance."""

import resource

import pytest

from holdfast.launcher.open_files import make_room_for, sockets_that_fit


def _allow(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """The process may have 1,024 open files, and raise that to `most`."""
    limits = [(1_024, most)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))


@pytest.mark.parametrize(
    ("most", "clients", "told"),
    [
        (20_000, 10_000, ""),
        (4_096, 10_000, "10000 clients need 10100 open files, and 4096 are allowed (ulimit -n)"),
        (resource.RLIM_INFINITY, 10_000, ""),
    ],
)
def test_too_many_are_refused_before_anything_is_started(
    monkeypatch: pytest.MonkeyPatch, most: int, clients: int, told: str
) -> None:
    """The allowed number is taken first, whatever the shell began with."""
    _allow(monkeypatch, most)
    assert make_room_for(clients) == told


@pytest.mark.parametrize(
    ("most", "wanted", "fitting"),
    [(1_048_576, 20_000, 20_000), (20_599, 20_000, 19_999), (4_096, 20_000, 3_496), (64, 20_000, 1), (-1, 20_000, 20_000)],
)
def test_an_instance_takes_what_fits_into_the_hard_limit(
    monkeypatch: pytest.MonkeyPatch, most: int, wanted: int, fitting: int
) -> None:
    """600 files are for others. -1 is a limit without end. One connection is the least that a setting may name."""
    _allow(monkeypatch, most)
    assert sockets_that_fit(wanted, 500) == fitting
