"""The Prometheus beside a local cluster: it scrapes the instances' internal ports and evaluates the alert rules.

It is a part like the others: watched, reported, ended with them. Its data is kept for two days, in at most 512 MB.
"""

import asyncio
import dataclasses
import json
import shutil
from pathlib import Path

from holdfast.cli.up.part import Part, Recipe
from holdfast.cli.up.plan import HOST, INTERNAL_OFFSET, Plan, UpRefused

CHECKOUT_RULES = Path(__file__).parents[4] / "charts" / "holdfast" / "monitoring"
"""Where a checkout has the rules; an installed package has none."""

_PATTERN = "*.rules.yaml"
_INTERVAL = "5s"  # the chart's monitors say 15 s; an operator at a terminal sees a fault sooner
_PROBE_SECONDS = 1.0


def with_prometheus(plan: Plan, rules: Path) -> Plan:
    """The plan with a Prometheus on the front's port + 1000, its configuration written into the data directory.

    Args:
        plan: the parts that are scraped.
        rules: the directory of the rule files (`*.rules.yaml`).

    Raises:
        UpRefused: there is no Prometheus, or there are no rules.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise UpRefused("there is no prometheus on the PATH: install it (apt install prometheus), or leave out --monitor")
    if not any(rules.glob(_PATTERN)):
        raise UpRefused(
            f"there are no rule files ({_PATTERN}) in {rules}: name the directory charts/holdfast/monitoring "
            "of a checkout with --rules"
        )
    folder = plan.data / "prometheus"
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "prometheus.yml"
    configuration.write_text(json.dumps(_configuration(plan, rules.absolute()), indent=2), encoding="utf-8")  # JSON is YAML
    address = f"{HOST}:{plan.port + INTERNAL_OFFSET}"
    command = (
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--storage.tsdb.retention.time=2d",
        "--storage.tsdb.retention.size=512MB",
        f"--web.listen-address={address}",
    )
    recipe = Recipe("prometheus", plan.port + INTERNAL_OFFSET, command, {}, f"listen-address={address}", "kill {pid}")
    return dataclasses.replace(plan, prometheus=Part(recipe, plan.data))


async def answers(port: int) -> bool:
    """Whether the Prometheus on `port` is ready for queries."""
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(f"GET /-/ready HTTP/1.0\r\nHost: {HOST}\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False


def _configuration(plan: Plan, rules: Path) -> dict[str, object]:
    """The labels are those that the chart's monitors set."""
    instances = [
        {
            "targets": [f"{HOST}:{part.port + INTERNAL_OFFSET}"],
            "labels": {"instance": part.name, "namespace": "local", "release": "holdfast"},
        }
        for part in plan.instances
    ]
    return {
        "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
        "rule_files": [str(rules / _PATTERN)],
        "scrape_configs": [{"job_name": "holdfast", "static_configs": instances}],
    }
