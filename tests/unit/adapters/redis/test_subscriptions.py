"""Which channels are wanted, asked for and confirmed, without a connection."""

from holdfast.adapters.redis.subscriptions import CHUNK, Subscriptions

CONTROL = "control:one"


def settled(*channels: str) -> Subscriptions:
    subscriptions = Subscriptions(CONTROL)
    subscriptions.want(channels)
    subscriptions.restart()
    while chunk := subscriptions.next_chunk():
        for name in chunk:
            subscriptions.confirm(name.encode(), is_subscribe=True)
    assert subscriptions.is_restored
    return subscriptions


def test_control_and_users_are_asked_for_first_one_chunk_at_a_time() -> None:
    """The echo and connected users do not wait for ten thousand conversations."""
    subscriptions = Subscriptions(CONTROL)
    subscriptions.want([f"conversation:{number}" for number in range(CHUNK)])
    subscriptions.want(["user:a", "user:b"])
    subscriptions.restart()
    chunk = subscriptions.next_chunk()
    assert chunk[:3] == [CONTROL, "user:a", "user:b"]
    assert len(chunk) == CHUNK
    assert subscriptions.next_chunk() == []
    for name in chunk:
        assert subscriptions.next_chunk() == []
        subscriptions.confirm(name.encode(), is_subscribe=True)
    assert len(subscriptions.next_chunk()) == 3
    assert not subscriptions.is_restored


def test_what_is_wanted_later_does_not_delay_the_restoration() -> None:
    """While users connect all the time, some channel is always unconfirmed: that is no reason to call the bus lost."""
    subscriptions = settled("conversation:a")
    subscriptions.restart()
    for name in subscriptions.next_chunk():
        subscriptions.want([f"user:who-comes-with-{name}"])
        subscriptions.confirm(name.encode(), is_subscribe=True)
    assert subscriptions.is_restored
    subscriptions.restart()
    assert not subscriptions.is_restored
    subscriptions.forget(["conversation:a", "user:who-comes-with-conversation:a", f"user:who-comes-with-{CONTROL}"])
    subscriptions.next_chunk()
    subscriptions.confirm(CONTROL.encode(), is_subscribe=True)
    assert subscriptions.is_restored


def test_everything_wanted_is_asked_for_again_after_a_loss() -> None:
    """A new connection keeps no state of the one before."""
    subscriptions = settled("conversation:a", "user:a")
    subscriptions.restart()
    assert subscriptions.confirmed == set()
    assert subscriptions.next_chunk() == [CONTROL, "user:a", "conversation:a"]


def test_what_was_never_asked_for_needs_no_unsubscribing() -> None:
    """It only leaves the queue."""
    subscriptions = settled()
    subscriptions.want(["conversation:a"])
    assert subscriptions.forget(["conversation:a", "conversation:unknown"]) == []
    assert subscriptions.next_chunk() == []


def test_wanted_unwanted_and_wanted_again_waits_for_the_last_confirmation() -> None:
    """The first confirmation is of a subscription that has been ended meanwhile: believing it would be a hole."""
    subscriptions = settled()
    subscriptions.want(["conversation:a"])
    assert subscriptions.next_chunk() == ["conversation:a"]
    assert subscriptions.forget(["conversation:a"]) == ["conversation:a"]
    subscriptions.want(["conversation:a"])
    assert subscriptions.confirm(b"conversation:a", is_subscribe=True) is None
    assert subscriptions.next_chunk() == ["conversation:a"]
    assert subscriptions.confirm(b"conversation:a", is_subscribe=False) is None
    assert "conversation:a" not in subscriptions.confirmed
    assert subscriptions.confirm(b"conversation:a", is_subscribe=True) == "conversation:a"
    assert "conversation:a" in subscriptions.confirmed


def test_messages_of_channels_wanted_no_more_have_no_name() -> None:
    """Those that were under way when we left are dropped."""
    subscriptions = settled("conversation:a")
    assert subscriptions.name_of(b"conversation:a") == "conversation:a"
    assert subscriptions.forget(["conversation:a"]) == ["conversation:a"]
    assert subscriptions.name_of(b"conversation:a") is None
    assert subscriptions.confirmed == {CONTROL}
