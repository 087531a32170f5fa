"""RSSHub: what a route of an instance of your own makes of a site that has no feed, e.g. `cls/telegraph`.

The instance is the operator's: the public one refuses programs like this. Feeds as of 2026-11-23 (JSON Feed 1.1, RSS 2.0); not tried against a live instance.
"""

from __future__ import annotations

from datetime import datetime

from msgspec.structs import replace

from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind
from opinion.settings import Feed
from scrapers.source import Ask, Manners, Parsed, Response, Source
from scrapers.sources import feed as feeds

NAME = "rsshub"
ADAPTER_VERSION = 1
"""Raised also when that of `feed`, which reads the bodies, is."""


def ask(feed: Feed, _now: datetime) -> Ask:
    """The route, as a JSON Feed unless another form is chosen; what follows a `?` in it stays."""
    route = feed.option("route").lstrip("/")
    form = feed.option("format", "json")
    query = "" if form == "rss" else f"{'&' if '?' in route else '?'}format={form}"
    return Ask(url=f"{feed.option('base').rstrip('/')}/{route}{query}")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The Documents of a route, under ids of this source.

    Errors:
        PageChanged: no feed, empty, or one that defines XML entities.
        SourceWalled: a challenge or login page.
    """
    placed = feed.model_copy(update={"url": f"rsshub://{feed.option('route').lstrip('/')}"})  # ids that are the site's own are told apart by the site, not by the instance
    parsed = feeds.parse(response, feed=placed, author_key=author_key)
    return Parsed([_ours(document) for document in parsed.documents], parsed.problems)


def _ours(document: Document) -> Document:
    return replace(document, source=NAME, doc_id=doc_id_of(NAME, document.native_id), extra=document.extra | {"adapter_version": ADAPTER_VERSION})


MANNERS = Manners(
    stability="green",
    interval_s=60,
    kind=DocumentKind.NEWS,
    terms="the instance is your own; what its routes read is under the terms of each site",
    tried="not tried live; JSON Feed 1.1 and RSS 2.0 as documented 2026-11-23",
    options={
        "base": "address of your instance, e.g. http://127.0.0.1:1200 (one at home needs allow_private_sources)",
        "route": "what it is to read, e.g. cls/telegraph or cls/telegraph?limit=50",
        "format": "json (the default), rss or atom",
    },
    needs=("base", "route"),
)
SOURCE = Source(NAME, (), parse, MANNERS, ask)
