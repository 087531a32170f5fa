"""A shell that is given one command after the other, as a reader of a page types them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

LONGEST_LINE_BYTES = 16_000_000


class Done(NamedTuple):
    """What came of a command."""

    code: int
    said: str  # on both streams


class Shell:
    """A bash; what still runs in it at the end is ended."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._variables = dict(variables)
        self._process: asyncio.subprocess.Process | None = None
        self._count = 0

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            "bash", "--noprofile", "--norc", cwd=self._folder, env=self._variables, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True, limit=LONGEST_LINE_BYTES,
        )  # fmt: skip
        await self.run("set -o pipefail", within_s=10)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def run(self, command: str, *, within_s: float) -> Done:
        """What the command says and how it ends.

        Errors:
            TimeoutError: it did not in time.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._count += 1
        mark = f"=== {self._count} ended with"
        self._process.stdin.write(f"{{ {command}\n}} < /dev/null\nprintf '\\n%s %s\\n' '{mark}' $?\n".encode())
        said: list[str] = []
        async with asyncio.timeout(within_s):
            while not (said and said[-1].startswith(mark)):
                line = await self._process.stdout.readline()
                assert line, f"the shell ended: {''.join(said)}"
                said.append(line.decode())
        return Done(int(said[-1].removeprefix(mark)), "".join(said[:-1]).removesuffix("\n"))
