"""The circuit breaker, on a clock of its own."""

from holdfast.adapters.redis.circuit import Circuit


def test_it_starts_closed() -> None:
    """The first call is not a probe."""
    circuit = Circuit()
    assert not circuit.is_open(0.0)
    assert circuit.admit(0.0)
    assert circuit.admit(0.0)


def test_after_a_failure_calls_fail_at_once_until_one_probe_may_pass() -> None:
    """A thousand waiting sends must not each wait for their own timeout."""
    circuit = Circuit()
    circuit.failed(10.0)
    assert circuit.is_open(10.0)
    assert not circuit.admit(10.1)
    assert circuit.admit(10.3)
    assert not circuit.admit(10.3)
    circuit.succeeded()
    assert circuit.admit(10.3)
    assert circuit.admit(10.3)


def test_the_pause_grows_to_two_seconds_and_shrinks_at_once() -> None:
    """A Redis that is away for an hour is asked every two seconds; one that came back is used at once."""
    circuit = Circuit()
    now = 0.0
    for _ in range(20):
        assert circuit.admit(now)
        circuit.failed(now)
        assert not circuit.admit(now + 0.15)
        now += 2.0
    assert circuit.admit(now)
    circuit.succeeded()
    circuit.failed(now)
    assert circuit.admit(now + 0.25)


def test_calls_under_way_when_it_opens_count_as_one_failure() -> None:
    """Eight connections that break together are one outage, not eight."""
    circuit = Circuit()
    for _ in range(8):
        circuit.failed(0.0)
    assert circuit.admit(0.25)


def test_a_probe_that_never_says_how_it_ended_does_not_block_for_ever() -> None:
    """Its caller may have been cancelled."""
    circuit = Circuit()
    circuit.failed(0.0)
    assert circuit.admit(1.0)
    assert not circuit.admit(3.9)
    assert circuit.admit(4.0)
