"""Child processes that are kept alive: started, restarted with back-off when they die, stopped within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from opinion.clock import monotonic_s
from opinion.tasks import end
from yuqing.embedded.process import die_with_parent, last_words

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0
STEADY_AFTER_S = 60.0
"""A child that lived this long is taken for healthy: the next restart waits the first wait again."""
STOP_WITHIN_S = 7.0
"""From SIGTERM to SIGKILL; a worker ends within 6 s."""
WRONG_CONFIGURATION = 2

Echo = Callable[[str], None]


def restart_wait_s(failures: int) -> float:
    """Wait before the restart after so many failures in a row.

    >>> [restart_wait_s(n) for n in (1, 2, 3, 9)]
    [1.0, 2.0, 4.0, 30.0]
    """
    wait_s: float = FIRST_WAIT_S * 2.0 ** (failures - 1)
    return min(wait_s, LONGEST_WAIT_S)


class Child:
    """A process of ours.

    new ──start()──▶ running ──dies──▶ waiting ──▶ running      exit 2 (configuration) ──▶ given up      stop() ──▶ stopped
    """

    def __init__(self, name: str, command: Sequence[str], *, environment: Mapping[str, str], log_path: Path, echo: Echo) -> None:
        self.name = name
        self.restarts = 0
        self.given_up = False
        self._command = list(command)
        self._environment = dict(environment)
        self._log_path = log_path
        self._echo = echo
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def start(self) -> None:
        """Start, and keep alive until `stop`."""
        await self._launch()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def stop(self) -> None:
        """End it: SIGTERM, then SIGKILL when it takes too long."""
        if self._keeper is not None:
            await end(self._keeper)
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

    async def _launch(self) -> None:
        self._log_path.parent.mkdir(parents=True, exist_ok=True)
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent, start_new_session=True
            )

    async def _keep(self) -> None:
        failures = 0
        while True:
            assert self._process is not None
            began_s = monotonic_s()
            code = await self._process.wait()
            failures = 1 if monotonic_s() - began_s > STEADY_AFTER_S else failures + 1
            if code == WRONG_CONFIGURATION:
                self.given_up = True
                self._echo(f"{self.name} cannot run: {self.last_words()}")
                return
            wait_s = restart_wait_s(failures)
            self._echo(f"{self.name} ended ({code}): {self.last_words()}; starting it again in {wait_s:g} s (log: {self._log_path})")
            await asyncio.sleep(wait_s)
            self.restarts += 1
            await self._launch()

    def last_words(self) -> str:
        """The last telling line of its log."""
        return last_words(self._log_path)
