"""Every mechanism of the product that is switched off is noticed by the profile that aims at it; with it the profile passes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SECONDS = 60


def _failed_seed(profile: str, seeds: str, altered: str = "") -> int | None:
    """The first seed that fails with these mechanisms switched off; None where all are well."""
    command = [sys.executable, "-m", "simulation", "--profile", profile, "--seeds", seeds, "--seconds", str(SECONDS), "--first"]
    options = ["--shrink", "0", *(["--altered", altered] if altered else [])]
    environ = {"PYTHONPATH": "tests", "PYTHONHASHSEED": "0", "PATH": ""}
    done = subprocess.run([*command, *options], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = re.search(r"^FAILED .*, seed (\d+):", done.stdout, re.MULTILINE)
    assert (found is not None) is (done.returncode == 1), done.stdout + done.stderr
    return None if found is None else int(found[1])


@pytest.mark.parametrize(
    ("altered", "profile", "also"),
    [
        ("no_dedupe", "kill-at-commit", ""),
        ("no_sweep", "kill-at-commit", ""),
        ("stale_marks", "kill-at-commit", ""),
        ("no_stored_marks", "kill-at-commit", "no_marks"),
        ("no_joined_seq", "calm", ""),
        ("no_bulletins", "redis", ""),
        ("no_window", "redis", ""),
        ("no_publication", "calm", ""),
        ("no_watchdog", "deaf", ""),
        ("no_reaper", "death", ""),
        ("no_second_witness", "lease-lost", ""),
        ("no_server_in_world", "promoted", ""),
        ("no_world_check", "garbage", ""),
        ("no_peers", "split", ""),
        ("no_catch_up", "leaving", ""),
        ("no_predecessor", "restore", ""),
        ("no_hints", "calm", ""),
        ("no_resync", "subscriptions", "no_heads"),
        ("read_before_subscribe", "calm", "slow_activation"),
    ],
)
def test_mechanism_that_is_switched_off_is_noticed_within_20_seeds(altered: str, profile: str, also: str) -> None:
    """A simulation that passes either way proves nothing. With the mechanism, the seed that fails is well.

    `also`: altered in both runs: a mechanism that covers for this one is off, or a window is wide enough.
    """
    seed = _failed_seed(profile, "1-20", ",".join(filter(None, (also, altered))))

    assert seed is not None
    assert _failed_seed(profile, str(seed), also) is None


def _scenario_passes(test: str, altered: str = "") -> bool:
    """Whether one scenario passes, with this mechanism switched off."""
    imports = "import sys, pytest; from support.altered import ALTERATIONS"
    alter = f"ALTERATIONS[{altered!r}]()" if altered else "None"
    program = f"{imports}; {alter}; sys.exit(pytest.main([{test!r}]))"
    environ = {"PYTHONPATH": "tests", "PYTHONHASHSEED": "0", "PATH": ""}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("altered", ["no_stored_marks", "marks_go_at_once"])
def test_mark_that_is_not_in_the_store_until_all_is_done_is_noticed_by_a_scenario(altered: str) -> None:
    """Seeds seldom hit the moment between the answer and the decision."""
    name = "test_notification_is_not_lost_when_redis_is_down_and_the_instance_dies_after_the_ack"
    scenario = f"tests/simulation/scenarios/test_ordinary_moments.py::{name}"
    assert _scenario_passes(scenario)
    assert not _scenario_passes(scenario, altered)
