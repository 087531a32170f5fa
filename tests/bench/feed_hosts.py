"""Serves made feeds in a process of its own: `python -m tests.bench.feed_hosts PORT COUNT`, on as many addresses of 127.0.0.0/8 as there are hosts.

Beside the feeds: `/freeze` (no feed changes from here on) and `/report` (what was asked and offered), on the address of the first feed.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import sys
from datetime import UTC, datetime

import msgspec

from tests.bench.made_feeds import MadeFeed, hosts_of

ANSWERS_AFTER_S = 0.1
"""The journey there and back, and the server's own work."""


class Report(msgspec.Struct):
    """What the server saw."""

    asked: list[tuple[int, float]]  # feed and epoch seconds of each request
    not_modified: int  # requests that were answered 304
    offered: list[str]  # native ids of all items that were ever sent


class FeedHosts:
    """Answers by HTTP/1.1, gzip where it is accepted, connections kept."""

    def __init__(self, count: int) -> None:
        self._feeds = [MadeFeed(number, now=datetime.now(UTC)) for number in range(count)]
        self._packed: dict[int, tuple[bytes, bytes]] = {}  # per feed the last body and its gzip
        self._offered: dict[str, None] = {}
        self._report = Report([], 0, [])
        self._frozen = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
                headers = dict(line.split(": ", 1) for line in lines[1:] if line)
                await self._answer(lines[0].split(" ")[1], headers, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    async def _answer(self, path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path.startswith("/feed/"):
            await self._feed(int(path.removeprefix("/feed/")), headers, writer)
            return
        self._frozen |= path == "/freeze"
        self._report.offered = list(self._offered)
        await _send(writer, 200, msgspec.json.encode(self._report), {})

    async def _feed(self, number: int, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        self._report.asked.append((number, datetime.now(UTC).timestamp()))
        await asyncio.sleep(ANSWERS_AFTER_S)
        feed = self._feeds[number]
        body = feed.polled(now=datetime.now(UTC), frozen=self._frozen)
        fields = {"content-type": "application/xml; charset=utf-8"}
        if feed.has_etag:
            fields["etag"] = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            if headers.get("if-none-match") == fields["etag"]:
                self._report.not_modified += 1
                await _send(writer, 304, b"", fields)
                return
        if "gzip" in headers.get("accept-encoding", ""):
            body = self._gzip(number, body)
            fields["content-encoding"] = "gzip"
        await _send(writer, 200, body, fields)
        self._offered |= dict.fromkeys(feed.ids())

    def _gzip(self, number: int, body: bytes) -> bytes:
        known = self._packed.get(number)
        if known is None or known[0] != body:
            known = self._packed[number] = (body, gzip.compress(body, compresslevel=6))
        return known[1]


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, fields: dict[str, str]) -> None:
    lines = fields if status == 304 else fields | {"content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + body)
    await writer.drain()


async def main(port: int, count: int) -> None:
    """Serve until ended."""
    server = await asyncio.start_server(FeedHosts(count).serve, hosts_of(count), port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
