"""How many clients a drill may have in its process."""

import resource

import pytest

from holdfast.launcher.open_files import make_room_for


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
    limits = [(1_024, most)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    assert make_room_for(clients) == told
