"""GDELT DOC 2.0: headlines of the world's news on a query, newest first, at most 250, of the last day. Titles and links only.

The time is that at which GDELT first saw the article, in steps of a quarter hour: somewhat after its publication. The interface refuses many requests
with 429 when it is busy; `gdelt` reads the same news in bulk, without gaps. Wire format as of 2026-11-23, as client code reads it; not tried against the
live site. Errors come as status 200 and a line of text.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import PageChanged, SourceRateLimited
from opinion.language import detect
from opinion.records import DocumentKind, Precision
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.urls import canonical_url
from scrapers.wire import When, item_of, json_of, text_of, trusted

NAME = "gdelt_doc"
ADAPTER_VERSION = 1
ADDRESS = "https://api.gdeltproject.org/api/v2/doc/doc"
ROWS = 250
"""Most articles that one answer holds."""
WINDOW = timedelta(hours=24)
LANGUAGES: dict[str, str] = dict(
    re.findall(
        r"(\w+)=(\w+)",
        "Afrikaans=af Albanian=sq Arabic=ar Armenian=hy Azerbaijani=az Bengali=bn Bosnian=bs Bulgarian=bg Catalan=ca Croatian=hr Czech=cs Danish=da Dutch=nl English=en "
        "Estonian=et Finnish=fi French=fr Galician=gl Georgian=ka German=de Greek=el Gujarati=gu Hebrew=he Hindi=hi Hungarian=hu Icelandic=is Indonesian=id Italian=it "
        "Japanese=ja Kannada=kn Kazakh=kk Korean=ko Latvian=lv Lithuanian=lt Macedonian=mk Malay=ms Malayalam=ml Marathi=mr Mongolian=mn Nepali=ne Norwegian=no "
        "NorwegianNynorsk=nn Persian=fa Polish=pl Portuguese=pt Punjabi=pa Romanian=ro Russian=ru Serbian=sr Sinhalese=si Slovak=sk Slovenian=sl Somali=so Spanish=es "
        "Swahili=sw Swedish=sv Tamil=ta Telugu=te Thai=th Tibetan=bo Turkish=tr Ukrainian=uk Urdu=ur Vietnamese=vi",
    )
)
"""BCP 47 of the names that GDELT gives languages; Chinese is told apart by its script."""

_ESCAPED = re.compile(r"\\(?=[^\w\s\\])")
"""Backslashes that are left of escapes that JSON does not know: in front of a sign they mean the sign."""
_STAMP = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_TOO_OFTEN = ("limit requests", "too many requests", "rate limit")
_REFUSALS = ("too short or too long", "too short", "too common", "timespan", "not supported", "invalid")
"""Words of the lines that refuse a query: these, not the line, which might repeat the query, are told on."""


class _Article(msgspec.Struct):
    url: str
    title: str | None = None
    seendate: str | None = None
    language: str | None = None
    sourcecountry: str | None = None


def ask(feed: Feed, now: datetime) -> Ask:
    """The newest articles on the query."""
    asked = {
        "query": feed.option("query").strip(),
        "mode": "artlist",
        "format": "json",
        "maxrecords": str(ROWS),
        "sort": "datedesc",
        "startdatetime": (now - WINDOW).astimezone(UTC).strftime("%Y%m%d%H%M%S"),
    }
    return Ask(url=f"{ADDRESS}?{urlencode(asked)}")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The articles of a list; an empty object is an empty list.

    Errors:
        PageChanged: no list; or the query is refused, by a line of text.
        SourceRateLimited: too many requests, by a line of text.
        SourceWalled: a web page instead of data.
    """
    _refuse(text_of(response))
    answer = json_of(response, dict[str, Any])
    articles = answer.get("articles", None if answer else [])
    if not isinstance(articles, list):
        raise PageChanged("no list of articles")
    items = (_item(row, at=response.fetched_at) for row in articles)
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _refuse(text: str) -> None:
    """Raise for a line of text where JSON should be; what looks like JSON or a page is left to its reader."""
    if text[0] in "[{<":
        return
    line = text[:500].lower()
    if any(words in line for words in _TOO_OFTEN):
        raise SourceRateLimited("too many requests; GDELT takes one in 5 seconds, and fewer when it is busy")
    told = next((words for words in _REFUSALS if words in line), "")
    raise PageChanged(f"GDELT refuses the query: {told!r}" if told else "a line of text instead of data")


def _item(row: object, *, at: datetime) -> Item | Problem:
    article = item_of(row, _Article)
    if isinstance(article, str):
        return Problem("invalid", article)
    native_id = canonical_url(article.url)
    if native_id is None:
        return Problem("invalid", f"no web address: {article.url[:100]}")
    title = _ESCAPED.sub("", article.title or "")
    published_at, precision = _seen(article.seendate or "", at=at)
    return Item(
        native_id=native_id,
        title=title,
        url=article.url,
        published_at=published_at,
        precision=precision,
        published_raw=article.seendate or "",
        lang=language_of(article.language or "", title),
        labels={"country": article.sourcecountry} if article.sourcecountry else {},
    )


def language_of(name: str, title: str) -> str:
    """BCP 47 of a language's English name; empty, to be found from the text, where we do not know it.

    >>> language_of("German", "Aktien fallen"), language_of("Chinese", "股價下跌，資產縮水"), language_of("Klingon", "")
    ('de', 'zh-Hant', '')
    """
    if name == "Chinese":
        found = detect(title)
        return found if found.startswith("zh") else "zh"
    return LANGUAGES.get(name, "")


def _seen(stamp: str, *, at: datetime) -> When:
    """When GDELT first saw it, true to some minutes."""
    if not _STAMP.fullmatch(stamp):
        return None, None
    try:
        seen = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None, None
    return trusted(seen, Precision.MINUTE, fetched_at=at)


MANNERS = Manners(
    stability="amber",
    interval_s=300,
    kind=DocumentKind.NEWS,
    terms="open for any use with attribution to the GDELT Project, one request in 5 seconds; the headlines are their publishers'",
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={"query": 'in GDELT\'s language, e.g. (bank OR lender) sourcelang:english; a phrase in "..", alternatives in (..); a dash within domain: finds nothing'},
    needs=("query",),
)
SOURCE = Source(NAME, ("gdelt-doc",), parse, MANNERS, ask)
