"""Every mechanism of the product that is switched off is noticed by the profile that aims at it; with it the profile passes."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
SECONDS = 60


def _passes(profile: str, seed: int, altered: str = "") -> bool:
    """Whether a seed is well, with these mechanisms switched off."""
    command = [sys.executable, "-m", "simulation", "--profile", profile, "--seeds", str(seed), "--seconds", str(SECONDS)]
    options = ["--shrink", "0", *(["--altered", altered] if altered else [])]
    environ = {"PYTHONPATH": "tests", "PYTHONHASHSEED": "0", "PATH": ""}
    done = subprocess.run([*command, *options], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 0


@pytest.mark.parametrize(
    ("altered", "profile", "seed"),
    [
        ("no_dedupe", "kill-at-commit", 2),
        ("no_sweep", "kill-at-commit", 2),
        ("no_joined_seq", "calm", 2),
        ("no_bulletins", "redis", 2),
        ("no_watchdog", "deaf", 2),
    ],
)
def test_mechanism_that_is_switched_off_is_noticed(altered: str, profile: str, seed: int) -> None:
    """A simulation that passes either way proves nothing."""
    assert _passes(profile, seed)
    assert not _passes(profile, seed, altered)
