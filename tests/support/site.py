"""A web site on 127.0.0.1 whose pages a test sets and changes, with ETags, and which remembers who asked for what."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self


@dataclass
class Page:
    """What a path answers."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Site:
    """Serves `pages` by path; a request whose If-None-Match names the body is answered 304."""

    def __init__(self, **pages: Page) -> None:
        self.pages = pages
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._server: asyncio.Server | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()

    def url(self, path: str) -> str:
        """Address of a page."""
        return f"http://127.0.0.1:{self._port}/{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readline()).decode().split(" ")[1].lstrip("/")
            headers: dict[str, str] = {}
            while line := (await reader.readline()).decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            self.asked.append((path, headers))
            page = self.pages.get(path, Page(b"", 404))
            etag = f'"{hashlib.sha256(page.body).hexdigest()[:16]}"'
            status, body = (304, b"") if page.status == 200 and headers.get("if-none-match") == etag else (page.status, page.body)
            fields = {"content-length": str(len(body)), "etag": etag, "connection": "close"} | page.headers
            head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
            writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body)
            await writer.drain()
        finally:
            writer.close()
