"""Debian's Prometheus for tests: promtool, and a server of one's own on 127.0.0.1 with our configuration."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from yuqing.embedded.process import free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = tuple(DEPLOY / "prometheus" / "rules" / name for name in ("recording.yml", "alerts.yml"))
METRIC = re.compile(r"(?:\b[a-z]+:)?\byuqing_[a-z0-9_]+(?::[a-z0-9_]+)?")
"""A metric of ours, or one that a rule records, in an expression."""


def program(name: str) -> str:
    """Where a program of Prometheus is; skips the test, with the reason, where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on the PATH; Debian's package `prometheus` has it")
    return found


def rules() -> list[dict[str, Any]]:
    """Every rule of ours."""
    return [rule for path in RULES for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]


def adapted(ports: Mapping[str, int], *, alertmanager: str, rule_files: list[str]) -> dict[str, Any]:
    """Our prometheus.yml, looking every second at processes that listen elsewhere: job -> port."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    found["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    found["rule_files"] = rule_files
    found["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager]
    for job in found["scrape_configs"]:
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{ports[job['job_name']]}"]
    return found


class Prometheus:
    """A running one, asked by its API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=10)

    async def query(self, expression: str) -> list[float]:
        """The values of an expression now.

        Errors:
            ValueError: Prometheus refuses it.
        """
        answer = (await self._client.post("/api/v1/query", data={"query": expression})).json()
        if answer["status"] != "success":
            raise ValueError(f"{answer['error']}: {expression}")
        return [float(sample["value"][1]) for sample in answer["data"]["result"]]

    async def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health and, of an alert, its state."""
        answer = (await self._client.get("/api/v1/rules")).json()
        return [rule for group in answer["data"]["groups"] for rule in group["rules"]]

    async def ready(self) -> bool:
        """Whether it answers."""
        try:
            return (await self._client.get("/-/ready")).is_success
        except httpx.HTTPError:
            return False

    async def close(self) -> None:
        """Forget the connections to it."""
        await self._client.aclose()


@asynccontextmanager
async def running_prometheus(folder: Path, configuration: Mapping[str, Any]) -> AsyncIterator[Prometheus]:
    """A Prometheus with this configuration, stopped at the end."""
    command = program("prometheus")
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    address = f"127.0.0.1:{free_port()}"
    log = (folder / "prometheus.log").open("wb")
    options = [f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={address}"]
    again = "--rules.alert.resend-delay=1s"  # the first notifications come before it has found whom to send them to
    process = await asyncio.create_subprocess_exec(command, *options, again, stdout=log, stderr=log)
    log.close()
    server = Prometheus(f"http://{address}")
    try:
        async with asyncio.timeout(30):
            while not await server.ready():
                assert process.returncode is None, (folder / "prometheus.log").read_text()
                await asyncio.sleep(0.05)
        yield server
    finally:
        await server.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
