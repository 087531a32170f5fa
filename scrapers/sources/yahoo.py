"""Yahoo Finance: the newest headlines on some symbols, with a short extract, as its RSS gives them.

An item does not say which of the symbols it is on, and some are on none: they are left to the linking of names. Wire format (RSS 2.0, guids that are
UUIDs) as of 2026-11-23, from general knowledge; not tried against the live site, which refuses some programs with 429 or an empty body.
"""

from __future__ import annotations

import re
from datetime import datetime
from urllib.parse import quote

from msgspec.structs import replace

from opinion.errors import ConfigError, PageChanged, SourceRateLimited, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind
from opinion.settings import Feed
from scrapers.source import Ask, Manners, Parsed, Response, Source
from scrapers.sources import feed as feeds
from scrapers.wire import text_of

NAME = "yahoo"
ADAPTER_VERSION = 1
"""Raised also when that of `feed`, which reads the bodies, is."""
ADDRESS = "https://feeds.finance.yahoo.com/rss/2.0/headline"

SNIFF_CHARS = 1_000
"""How far into a body the root of a feed is looked for."""

_CONSENT = re.compile(r"consent\.yahoo\.com|consent-form")
_SEPARATORS = re.compile(r"[\s,，]+")
_NOT_FOUND = "rss feed not found"


def ask(feed: Feed, now: datetime) -> Ask:
    """The headlines on the symbols.

    Errors:
        ConfigError: no symbol is given.
    """
    del now
    symbols = [symbol.upper() for symbol in _SEPARATORS.split(feed.option("symbols")) if symbol]
    if not symbols:
        raise ConfigError(f"source {NAME}: option `symbols` names none")
    return Ask(url=f"{ADDRESS}?s={quote(','.join(dict.fromkeys(symbols)), safe=',')}&region=US&lang=en-US")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The headlines of a feed, under ids of this source.

    Errors:
        PageChanged: no feed, or the site says that there is none of these symbols.
        SourceRateLimited: too many requests, by a line of text.
        SourceWalled: a challenge or consent page.
    """
    text = text_of(response)
    if text[0] != "<" and "too many requests" in text[:500].lower():
        raise SourceRateLimited("too many requests to Yahoo, or a User-Agent that it does not like")
    if text[0] != "<":
        raise PageChanged("no feed")
    if "<rss" not in text[:SNIFF_CHARS] and _CONSENT.search(text):
        raise SourceWalled("a page that asks for consent to cookies instead of the feed")
    placed = feed.model_copy(update={"url": ADDRESS})  # guids are the site's own, whatever address it answered from
    parsed = feeds.parse(response, feed=placed, author_key=author_key)
    if any(_NOT_FOUND in document.title.lower() for document in parsed.documents):
        raise PageChanged("Yahoo has no feed of these symbols")
    return Parsed([_ours(document) for document in parsed.documents], parsed.problems)


def _ours(document: Document) -> Document:
    native_id = document.native_id.removeprefix("feeds.finance.yahoo.com:")
    return replace(document, source=NAME, native_id=native_id, doc_id=doc_id_of(NAME, native_id), extra=document.extra | {"adapter_version": ADAPTER_VERSION})


MANNERS = Manners(
    stability="amber",
    interval_s=120,
    kind=DocumentKind.NEWS,
    lang="en",
    terms="Yahoo's feeds are for personal, non-commercial readers; title, extract and link only; some User-Agents are refused, which is the setting user_agent's business",
    tried="not tried live; wire format as of 2026-11-23 (general knowledge)",
    options={"symbols": "as Yahoo writes them, separated by commas, e.g. AAPL,MSFT,0700.HK"},
    needs=("symbols",),
)
SOURCE = Source(NAME, ("yahoo_finance",), parse, MANNERS, ask)
