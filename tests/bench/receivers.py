"""Receivers of webhooks in a process of their own: `python -m tests.bench.receivers COUNT HANGING`.

Each listens on a port; the first HANGING never answer, the others after ANSWER_S. The first line printed is the JSON list of their ports. Any GET is
answered with the rows of all messages heard: [number of the receiver, webhook-id, seconds since 1970 at which it first came, whether it was answered,
instant of the newest evidence or null, body's `data` without evidence].
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from tests.bench.report import say

ANSWER_S = 0.05
"""A receiver on the same continent."""
BACKLOG = 1024


class Receivers:
    """All of them."""

    def __init__(self, *, hanging: int) -> None:
        self._hanging = hanging
        self._heard: dict[str, list[Any]] = {}

    async def serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection."""
        try:
            while line := await reader.readline():
                headers: dict[str, str] = {}
                while text := (await reader.readline()).decode().strip():
                    name, _, value = text.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if line.startswith(b"GET"):
                    said = json.dumps(list(self._heard.values())).encode()
                else:
                    said = b"{}"
                    self._note(number, headers["webhook-id"], body)
                    if number < self._hanging:
                        await reader.read()  # until the sender gives up
                        return
                    await asyncio.sleep(ANSWER_S)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(said) + said)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender has gone
        finally:
            writer.close()

    def _note(self, number: int, message_id: str, body: bytes) -> None:
        if message_id in self._heard:
            return
        data = json.loads(body)["data"]
        newest = max((item["fetched_at"] for item in data.pop("evidence", []) if item.get("fetched_at")), default=None)
        self._heard[message_id] = [number, message_id, time.time(), number >= self._hanging, newest, data]


async def main(count: int, hanging: int) -> None:
    """Serve until killed."""
    receivers = Receivers(hanging=hanging)

    async def listen(number: int) -> int:
        server = await asyncio.start_server(lambda reader, writer: receivers.serve(number, reader, writer), "127.0.0.1", 0, backlog=BACKLOG)
        servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    servers: list[asyncio.Server] = []
    say(json.dumps([await listen(number) for number in range(count)]))
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
