"""An HTTP server whose answer does not end: lines, in chunks, when a test says so."""

from __future__ import annotations

import asyncio

from tests.support.feed_server import FeedServer, Reply

_HEAD = b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
_STREAM = Reply(hangs=True)


class LineServer(FeedServer):
    """Streams what it is told to say to whoever is connected; `refusals` are answered first, one each."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: list[Reply] = []
        self.listeners = 0
        self._said: asyncio.Queue[bytes] = asyncio.Queue()

    def say(self, *lines: bytes) -> None:
        """Send lines; an empty one keeps the connection alive."""
        for line in lines:
            self._said.put_nowait(line + b"\r\n")

    def cut(self, half: bytes = b"") -> None:
        """Break the connection off, in the middle of a line."""
        if half:
            self._said.put_nowait(half)
        self._said.put_nowait(b"")

    def _reply_to(self, path: str) -> Reply:
        return self.refusals.pop(0) if self.refusals else _STREAM

    async def _send(self, answer: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is not _STREAM:
            await super()._send(answer, reader, writer)
            return
        writer.write(_HEAD)
        await writer.drain()
        self.listeners += 1
        gone = asyncio.create_task(reader.read())
        try:
            while (said := await self._next(gone)) is not None:
                writer.write(b"%x\r\n%b\r\n" % (len(said), said))
                await writer.drain()
        finally:
            self.listeners -= 1
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _next(self, gone: asyncio.Task[bytes]) -> bytes | None:
        """What to send next; None where the connection is to end, or has."""
        saying = asyncio.create_task(self._said.get())
        await asyncio.wait({gone, saying}, return_when=asyncio.FIRST_COMPLETED)
        if gone.done() and not saying.done():
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            return None
        return saying.result() or None
