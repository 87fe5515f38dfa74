"""Users who leave: of each message that came while they were away there is one record, and none of what they were shown."""

import pytest

from support.departures import Departures
from support.instances import Instances
from support.store_view import view_of

GRACE_SECONDS = 3.0
UNLIMITED = {
    "HOLDFAST_PRESENCE__GRACE_SECONDS": str(GRACE_SECONDS),
    "HOLDFAST_LIMITS__SENDS_PER_SECOND": "0",
    "HOLDFAST_LIMITS__FRAMES_PER_SECOND": "0",
    "HOLDFAST_LIMITS__CREATES_PER_MINUTE": "0",
    "HOLDFAST_LIMITS__ADDS_PER_MINUTE": "0",
}
CONVERSATIONS = [f"busy-{number}" for number in range(40)]


async def play(instances: Instances, departures: int) -> None:
    """Waves of departures out of 40 busy conversations, at two instances."""
    serving = await instances.start("one", "two", **UNLIMITED)
    # Each message makes a record for every user who is away, and a push: more than this is more than the emulator stores.
    is_sqlite = instances.environ["HOLDFAST_STORE__URL"].startswith("sqlite:")
    users, every_seconds = (20, 2.0) if is_sqlite else (10, 8.0)
    names = [f"user-{number}" for number in range(users)]
    async with Departures(serving, names, CONVERSATIONS, GRACE_SECONDS, every_seconds) as played, view_of(instances) as view:
        await played.play(departures // users, view)
        false = await played.finish(view)
    counts = f"of {len(played.departures)} departures and {len(played.messages)} messages"
    print(f"{len(played.missing)} records missing, {len(false)} false {counts}")
    assert not played.missing, f"{len(played.missing)} records missing {counts}: {sorted(played.missing)[:5]}"
    assert not false, f"{len(false)} false records {counts}: {false[:5]}"


@pytest.mark.timeout(300)  # four waves on an emulator that is slow beside other work; each record has its own minute
async def test_users_who_leave_are_notified_of_what_they_missed_and_of_nothing_else(instances: Instances) -> None:
    """The store is asked about each conversation of a user who goes offline: hints of activity are seconds late."""
    await play(instances, 40)


@pytest.mark.endurance
@pytest.mark.timeout(3000)
async def test_a_thousand_users_who_leave_are_notified_of_what_they_missed_and_of_nothing_else(instances: Instances) -> None:
    """A fault at one end of a grace in a hundred has to be looked for often."""
    await play(instances, 1_000)
