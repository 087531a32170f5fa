"""A web site on 127.0.0.1 whose pages a test sets and changes, with ETags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from tests.support.feed_server import FeedServer, Reply, reply


@dataclass
class Page:
    """What a path answers."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Site(FeedServer):
    """Serves `pages` by path, `replies` first; a request whose If-None-Match names the body is answered 304."""

    def __init__(self, **pages: Page) -> None:
        super().__init__()
        self.pages = pages

    def at(self, path: str) -> str:
        """Address of a page."""
        return f"{self.url}/{path}"

    def _reply_to(self, path: str) -> Reply:
        if path in self.replies:
            return super()._reply_to(path)
        page = self.pages.get(path.lstrip("/"), Page(b"", 404))
        etag = f'"{hashlib.sha256(page.body).hexdigest()[:16]}"'
        if page.status == 200 and self.requests[-1].headers.get("if-none-match") == etag:
            return reply(status=304, headers={"etag": etag})
        return reply(page.body, status=page.status, headers={"etag": etag} | page.headers)
