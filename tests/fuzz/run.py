"""Fuzz one target: `python -m fuzz.run TARGET SECONDS [INPUT…]`, from `tests`; with inputs (files), run these alone.

With atheris where it is installed (x86-64 Linux): it follows the branches of the code. Elsewhere the seeds are changed at random,
which finds less. Exit: 0 nothing found; otherwise the traceback is shown and the input is kept in `reports/fuzz`.
"""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

KEPT = Path(__file__).parents[2] / "reports" / "fuzz"


def main() -> None:
    """From the command line."""
    name, seconds, inputs = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    KEPT.mkdir(parents=True, exist_ok=True)
    try:
        import atheris
    except ImportError:
        _at_random(name, seconds, inputs)
        return
    with atheris.instrument_imports(include=["holdfast", "fuzz.targets"]):
        from fuzz import targets
    corpus = Path(tempfile.gettempdir()) / f"holdfast-fuzz-{name}"
    shutil.rmtree(corpus, ignore_errors=True)
    corpus.mkdir()
    for number, seed in enumerate(targets.SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={KEPT}/{name}-", *(inputs or [str(corpus)])], targets.TARGETS[name])
    atheris.Fuzz()  # ends the process


def _at_random(name: str, seconds: int, inputs: list[str]) -> None:
    from fuzz import targets

    target = targets.TARGETS[name]
    for path in inputs:
        target(Path(path).read_bytes())
    end, runs = time.monotonic() + (0 if inputs else seconds), 0
    chance = random.Random()
    while time.monotonic() < end:
        data = changed(chance, chance.choice(targets.SEEDS[name]))
        try:
            target(data)
        except Exception:
            (KEPT / f"{name}-crash").write_bytes(data)
            raise
        runs += 1
    print(f"Done {runs} runs at random: atheris is not installed")


def changed(chance: random.Random, seed: bytes) -> bytes:
    """The seed with a few bytes overwritten, inserted, repeated or cut out."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 8)):
        at = chance.randint(0, len(data))
        end = min(len(data), at + chance.randint(0, 8))
        new = (chance.randbytes(end - at), chance.randbytes(1), data[at:end] * 2, b"", b"\0", b"\xff", b'"', b"9" * 20)
        data[at:end] = chance.choice(new)
    return bytes(data)


if __name__ == "__main__":
    main()
