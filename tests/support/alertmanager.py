"""Debian's Alertmanager as a child process: found, or fetched as a package and unpacked beside the test."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from yuqing.embedded.process import free_port

PROGRAM = "prometheus-alertmanager"
FETCH_WITHIN_S = 60


def alertmanager_command(directory: Path) -> list[str]:
    """The command that runs it; skips the test, with the reason, where it can be neither found nor fetched."""
    for name in (PROGRAM, "alertmanager"):
        if found := shutil.which(name):
            return [found]
    apt, dpkg, unshare = (shutil.which(name) for name in ("apt-get", "dpkg", "unshare"))
    if apt is None or dpkg is None or unshare is None:
        pytest.skip("Alertmanager is not installed, and there is no apt-get to fetch it with")
    fetched = subprocess.run([apt, "download", PROGRAM], cwd=directory, capture_output=True, text=True, timeout=FETCH_WITHIN_S, check=False)
    packages = list(directory.glob(f"{PROGRAM}_*.deb"))
    if not packages:
        pytest.skip(f"Alertmanager is not installed and cannot be fetched: {fetched.stderr.strip().splitlines()[-1:]}")
    root = directory / "unpacked"
    subprocess.run([dpkg, "-x", str(packages[0]), str(root)], capture_output=True, timeout=FETCH_WITHIN_S, check=True)
    inside = [unshare, "--map-root-user", "--mount", "sh", "-c", f'mount --bind "{root}/usr/share" /usr/share && exec "$@"', "sh"]  # its templates have a fixed place
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True, timeout=FETCH_WITHIN_S, check=False)
    if tried.returncode:
        pytest.skip(f"Alertmanager is not installed, and the fetched one cannot be given its templates: {tried.stderr.strip()[:200]}")
    return [*inside, str(root / "usr" / "bin" / PROGRAM)]


class Alertmanager:
    """A running one, spoken to by its API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=5)

    async def push(self, labels: Mapping[str, str], *, starts_at: datetime, ends_at: datetime | None = None) -> None:
        """Tell it of an alert; with `ends_at`, that it is over."""
        alert: dict[str, Any] = {"labels": dict(labels), "annotations": {}, "startsAt": starts_at.isoformat()}
        if ends_at is not None:
            alert["endsAt"] = ends_at.isoformat()
        (await self._client.post("/api/v2/alerts", json=[alert])).raise_for_status()

    async def silence(self, matchers: Sequence[tuple[str, str]], *, starts_at: datetime, ends_at: datetime) -> str:
        """Silence alerts whose labels have these values; the id."""
        body = {
            "matchers": [{"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in matchers],
            "startsAt": starts_at.isoformat(), "endsAt": ends_at.isoformat(), "createdBy": "desk", "comment": "test",
        }  # fmt: skip
        answer = await self._client.post("/api/v2/silences", json=body)
        answer.raise_for_status()
        return str(answer.json()["silenceID"])

    async def unsilence(self, silence: str) -> None:
        """End a silence."""
        (await self._client.delete(f"/api/v2/silence/{silence}")).raise_for_status()

    async def alerts(self) -> list[dict[str, Any]]:
        """What it holds."""
        answer = await self._client.get("/api/v2/alerts")
        answer.raise_for_status()
        return list(answer.json())

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
async def running_alertmanager(directory: Path, configuration: Mapping[str, Any]) -> AsyncIterator[Alertmanager]:
    """An Alertmanager on 127.0.0.1 with this configuration, stopped at the end."""
    command = alertmanager_command(directory)
    (directory / "alertmanager.yml").write_text(json.dumps(configuration))  # JSON is YAML
    address = f"127.0.0.1:{free_port()}"
    log = (directory / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *command, f"--config.file={directory / 'alertmanager.yml'}", f"--storage.path={directory / 'data'}", f"--web.listen-address={address}", "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL, stderr=log,
    )  # fmt: skip
    log.close()
    manager = Alertmanager(f"http://{address}")
    try:
        async with asyncio.timeout(30):
            while not await manager.ready():
                assert process.returncode is None, (directory / "log").read_text()
                await asyncio.sleep(0.05)
        yield manager
    finally:
        await manager.close()
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
