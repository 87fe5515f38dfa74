"""What the simulated Redis does that a comparison with a real one cannot show: its own clock, and its faults."""

import random

import pytest

from simulation.redis import RedisServer, Refused, Unsupported
from support.fakes import ManualClock


def identity(server: RedisServer) -> tuple[str, ...]:
    """Run id, replication ids."""
    text = server.run("INFO", "server", "replication").decode()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return fields["run_id"], fields["master_replid"], fields["master_replid2"]


def test_a_key_ends_at_its_deadline_on_the_server_s_own_clock(server: RedisServer, clock: ManualClock) -> None:
    """Leases are judged by Redis's clock, not by the instances' clocks."""
    server.run("SET", "a", "1", "PX", 1500)
    clock.now += 1.499
    assert (server.run("GET", "a"), server.run("PTTL", "a")) == (b"1", 1)
    clock.now += 0.001
    assert server.run("GET", "a") is None


def test_expired_keys_are_removed_without_being_read(server: RedisServer, clock: ManualClock) -> None:
    """Active expiry: what nothing asks for must not stay for ever."""
    for number in range(500):
        server.run("SET", f"k{number}", "1", "PX", 100)
    server.run("SET", "stays", "1")
    for _ in range(100):
        clock.now += 0.2
        server.run("PING")
    assert server.run("DBSIZE") < 60


def test_a_restart_without_a_snapshot_is_empty_and_another_server(server: RedisServer) -> None:
    """What a pod without a volume does."""
    before = identity(server)
    server.run("SET", "a", "1")
    server.run("SCRIPT", "LOAD", "return 1")
    server.restart()
    assert server.run("DBSIZE") == 0
    assert not set(before[:2]) & set(identity(server))
    with pytest.raises(Refused, match="NOSCRIPT"):
        server.run("EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", 0)


def test_a_restart_finds_what_was_saved_and_lacks_what_came_after(server: RedisServer, clock: ManualClock) -> None:
    """An RDB of seconds ago brings back what was removed since, and expires what ended meanwhile."""
    server.run("SET", "old", "1")
    server.run("SET", "short", "1", "PX", 1000)
    server.run("SAVE")
    server.run("DEL", "old")
    server.run("SET", "new", "1")
    clock.now += 2
    server.restart()
    assert sorted(server.run("KEYS", "*")) == [b"old"]


def test_a_promoted_replica_lacks_the_tail_and_shifts_the_replication_id(server: RedisServer, clock: ManualClock) -> None:
    """Redis acknowledges before it replicates: a failover forgets acknowledged writes."""
    replica = server.attach_replica(lag_seconds=5.0)
    for number in range(4):
        server.run("EVAL", "redis.call('HSET', KEYS[1], ARGV[1], '1') redis.call('PEXPIRE', KEYS[1], 9000)", 1, "h", number)
        clock.now += 1
    with pytest.raises(Refused, match="READONLY"):
        replica.run("SET", "a", "1")
    assert replica.run("HLEN", "h") == 0
    replica.promote(lost_seconds=1.5)
    assert replica.run("HKEYS", "h") == [b"0", b"1", b"2"]
    assert replica.run("PTTL", "h") == 7000
    run_id, first, second = identity(replica)
    assert second == identity(server)[1] != first
    assert run_id != identity(server)[0]
    server.run("SET", "a", "1")
    assert replica.run("EXISTS", "a") == 0


def test_two_primaries_take_writes_and_differ(server: RedisServer) -> None:
    """A partition with a failover on one side of it."""
    server.run("SADD", "s", "a")
    other = server.fork()
    server.run("SADD", "s", "b")
    other.run("SADD", "s", "c")
    assert (sorted(server.run("SMEMBERS", "s")), sorted(other.run("SMEMBERS", "s"))) == ([b"a", b"b"], [b"a", b"c"])
    assert not set(identity(server)[:2]) & set(identity(other)[:2])


def test_out_of_memory_refuses_a_script_s_first_write_and_lets_it_go_on_after_one_that_frees(server: RedisServer) -> None:
    """Redis never ends a script in the middle of its writes: a commit that removed a mark is published whole."""
    server.set_out_of_memory(True)
    with pytest.raises(Refused, match="OOM command not allowed"):
        server.run("EVAL", "return redis.call('SET', 'a', '1')", 0)
    assert server.run("EVAL", "redis.call('DEL', 'b') return redis.call('SET', 'a', '1')", 0) == b"OK"
    server.set_out_of_memory(False)
    assert server.run("SET", "a", "2") == b"OK"


def test_what_it_does_not_know_is_said_loudly_and_remembered(server: RedisServer) -> None:
    """A simulation that goes on with a made-up answer proves nothing."""
    for words in (["ZRANGE", "z", 0, 1, "BYSCORE"], ["INCR", "a"], ["EVAL", "return redis.pcall('INCR', 'a')", 0]):
        with pytest.raises(Unsupported):
            server.run(*words)
    assert server.state.unsupported == ["ZRANGE by score, by name or backwards", "INCR", "INCR"]


def test_the_same_seed_gives_the_same_ids_and_orders(clock: ManualClock) -> None:
    """Otherwise a failing seed could not be played again."""
    first, second = (RedisServer(clock.monotonic, random.Random(5)) for _ in range(2))
    for server in (first, second):
        server.run("SADD", "s", *(f"member{number}" for number in range(50)))
    assert identity(first) == identity(second)
    assert first.run("SMEMBERS", "s") == second.run("SMEMBERS", "s")


def test_the_order_of_a_set_differs_from_server_to_server(clock: ManualClock) -> None:
    """As with Redis, whose hash function has a random key."""
    orders = set()
    for seed in range(5):
        server = RedisServer(clock.monotonic, random.Random(seed))
        server.run("SADD", "s", *(f"member{number}" for number in range(50)))
        orders.add(tuple(server.run("SMEMBERS", "s")))
    assert len(orders) == 5
