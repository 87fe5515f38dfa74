"""A real Prometheus for tests: it scrapes instances every second, with the labels that the chart's monitors set."""

import json
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from holdfast.launcher.ports import free_port
from support.eventually import eventually
from support.instances import Serving
from support.prometheus_rules import rule_files, shortened
from support.up import require

NAMESPACE, RELEASE = "chat", "one"
_CHOSEN = {"$namespace": NAMESPACE, "$release": RELEASE, "$instance": ".*", "$__range": "30s"}


class Prometheus:
    """One server with the chart's rules. `close` ends it."""

    def __init__(
        self,
        directory: Path,
        targets: dict[str, str],
        rewrite: Callable[[str], str] = shortened,
        scrape_seconds: int = 1,
    ) -> None:
        """Starts nothing yet.

        Args:
            directory: for its files.
            targets: name of the instance -> host and port of its metrics.
            rewrite: what is done to the text of each rule file.
            scrape_seconds: between two scrapes.
        """
        require(shutil.which("prometheus") is not None, "no prometheus here: apt-get install prometheus")
        self._directory = directory
        self._port = free_port()
        self._targets = targets
        self._rewrite = rewrite
        self._scrape_seconds = scrape_seconds
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> "Prometheus":
        """Start it; returns when it answers."""
        for path in rule_files():
            text = path.read_text(encoding="utf-8")
            (self._directory / path.name).write_text(self._rewrite(text), encoding="utf-8")
        static = [
            {"targets": [address], "labels": {"instance": name, "namespace": NAMESPACE, "release": RELEASE}}
            for name, address in self._targets.items()
        ]
        config = {
            "global": dict.fromkeys(("scrape_interval", "evaluation_interval"), f"{self._scrape_seconds}s"),
            "rule_files": ["*.rules.yaml"],
            "scrape_configs": [{"job_name": "holdfast", "static_configs": static}],
        }
        path = self._directory / "prometheus.yml"
        path.write_text(json.dumps(config), encoding="utf-8")
        command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={self._directory / 'tsdb'}"]
        with (self._directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond
                [*command, f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"], stdout=log, stderr=log
            )
        await eventually(self._is_ready)
        return self

    async def query(self, query: str) -> list[dict[str, Any]]:
        """The samples that answer a query of a dashboard or rule now.

        Raises:
            AssertionError: Prometheus refuses the query.
        """
        # As Grafana does it: four scrapes.
        chosen = _CHOSEN | {"$__rate_interval": f"{max(10, 4 * self._scrape_seconds)}s"}
        for name, value in chosen.items():
            query = query.replace(name, value)
        async with _client() as client:
            answer = await client.post(f"http://127.0.0.1:{self._port}/api/v1/query", data={"query": query})
        body = answer.json()
        assert body["status"] == "success", f"{query}: {body}"
        found: list[dict[str, Any]] = body["data"]["result"]
        return found

    async def query_range(self, query: str, start: float, end: float, step: float, **chosen: str) -> list[dict[str, Any]]:
        """The series that answer a query from `start` to `end` (Unix time), a sample every `step` seconds.

        `chosen`: other values of a dashboard's variables than those of `query`, without the `$`.
        """
        for name, value in (_CHOSEN | {f"${name}": value for name, value in chosen.items()}).items():
            query = query.replace(name, value)
        asked = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        async with httpx.AsyncClient(verify=False, timeout=60) as client:
            answer = await client.post(f"http://127.0.0.1:{self._port}/api/v1/query_range", data=asked)
        body = answer.json()
        assert body["status"] == "success", f"{query}: {body}"
        found: list[dict[str, Any]] = body["data"]["result"]
        return found

    async def firing(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire now: name -> alert, with its labels and the texts as they are told."""
        async with _client() as client:
            answer = await client.get(f"http://127.0.0.1:{self._port}/api/v1/alerts")
        return {each["labels"]["alertname"]: each for each in answer.json()["data"]["alerts"] if each["state"] == "firing"}

    async def _is_ready(self) -> bool:
        try:
            async with _client() as client:
                return (await client.get(f"http://127.0.0.1:{self._port}/-/ready")).status_code == 200
        except httpx.HTTPError:
            return False

    def close(self) -> None:
        """End it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)


def _client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=10, verify=False)  # plain HTTP: to load authorities takes longer than the query


def address_of(instance: Serving) -> str:
    """Where its metrics are."""
    return f"127.0.0.1:{instance.internal_port}"
