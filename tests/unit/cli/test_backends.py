"""Which instance takes the next connection."""

import asyncio

from holdfast.cli.front.backends import Backend, Backends, Health, _probe


def _backends(*health: Health) -> Backends:
    return Backends(tuple(Backend(f"instance-{number}", "127.0.0.1", 8000 + number, one) for number, one in enumerate(health, 1)))


def _first(backends: Backends) -> str:
    return backends.candidates()[0].name


def test_equal_instances_take_turns() -> None:
    """Two requests in a row, each over before the next begins, show two instances."""
    backends = _backends(Health.READY, Health.READY)
    seen = []
    for _ in range(4):
        backend = backends.candidates()[0]
        backends.take(backend)
        backends.release(backend)
        seen.append(backend.name)
    assert seen == ["instance-1", "instance-2", "instance-1", "instance-2"]


def test_the_one_with_fewer_connections_is_next() -> None:
    """Sockets stay: after an instance came back, new ones go to it until both carry the same."""
    backends = _backends(Health.READY, Health.READY)
    for _ in range(3):
        backends.take(backends.each[0])
    assert _first(backends) == "instance-2"
    backends.take(backends.each[1])
    assert _first(backends) == "instance-2"


def test_a_draining_instance_gets_nothing_while_another_is_ready() -> None:
    """A socket given to an instance that is about to stop would have to move at once."""
    backends = _backends(Health.NOT_READY, Health.READY)
    for _ in range(5):
        backends.take(backends.each[1])
    assert _first(backends) == "instance-2"


def test_a_draining_instance_is_better_than_none() -> None:
    """It says 503 with Retry-After itself, which is more than we know."""
    assert _first(_backends(Health.AWAY, Health.NOT_READY)) == "instance-2"


def test_one_that_was_away_is_still_tried_last() -> None:
    """The last look is up to a second old: it may be back already."""
    assert [one.name for one in _backends(Health.AWAY, Health.READY).candidates()] == ["instance-2", "instance-1"]


async def test_one_that_closes_without_an_answer_is_away() -> None:
    """It is ending, or its machine is full: it is no instance that drains."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        backend = Backend("one", "127.0.0.1", server.sockets[0].getsockname()[1], Health.READY)
        await _probe(backend)
    assert backend.health is Health.AWAY
