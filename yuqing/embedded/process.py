"""A server as a child process: started, watched until it answers, stopped by its own id, never left behind."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from opinion.clock import monotonic_s
from opinion.errors import ServerFailed

STOP_WITHIN_S = 6.0
"""From SIGTERM to SIGKILL. Kafka closes its logs in 1-3 s."""
NEEDED_BYTES = 500 * 1024 * 1024
"""Free disk below which a server is not started: Kafka preallocates indexes and damages logs when the disk fills."""
LOG_TAIL_BYTES = 4000
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """Run in the child before it becomes the server: the kernel ends it when the thread that forked it ends.

    Children also get a session of their own, so that Ctrl-C on a terminal reaches the parent alone, which stops them in order.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_bytes(folder: Path) -> int:
    """Free bytes of the file system that holds `folder`."""
    return shutil.disk_usage(folder).free


class Server(ABC):
    """A child process that serves.

    new ──start()──▶ answering ──stop()──▶ stopped      answering ──dies──▶ not alive() ──start()──▶ answering
    """

    name = "server"

    def __init__(self, data_dir: Path, *, free_space: Callable[[Path], int] = free_bytes) -> None:
        self.data_dir = data_dir
        self.address = ""
        self._free_space = free_space
        self._process: asyncio.subprocess.Process | None = None

    @abstractmethod
    async def start(self) -> str:
        """The address, once the server answers.

        Errors:
            ServerFailed: one line with the reason.
        """

    @property
    def log_path(self) -> Path:
        """Where the server's output goes."""
        return self.data_dir / "server.log"

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self.alive() and self._process is not None else None

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    def check_disk(self) -> None:
        """Refuse to start on a full disk.

        Errors:
            ServerFailed: less than half a gigabyte is free.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        free = self._free_space(self.data_dir)
        if free < NEEDED_BYTES:
            raise ServerFailed(f"no disk space for {self.name}: {free // 1_000_000} MB free in {self.data_dir}, {NEEDED_BYTES // 1_000_000} MB needed")

    async def launch(self, command: Sequence[str]) -> None:
        """Start the process; its output goes to the log.

        Errors:
            ServerFailed: the program cannot be run.
        """
        with self.log_path.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *command, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL, preexec_fn=die_with_parent, start_new_session=True
                )
            except OSError as error:
                raise ServerFailed(f"cannot start {self.name}: {error.strerror}") from error

    async def wait_until(self, answers: Callable[[], Awaitable[bool]], *, within_s: float) -> None:
        """Return when the server answers.

        Errors:
            ServerFailed: it died or did not answer in time; the message ends with the last line of its log.
        """
        deadline_s = monotonic_s() + within_s
        while not await answers():
            if not self.alive():
                raise ServerFailed(f"{self.name} stopped while starting: {self.last_words()} (log: {self.log_path})")
            if monotonic_s() > deadline_s:
                await self.stop()
                raise ServerFailed(f"{self.name} did not answer within {within_s:g} s: {self.last_words()} (log: {self.log_path})")

    def last_words(self) -> str:
        """The last telling line of the log."""
        return last_words(self.log_path)

    async def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL when it takes too long."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def last_words(log_path: Path) -> str:
    """The last line of a log that names an error, else its last line; frames and rulers of a traceback are passed over."""
    if not log_path.exists():
        return "it said nothing"
    tail = log_path.read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    lines = [line.strip(" |+-") for line in tail.splitlines() if not line.lstrip().startswith("at ")]
    lines = [line for line in lines if line]
    telling = [line for line in lines if "rror" in line or "xception" in line or "ail" in line]
    return (telling or lines or ["it said nothing"])[-1][:300]


def process_exists(pid: int) -> bool:
    """Whether a process of this id exists (as a zombie too)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
