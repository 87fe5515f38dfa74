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
    ("altered", "profile"),
    [
        ("no_dedupe", "kill-at-commit"),
        ("no_sweep", "kill-at-commit"),
        ("no_joined_seq", "calm"),
        ("no_bulletins", "redis"),
        ("no_watchdog", "deaf"),
    ],
)
def test_mechanism_that_is_switched_off_is_noticed_within_20_seeds(altered: str, profile: str) -> None:
    """A simulation that passes either way proves nothing. As built, the seed that fails is well."""
    seed = _failed_seed(profile, "1-20", altered)

    assert seed is not None
    assert _failed_seed(profile, str(seed)) is None
