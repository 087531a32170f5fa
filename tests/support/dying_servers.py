"""Embedded servers that die: killed and started again on what they had written, or on what of it had reached the disk."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.support.workers import until
from yuqing.embedded.process import Server
from yuqing.embedded.redis import EmbeddedRedis


async def killed(server: Server) -> None:
    """SIGKILL."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: not server.alive(), within_s=10, every_s=0.01)


async def killed_and_restarted(server: Server, *, down_s: float) -> None:
    """SIGKILL to a server, which is started again after a while on what it had written."""
    await killed(server)
    await asyncio.sleep(down_s)
    await server.start()


def written_bytes(server: EmbeddedRedis) -> int:
    """How long its append-only file is."""
    return (server.data_dir / "appendonly.aof").stat().st_size


async def failed_and_restarted(server: EmbeddedRedis, *, kept_bytes: int, down_s: float) -> None:
    """The machine fails under Redis: what it wrote to its file after so many bytes never reached the disk (`appendfsync everysec`)."""
    await killed(server)
    os.truncate(server.data_dir / "appendonly.aof", kept_bytes)
    await asyncio.sleep(down_s)
    await server.start()
