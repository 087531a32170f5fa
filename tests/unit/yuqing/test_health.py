from __future__ import annotations

import asyncio
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing

import psutil
import pytest
from prometheus_client import CollectorRegistry

from opinion.metrics_server import MetricsServer
from opinion.settings import load_settings
from tests.unit.yuqing.conftest import Command
from yuqing import health
from yuqing.embedded.process import port_is_free
from yuqing.health import run_health

BLOCK = 20
"""Ports of one test: more than those of all workers on a host. Above those that the system gives to others."""


@pytest.fixture
def first() -> int:
    """The first of a block of ports that nobody listens at."""
    blocks = list(range(61_000, 65_500, BLOCK))
    random.shuffle(blocks)
    return next(begin for begin in blocks if all(port_is_free(begin + n) for n in range(BLOCK)))


@pytest.fixture
def ports(first: int) -> dict[str, str]:
    return {"YUQING_SCRAPER_PORT": str(first), "YUQING_API_PORT": str(first + 1), "YUQING_WORKER_PORT": str(first + 2)}


@pytest.fixture
async def listen() -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """Makes processes that listen at a port and are well, or not."""
    servers: list[MetricsServer] = []

    async def listening(port: int, *, healthy: bool = True, host: str = "127.0.0.1") -> None:
        servers.append(MetricsServer(CollectorRegistry(), host=host, port=port, healthy=lambda: healthy))
        await servers[-1].start()

    yield listening
    for server in servers:
        await server.stop()


async def asked(ports: dict[str, str], *wanted: str) -> tuple[int, list[str]]:
    said: list[str] = []
    code = await asyncio.to_thread(lambda: run_health(load_settings(ports), wanted=wanted, say=said.append))
    return code, said


async def test_all_that_listen_are_well(listen: Callable[..., Awaitable[None]], ports: dict[str, str], first: int) -> None:
    for port in (first, first + 1, first + 2, first + 3):
        await listen(port)
    code, said = await asked(ports)
    assert code == 0
    assert said == [f"{name} well (127.0.0.1:{port})" for name, port in (("scrape:", first), ("work:", first + 2), ("work:", first + 3), ("alert:", first + 1))]


async def test_one_of_several_that_is_not_well_is_told(listen: Callable[..., Awaitable[None]], ports: dict[str, str], first: int) -> None:
    await listen(first)
    await listen(first + 1, healthy=False)
    assert await asked(ports) == (1, [f"scrape: well (127.0.0.1:{first})", f"alert: not well, it answers 503 (127.0.0.1:{first + 1})"])
    assert await asked(ports, "scrape") == (0, [f"scrape: well (127.0.0.1:{first})"])


async def test_a_machine_without_a_process_of_ours_is_not_well(ports: dict[str, str]) -> None:
    assert await asked(ports) == (1, ["no process of ours answers at 127.0.0.1"])


async def test_a_process_that_is_named_must_be_there(listen: Callable[..., Awaitable[None]], ports: dict[str, str], first: int) -> None:
    await listen(first)
    code, said = await asked(ports, "scrape", "alert", "work")
    assert code == 1
    assert said[1:] == [f"alert: does not answer at 127.0.0.1, port {first + 1}", f"work: does not answer at 127.0.0.1, port {first + 2} to {first + 17}"]


async def test_a_worker_that_counted_up_is_found(listen: Callable[..., Awaitable[None]], ports: dict[str, str], first: int) -> None:
    await listen(first + 17)
    assert await asked(ports, "work") == (0, [f"work: well (127.0.0.1:{first + 17})"])


async def test_one_that_hangs_is_not_well(ports: dict[str, str], first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWERS_WITHIN_S", 0.2)
    with closing(socket.create_server(("127.0.0.1", first))):
        assert await asked(ports) == (1, [f"scrape: does not answer within 0.2 s (127.0.0.1:{first})"])


@pytest.mark.parametrize("answer", [b"+PONG\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"])
async def test_what_is_not_ours_is_passed_over(listen: Callable[..., Awaitable[None]], ports: dict[str, str], first: int, answer: bytes) -> None:
    """The intake, for one, may be at a port that the ninth worker would take."""

    async def somebody_else(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(somebody_else, "127.0.0.1", first + 10):
        assert await asked(ports) == (1, ["no process of ours answers at 127.0.0.1"])
        await listen(first + 2)
        assert await asked(ports) == (0, [f"work: well (127.0.0.1:{first + 2})"])


@pytest.mark.parametrize(("host", "near"), [("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("localhost", "localhost")])
async def test_processes_are_asked_where_they_listen(listen: Callable[..., Awaitable[None]], ports: dict[str, str], first: int, host: str, near: str) -> None:
    await listen(first, host=host)
    assert await asked(ports | {"YUQING_API_HOST": host}) == (0, [f"scrape: well ({near}:{first})"])


async def test_a_port_that_the_system_chose_cannot_be_asked(ports: dict[str, str]) -> None:
    assert await asked(ports | {"YUQING_WORKER_PORT": "0"}, "work") == (1, ["work: the system chose its port, so it cannot be asked"])


def test_command_ends_with_what_was_found(command: Command, ports: dict[str, str]) -> None:
    result = command("health", **ports)
    assert (result.exit_code, result.stdout) == (1, "no process of ours answers at 127.0.0.1\n")


def test_command_refuses_a_process_that_there_is_not(command: Command) -> None:
    result = command("health", "worker")
    assert result.exit_code == 2
    assert "'worker' is not one of 'scrape', 'work', 'alert'" in result.stderr


FIRST_PROCESS = """
import os, time
from yuqing.cli import main
assert os.getpid() == 1
main.commands["check"].callback = lambda: (print("begun", flush=True), time.sleep(60))
main(["check"])
"""


@pytest.fixture
def unshare() -> str:
    """A program that makes process namespaces. Skips the test where it cannot."""
    found = shutil.which("unshare")
    if found is None or subprocess.run([found, "--pid", "--fork", "true"], capture_output=True, check=False, timeout=30).returncode != 0:
        pytest.skip("no process namespace can be made here: it takes root and `unshare`")
    return found


async def test_the_first_process_of_a_container_ends_when_told_to_before_its_work_has_begun(unshare: str) -> None:
    """The kernel ignores signals of a first process that has not said what is to happen."""
    process = await asyncio.create_subprocess_exec(unshare, "--pid", "--fork", "--kill-child", sys.executable, "-c", FIRST_PROCESS, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"begun\n"
        (child,) = psutil.Process(process.pid).children()
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await process.wait() == 128 + signal.SIGTERM
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
