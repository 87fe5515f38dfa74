"""The local connections: frames belong to whom they met, and one tick is one write."""

import asyncio

from holdfast.domain.ids import ConversationId
from holdfast.node.connections.connection import MAX_BACKLOG_BYTES, Connection
from holdfast.node.connections.hub import Hub
from holdfast.node.connections.local import LocalConversation
from holdfast.telemetry import Telemetry
from support.fakes import FakeTransport, connection


def _scene(*users: str) -> tuple[Hub, LocalConversation, list[Connection]]:
    hub, local = Hub(Telemetry("test")), LocalConversation(ConversationId("c1"), 0.0)
    made = [connection(user) for user in users]
    for each in made:
        hub.add(each)
        hub.join(local, each)
    return hub, local, made


def _written(of: Connection) -> list[bytes]:
    assert isinstance(of.transport, FakeTransport)
    return of.transport.written


async def test_a_tick_is_one_write_per_connection() -> None:
    """A write is a system call: fifty messages at once must not be fifty."""
    hub, local, (alice, bob) = _scene("alice", "bob")
    for frame in (b"1", b"2", b"3"):
        assert hub.fan_out(local, frame) == 2
    assert _written(alice) == []
    await asyncio.sleep(0)
    assert _written(alice) == _written(bob) == [b"123"]


async def test_connections_are_written_to_in_the_order_in_which_they_joined() -> None:
    """Whatever the addresses of objects are: what an instance does can be repeated."""
    hub, local, made = _scene(*(f"user-{number}" for number in range(50)), "alice", "alice")
    order: list[Connection] = []
    for each in made:
        each.deliver = lambda _, each=each: order.append(each)  # type: ignore[misc]  # a fake's default argument
    hub.fan_out(local, b"1")
    hub.flush()
    assert order == made
    assert hub.connections_of(made[-1].user_id) == tuple(made[-2:])


async def test_who_joins_hears_only_what_comes_after_and_who_leaves_only_what_came_before() -> None:
    """Within one tick, too: heads are fixed at the join."""
    hub, local, (alice,) = _scene("alice")
    hub.fan_out(local, b"1")
    late = connection("late")
    hub.add(late)
    hub.join(local, late)
    hub.fan_out(local, b"2")
    hub.leave(local, alice, 5.0)
    hub.fan_out(local, b"3")
    hub.flush()
    assert _written(alice) == [b"1", b"2"]
    assert b"".join(_written(late)) == b"23"
    assert local.idle_since is None
    hub.leave(local, late, 6.0)
    assert local.idle_since == 6.0


async def test_what_is_fanned_out_while_a_client_catches_up_waits_and_follows() -> None:
    """Replay first, then live, in order."""
    hub, local, (alice,) = _scene("alice")
    alice.hold_back()
    hub.fan_out(local, b"3")
    hub.flush()
    alice.write(b"1")
    alice.write(b"2")
    alice.go_live()
    hub.fan_out(local, b"4")
    hub.flush()
    assert _written(alice) == [b"1", b"2", b"3", b"4"]


def test_a_backlog_is_bounded() -> None:
    """A client that reads slower than others send is disconnected; it must not fill the memory."""
    one = connection("alice")
    one.hold_back()
    for _ in range(100):
        one.deliver(b"x" * 10_000)
    assert one.is_behind
    one.go_live()
    assert sum(map(len, _written(one))) <= MAX_BACKLOG_BYTES + 10_000


def test_after_its_end_nothing_is_delivered() -> None:
    """Frames on their way to a socket that is gone go nowhere."""
    one = connection("alice")
    one.end()
    one.deliver(b"late")
    assert _written(one) == []


def test_users_are_counted_by_their_connections() -> None:
    """The first and the last are what presence hears of."""
    hub = Hub(Telemetry("test"))
    phone, laptop = connection("alice", "phone"), connection("alice", "laptop")
    assert [hub.add(phone), hub.add(laptop)] == [True, False]
    assert [hub.remove(phone), hub.remove(phone), hub.remove(laptop)] == [False, False, True]
    assert list(hub.users) == []
