"""Mastodon: the newest public posts under a hashtag, as one server knows them.

Wire format as of 2026-11-23, from the documentation of Mastodon's REST API (timelines/tag, entity Status); not tried against a live server.
A server that closed its timelines answers 401, or 200 with an empty list.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from opinion.errors import SourceWalled
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.dates import read_date
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.urls import host_of
from scrapers.wire import item_of, json_of

NAME = "mastodon"
ADAPTER_VERSION = 1
SERVER = "mastodon.social"
POSTS = 40
"""Most posts that a server gives at once."""
_OPEN = ("public", "unlisted")


class _Account(msgspec.Struct):
    acct: str = ""  # of this server `name`, of others `name@server`
    bot: bool | None = None


class _Tag(msgspec.Struct):
    name: str = ""


class _Status(msgspec.Struct):
    id: str | int
    content: str | None = None  # HTML
    created_at: str = ""
    spoiler_text: str | None = None  # the warning before a folded post: its subject
    language: str | None = None
    visibility: str = "public"
    account: _Account = msgspec.field(default_factory=_Account)
    tags: list[_Tag] = []
    in_reply_to_id: str | int | None = None
    reblog: Any = None
    replies_count: int | None = None
    reblogs_count: int | None = None
    favourites_count: int | None = None


class _Refusal(msgspec.Struct):
    error: str


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest posts under the tag."""
    token = feed.option("access_token").strip()
    tag = quote(feed.option("tag").strip().lstrip("#\uff03"), safe="")
    return Ask(url=f"{_base(feed)}/api/v1/timelines/tag/{tag}?limit={POSTS}", headers={"authorization": f"Bearer {token}"} if token else {})


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The posts of a timeline, newest first.

    Errors:
        PageChanged: no list of posts.
        SourceWalled: the server wants a login.
    """
    found = json_of(response, list[Any] | _Refusal)  # type: ignore[arg-type]  # a union is no type to mypy
    if isinstance(found, _Refusal):
        raise SourceWalled(f"the server refuses: {found.error[:100]}")
    items = (_item(row, base=_base(feed), response=response) for row in found)
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _item(row: object, *, base: str, response: Response) -> Item | Problem:
    status = item_of(row, _Status)
    if isinstance(status, str):
        return Problem("invalid", status)
    if status.reblog is not None:
        return Problem("empty", f"{status.id} only passes on another post")
    if status.visibility not in _OPEN:
        return Problem("empty", f"{status.id} is not public")
    published_at, precision = read_date(status.created_at, fetched_at=response.fetched_at)
    server = host_of(base)
    tags = [tag.name for tag in status.tags if tag.name]
    labels: dict[str, Any] = {"channels": tags} if tags else {}
    return Item(
        native_id=_native_id(server, status.id),
        title=status.spoiler_text or "",
        text=status.content or "",
        url=f"{base}/statuses/{quote(str(status.id), safe='')}",  # the address that the server itself gives holds the author's name
        publisher=server,
        published_at=published_at,
        precision=precision,
        published_raw=status.created_at,
        lang=_lang(status.language or ""),
        author=status.account.acct,
        labels=labels | ({"bot": True} if status.account.bot else {}),
        engagement=_engagement(status),
        parent_id=None if status.in_reply_to_id is None else _native_id(server, status.in_reply_to_id),
    )


def _engagement(status: _Status) -> Engagement | None:
    found = Engagement(likes=status.favourites_count, reposts=status.reblogs_count, replies=status.replies_count)
    return None if found == Engagement() else found


def _base(feed: Feed) -> str:
    """The address of the server, which is given as such or as a host."""
    given = feed.option("server").strip().rstrip("/") or SERVER
    return given if "://" in given else f"https://{host_of(f'https://{given}')}"


def _native_id(server: str, number: str | int) -> str:
    """Numbers are a server's own: the same post has another on each."""
    return f"{server}:{number}"


def _lang(said: str) -> str:
    """The language that the author's program declares; empty, to be found from the text, for those we find better: it is often the program's own."""
    return "" if said.lower().split("-")[0] in ("en", "zh") else said


MANNERS = Manners(
    stability="green",
    interval_s=60,
    kind=DocumentKind.SOCIAL,
    terms="each server's own rules; the API is open to programs, 300 requests in 5 minutes; deletions are to be honoured",
    full_text=True,
    tried="not tried live; wire format as documented 2026-11-23 (Mastodon's API documentation)",
    options={
        "tag": "hashtag, with or without #",
        "server": f"host of the server whose view of the tag is read; default {SERVER}",
        "access_token": "token of an account there, for servers that closed their timelines to others",
    },
    needs=("tag",),
)
SOURCE = Source(NAME, ("fediverse",), parse, MANNERS, ask)
