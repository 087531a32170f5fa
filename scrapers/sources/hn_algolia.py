"""Hacker News: stories and comments on a query, newest first, from Algolia's search by date. At most a day old. All of it without gaps: `hn`.

Wire format as of 2026-11-23, as client code reads it and from general knowledge; not tried against the live site.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import PageChanged
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.sources.hn import SITE, without_people
from scrapers.urls import absolute_url
from scrapers.wire import epoch, item_of, json_of

NAME = "hn_algolia"
ADAPTER_VERSION = 1
ADDRESS = "https://hn.algolia.com/api/v1/search_by_date"
HITS = 200
"""Of at most 1,000: all that is posted there in ten minutes, and a day's worth of any query that is not a common word."""
WINDOW = timedelta(hours=24)

_SECTIONS = ("ask_hn", "show_hn", "poll", "job", "front_page")
"""Tags that are kept; others name the author."""


class _Hit(msgspec.Struct):
    id: str | int = msgspec.field(name="objectID")
    title: str | None = None  # of stories
    url: str | None = None  # what a story is about, elsewhere
    author: str | None = None
    points: Any = None  # this, the next and the tags are trimmings: what is wrong with them costs no text
    num_comments: Any = None
    created_at_i: int | float | str | None = None  # s since 1970
    story_title: str | None = None  # of comments
    story_text: str | None = None  # HTML
    comment_text: str | None = None  # HTML
    parent_id: str | int | None = None
    tags: Any = msgspec.field(name="_tags", default=None)


class _Answer(msgspec.Struct):
    hits: list[Any] | None = None
    status: int | None = None  # of errors


def ask(feed: Feed, now: datetime) -> Ask:
    """The newest stories and comments on the query."""
    asked = {
        "tags": "(story,comment)",
        "query": feed.option("query").strip(),
        "numericFilters": f"created_at_i>{int((now - WINDOW).timestamp())}",
        "hitsPerPage": str(HITS),
    }
    return Ask(url=f"{ADDRESS}?{urlencode(asked, safe='(),')}")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The stories and comments that were found.

    Errors:
        PageChanged: no hits; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    answer = json_of(response, _Answer)
    if answer.hits is None:
        raise PageChanged("no hits" if answer.status is None else f"the search says {answer.status}")
    items = (_item(row, response=response) for row in answer.hits)
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _item(row: object, *, response: Response) -> Item | Problem:
    hit = item_of(row, _Hit)
    if isinstance(hit, str):
        return Problem("invalid", hit)
    published_at, precision = epoch(hit.created_at_i, fetched_at=response.fetched_at)
    return Item(
        native_id=str(hit.id),
        title=hit.title or "",
        text=without_people(hit.comment_text or hit.story_text or ""),
        url=f"{SITE}item?id={hit.id}",
        published_at=published_at,
        precision=precision,
        published_raw=str(hit.created_at_i or ""),
        author=hit.author or "",
        labels=_labels(hit),
        engagement=_engagement(hit),
        parent_id=None if hit.parent_id is None else str(hit.parent_id),
    )


def _engagement(hit: _Hit) -> Engagement | None:
    found = Engagement(likes=_count(hit.points), replies=_count(hit.num_comments))
    return None if found == Engagement() else found


def _count(said: Any) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def _labels(hit: _Hit) -> dict[str, Any]:
    """What a story links to, the story that a comment is under, and the sections."""
    found = {
        "link": absolute_url(hit.url or "", base=SITE),
        "story": hit.story_title,
        "channels": [tag for tag in _SECTIONS if isinstance(hit.tags, list) and tag in hit.tags],
    }
    return {name: value for name, value in found.items() if value}


MANNERS = Manners(
    stability="amber",
    interval_s=60,
    kind=DocumentKind.SOCIAL,
    publisher="news.ycombinator.com",
    terms="a public search without a key, 10,000 requests an hour (general knowledge); what people write there stays theirs",
    full_text=True,
    tried="not tried live; wire format as documented 2026-11-23 (client code read, general knowledge)",
    options={"query": "words that must occur"},
    needs=("query",),
)
SOURCE = Source(NAME, ("hn_search",), parse, MANNERS, ask)
