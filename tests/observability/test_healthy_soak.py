"""No alert fires while all is well: messages, reconnects, and instances that are replaced one after the other."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from support.instances import Instances
from support.ordinary_load import OrdinaryLoad, repeatedly
from support.watching import watching

SECONDS = float(os.environ.get("HOLDFAST_SOAK_SECONDS", "120"))
"""Of the soak itself; before and after it about 20 s pass. The rules' durations are a thirtieth: 120 s stand for an hour."""

USERS = 12
REPLACED_EACH_SECONDS = 40.0


@pytest.mark.observability_long
@pytest.mark.timeout(SECONDS + 200)
async def test_no_alert_fires_in_a_healthy_soak(sqlite_instances: Instances, tmp_path: Path) -> None:
    """An alert that fires for nothing is switched off, and is missing when it is needed."""
    # A drain of a minute is one of two seconds here, as all durations of the rules.
    for number in (1, 2, 3):  # one after the other: all at once take long on a small machine
        await sqlite_instances.start(f"instance-{number}", HOLDFAST_DRAIN__WINDOW_SECONDS="2")
    three = sqlite_instances.all
    load = OrdinaryLoad(three, USERS, pause_seconds=1.0)
    async with watching(tmp_path, three) as prometheus, load.going_on():
        dropping = asyncio.create_task(repeatedly(5.0, load.drop))
        try:
            ends = time.monotonic() + SECONDS
            number = 0
            while (left := ends - time.monotonic()) > 0:
                await asyncio.sleep(min(left, REPLACED_EACH_SECONDS))
                if ends - time.monotonic() > 10:
                    await asyncio.to_thread(three[number % 3].stop)
                    await three[number % 3].start()
                    number += 1
        finally:
            dropping.cancel()
            await asyncio.gather(dropping, return_exceptions=True)
        fired = await prometheus.query(f'count_over_time(ALERTS{{alertstate="firing"}}[{SECONDS + 60:.0f}s])')
        assert sorted(each["metric"]["alertname"] for each in fired) == []
        assert load.acknowledged > SECONDS * USERS / 4
        assert await prometheus.query("sum(holdfast_connections) > 0")
