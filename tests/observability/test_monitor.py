"""`holdfast up --monitor` with a real Prometheus: rules loaded, targets up, and ended with the cluster."""

import json
import os
import shutil
import urllib.request
from pathlib import Path
from typing import Any

from support.eventually import eventually
from support.prometheus_rules import rules
from support.up import Up, require, require_redis


def _ask(up: Up, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{up.port + 1000}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)["data"]


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_monitor_scrapes_all_instances_and_evaluates_all_rules(tmp_path: Path) -> None:
    """An operator sees the same alerts on a laptop as in production; nothing is left running afterwards."""
    require_redis()
    require(shutil.which("prometheus") is not None, "no prometheus here: apt-get install prometheus")
    up = Up(tmp_path / "data", 2, "--monitor")
    await up.start()
    try:
        assert f"Prometheus http://127.0.0.1:{up.port + 1000}   alerts at /alerts" in up.output
        await eventually(lambda: [each["health"] for each in _ask(up, "targets")["activeTargets"]] == ["up", "up"])
        loaded = [rule["name"] for group in _ask(up, "rules")["groups"] for rule in group["rules"]]
        assert sorted(loaded) == sorted(rule.get("alert") or rule["record"] for rule in rules())
        pid = up.pid("prometheus")
    finally:
        code = await up.stop()
    assert code == 0
    assert not _is_running(pid)
