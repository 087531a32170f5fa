"""Google News: headlines on a search of the last hour, as its RSS gives them: at most 100, with the name and host of their publisher.

A link leads to an address of Google's that opens the article in a browser only; headlines are all there is, and no way around that is taken. Wire format
as of 2026-11-23, from general knowledge and reports of users; not tried against the live site.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from opinion.errors import ConfigError, SourceWalled
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.dates import read_date
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.sources.feed import entries_of
from scrapers.text import one_line
from scrapers.urls import absolute_url, host_of
from scrapers.wire import text_of

NAME = "google_news"
ADAPTER_VERSION = 1
ADDRESS = "https://news.google.com/rss/search"
EDITION = "en-US"
SCRIPTS = {"zh-CN": "zh-Hans", "zh-TW": "zh-Hant", "zh-HK": "zh-Hant"}
"""How the editions in Chinese name their language."""
MAX_PUBLISHER_CHARS = 80
"""Longer ends of a title are no publisher's name."""

SNIFF_CHARS = 1_000
"""How far into a body the root of a feed is looked for."""

_EDITION = re.compile(r"en-[A-Z]{2}|zh-(?:CN|TW|HK)")
_WHEN = re.compile(r"\b(?:when|after|before):", re.ASCII)


def ask(feed: Feed, now: datetime) -> Ask:
    """What the search finds of the last hour, unless the query says itself of when.

    Errors:
        ConfigError: an edition of another form.
    """
    del now
    query = feed.option("query").strip()
    edition = feed.option("edition", EDITION).strip()
    if not _EDITION.fullmatch(edition):
        raise ConfigError(f"source {NAME}: option `edition` is en- and a country (en-US), or one of {', '.join(SCRIPTS)}")
    language, country = edition.split("-")
    asked = {
        "q": query if _WHEN.search(query) else f"{query} when:1h",
        "hl": edition,
        "gl": country,
        "ceid": f"{country}:{SCRIPTS.get(edition, language)}",
    }
    return Ask(url=f"{ADDRESS}?{urlencode(asked, safe=':')}")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The headlines of a search, in its order.

    Errors:
        PageChanged: no feed.
        SourceWalled: a challenge or consent page.
    """
    text = text_of(response)
    if "<rss" not in text[:SNIFF_CHARS] and "consent.google.com" in text:
        raise SourceWalled("a page that asks for consent to cookies instead of the feed")
    problems: list[Problem] = []
    entries = entries_of(text, problems)
    items = [*problems, *(_item(entry, response=response) for entry in entries)]
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _item(entry: dict[str, Any], *, response: Response) -> Item | Problem:
    """A headline. What the description holds is the same again, as links."""
    url = absolute_url(_field(entry, "link"), base=response.url)
    native_id = _field(entry, "id") or _token(url or "")
    if not native_id:
        return Problem("invalid", "an item without guid and link")
    source = dict.get(entry, "source") or {}
    title, publisher = split(one_line(_field(entry, "title")), publisher=one_line(str(source.get("title") or "")))
    raw = _field(entry, "published")
    published_at, precision = read_date(raw, fetched_at=response.fetched_at)
    return Item(
        native_id=native_id,
        title=title,
        url=url,
        publisher=host_of(str(source.get("href") or "")) or publisher,
        published_at=published_at,
        precision=precision,
        published_raw=raw,
        labels={"publisher": publisher} if publisher else {},
    )


def _field(entry: dict[str, Any], key: str) -> str:
    """What the entry itself says: feedparser's own `get` invents fields."""
    return str(dict.get(entry, key) or "").strip()


def _token(url: str) -> str:
    """The last part of a link's path, which is what guids are."""
    return urlsplit(url).path.rsplit("/", 1)[-1]


def split(title: str, *, publisher: str = "") -> tuple[str, str]:
    """Headline and publisher of a title; without the publisher's name, what follows the last dash is taken for it.

    >>> split("Shares slip - again - Example Post", publisher="Example Post")
    ('Shares slip - again', 'Example Post')
    >>> split("Shares slip - Example Post - UK", publisher="Example Post - UK")
    ('Shares slip', 'Example Post - UK')
    """
    if publisher:
        return title.removesuffix(f" - {publisher}").strip(), publisher
    headline, _, last = title.rpartition(" - ")
    return (headline.strip(), last.strip()) if headline.strip() and len(last) <= MAX_PUBLISHER_CHARS else (title, "")


MANNERS = Manners(
    stability="amber",
    interval_s=300,
    kind=DocumentKind.NEWS,
    terms="Google's feeds are for personal, non-commercial readers; headlines belong to their publishers: headline and link only",
    tried="not tried live; wire format as of 2026-11-23 (general knowledge, reports of users)",
    options={
        "query": "search words, as in Google News; when:1h is added unless it says when:, after: or before:",
        "edition": f"language and country, e.g. en-GB, zh-CN, zh-TW; default {EDITION}",
    },
    needs=("query",),
)
SOURCE = Source(NAME, ("googlenews",), parse, MANNERS, ask)
