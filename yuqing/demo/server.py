"""The outside world of the demo on 127.0.0.1: feeds that fill as the day goes by, and a receiver that verifies every webhook."""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Any, Self
from xml.etree import ElementTree as ET

import msgspec
import uvicorn
from fastapi import FastAPI, Request, Response
from msgspec import Struct
from standardwebhooks import Webhook, WebhookVerificationError

from opinion.clock import Clock, SystemClock
from opinion.records import Alert, Instant
from yuqing.demo.day import OUTLETS, Item
from yuqing.embedded.process import free_port

LISTED = 150
"""Newest items that a feed lists: real ones list 20 to 200."""
_ATOM = "http://www.w3.org/2005/Atom"
_BEFORE_THE_DAY = "nothing yet"


class Message(Struct, frozen=True):
    """The body of a webhook."""

    type: str
    timestamp: Instant
    data: Alert


class Told(Struct, frozen=True, kw_only=True):
    """One webhook as it arrived."""

    message: Message
    webhook_id: str
    verified: bool
    arrived_at: datetime  # wall time


class Outside:
    """Serves `/feeds/<name>` and takes POSTs at `/hook`; what arrived comes through `told`."""

    def __init__(self, items: Sequence[Item], *, secret: str) -> None:
        self.told: asyncio.Queue[Told] = asyncio.Queue()
        self.port = free_port()
        self.clock: Clock | None = None  # set once the day begins; the feeds are empty before
        self.polls = 0
        self._secret = secret
        self._wall = SystemClock()
        self._by_feed = {name: [item for item in items if item.feed == name] for name in OUTLETS}
        self._server = uvicorn.Server(uvicorn.Config(self._api(), host="127.0.0.1", port=self.port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._serving: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self._server.serve(), name="outside")
        while not self._server.started:  # noqa: ASYNC110 - uvicorn sets a field and wakes nobody
            await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)

    def url(self, path: str) -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def _api(self) -> FastAPI:
        api = FastAPI(openapi_url=None)
        api.add_api_route("/feeds/{name}", self._feed, methods=["GET"])
        api.add_api_route("/hook", self._hook, methods=["POST"])
        return api

    async def _feed(self, name: str, request: Request) -> Response:
        self.polls += 1
        items = self._listed(name)
        etag = f'"{hashlib.sha256((items[-1].guid + str(len(items)) if items else _BEFORE_THE_DAY).encode()).hexdigest()[:16]}"'
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers={"etag": etag})
        body, content_type = RENDER[OUTLETS[name].form](name, items)
        return Response(body, media_type=content_type, headers={"etag": etag})

    def _listed(self, name: str) -> list[Item]:
        items = self._by_feed[name]
        if self.clock is None:
            return []
        end = bisect_right(items, self.clock.now(), key=lambda item: item.at)
        return items[max(0, end - LISTED) : end]

    async def _hook(self, request: Request) -> Response:
        body = await request.body()
        headers = dict(request.headers)
        try:
            Webhook(self._secret).verify(body, headers)
            verified = True
        except WebhookVerificationError:
            verified = False
        message = msgspec.json.decode(body, type=Message)
        self.told.put_nowait(Told(message=message, webhook_id=headers.get("webhook-id", ""), verified=verified, arrived_at=self._wall.now()))
        return Response(status_code=204)


def rss(name: str, items: Sequence[Item]) -> tuple[bytes, str]:
    """RSS 2.0; Chinese in GB18030, as older sites there still serve it."""
    root = ET.Element("rss", version="2.0")
    channel = ET.SubElement(root, "channel")
    _texts(channel, {"title": name, "link": f"https://{OUTLETS[name].hosts[0]}/", "description": name})
    for item in reversed(items):
        fields = {"guid": item.guid, "link": item.guid, "title": item.title, "description": item.text, "pubDate": format_datetime(item.at)}
        _texts(ET.SubElement(channel, "item"), fields)
    charset = "gb18030" if OUTLETS[name].lang == "zh" else "utf-8"
    return ET.tostring(root, encoding=charset, xml_declaration=True), f"application/rss+xml; charset={charset}"


def atom(name: str, items: Sequence[Item]) -> tuple[bytes, str]:
    """Atom 1.0 in UTF-8."""
    root = ET.Element(f"{{{_ATOM}}}feed")
    _texts(root, {f"{{{_ATOM}}}title": name, f"{{{_ATOM}}}id": f"https://{OUTLETS[name].hosts[0]}/"})
    for item in reversed(items):
        entry = ET.SubElement(root, f"{{{_ATOM}}}entry")
        _texts(entry, {f"{{{_ATOM}}}{field}": value for field, value in _entry(item).items()})
        ET.SubElement(entry, f"{{{_ATOM}}}link", href=item.guid)
        if item.author:
            _texts(ET.SubElement(entry, f"{{{_ATOM}}}author"), {f"{{{_ATOM}}}name": item.author})
    return ET.tostring(root, encoding="utf-8", xml_declaration=True), "application/atom+xml"


def json_feed(name: str, items: Sequence[Item]) -> tuple[bytes, str]:
    """JSON Feed 1.1."""
    rows: list[dict[str, Any]] = [
        {
            "id": item.guid,
            "url": item.guid,
            "content_text": item.text,
            "date_published": item.at.isoformat(),
            **({"title": item.title} if item.title else {}),
            **({"authors": [{"name": item.author}]} if item.author else {}),
        }
        for item in reversed(items)
    ]
    return msgspec.json.encode({"version": "https://jsonfeed.org/version/1.1", "title": name, "items": rows}), "application/feed+json"


RENDER = {"rss": rss, "atom": atom, "json": json_feed}


def _entry(item: Item) -> dict[str, str]:
    return {"id": item.guid, "title": item.title, "summary": item.text, "published": item.at.isoformat(), "updated": item.at.isoformat()}


def _texts(parent: ET.Element, fields: dict[str, str]) -> None:
    for name, value in fields.items():
        ET.SubElement(parent, name).text = value
