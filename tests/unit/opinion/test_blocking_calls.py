from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from opinion.blocking_calls import BlockingCall


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[:2]


def connect(address: tuple[str, int]) -> str:
    with socket.create_connection(address, timeout=5):
        return "connected"


def send_datagram(address: tuple[str, int]) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        return found.sendto(b"x", address)


def connect_locally() -> None:
    with socket.socket(socket.AF_UNIX) as found:
        found.connect("/run/any.sock")


def test_a_private_address_is_refused_to_any_client(silent: tuple[str, int]) -> None:
    host, port = silent
    tries: list[Callable[[], object]] = [
        lambda: connect(silent),
        lambda: connect(("localhost", port)),
        lambda: httpx.get(f"http://{host}:{port}/", trust_env=False),
        lambda: send_datagram(silent),
        connect_locally,
    ]
    for number, work in enumerate(tries):
        call = BlockingCall(allow_private=False)
        with pytest.raises((OSError, httpx.HTTPError)):
            call.run(work)
        assert call.refused, number


def test_where_private_addresses_are_allowed_they_are_reached(silent: tuple[str, int]) -> None:
    call = BlockingCall(allow_private=True)
    assert call.run(lambda: connect(silent)) == "connected"
    assert not call.refused


def test_other_threads_and_later_calls_are_free(silent: tuple[str, int]) -> None:
    inside, outside = threading.Event(), threading.Event()

    def work() -> None:
        inside.set()
        assert outside.wait(5)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(BlockingCall(allow_private=False).run, work)
        assert inside.wait(5)
        assert connect(silent) == "connected"
        outside.set()
        running.result(5)
        assert pool.submit(connect, silent).result(5) == "connected"


def test_a_stopped_call_ends_though_its_receiver_is_silent(silent: tuple[str, int]) -> None:
    waiting = threading.Event()

    def work() -> bytes:
        with socket.create_connection(silent) as connection:
            waiting.set()
            return connection.recv(1)

    call = BlockingCall(allow_private=True)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(call.run, work)
        assert waiting.wait(5)
        call.stop()
        assert running.result(5) == b""


def test_a_stopped_call_makes_no_further_connection(silent: tuple[str, int]) -> None:
    call = BlockingCall(allow_private=True)
    call.stop()
    with pytest.raises(PermissionError, match="stopped"):
        call.run(lambda: connect(silent))


@pytest.mark.parametrize("start", [lambda: subprocess.run([sys.executable, "-V"], check=True), lambda: os.system("true")], ids=["subprocess", "system"])
def test_no_program_is_started(start: Callable[[], object]) -> None:
    with pytest.raises(PermissionError, match="program"):
        BlockingCall(allow_private=True).run(start)
