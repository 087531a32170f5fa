"""Hacker News: every story, comment, poll and job offer, walked by number through its own API, without gaps.

`maxitem.json` is the newest number; each item since the last poll is asked for by itself. `updates.json` names items that have changed lately: those that
we published are read again, so that edits and deletions are seen. Wire format: the API's documentation as of 2026-11-23, and what client code makes of
`null` (not there) and `[delayed]` (written, but not to be seen yet); not tried against the live site.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec
from msgspec.structs import replace

from opinion.errors import PageChanged
from opinion.records import DocumentKind, Engagement, Op
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source, Step
from scrapers.urls import absolute_url
from scrapers.wire import epoch, item_of, json_of, text_of

NAME = "hn"
ADAPTER_VERSION = 1
HOST = "https://hacker-news.firebaseio.com/v0"
SITE = "https://news.ycombinator.com/"
FIRST = 100
"""Items that a first poll reads: what is posted in a quarter of an hour."""
MOST_BEHIND = 10_000
"""Items further back are left out: about a day of them, and what is older is no longer counted. To read so many takes half an hour or more."""
MOST_CHANGES = 200
"""Of the items that have changed, so many are looked at: some thirty are named at a time."""
PATIENCE_S = 900.0
"""How long an item that is not to be seen is asked for again: writers may delay their comments by up to ten minutes."""

_NUMBER = re.compile(r"\d{1,15}", re.ASCII)
_DELAYED = "[delayed]"
_KINDS = frozenset({"story", "comment", "poll", "job"})
_SECTIONS = frozenset({"poll", "job"})
_PEOPLE = re.compile(r"(?:https?:(?://|&#x2F;&#x2F;)news\.ycombinator\.com)?(?:/|&#x2F;)?\buser\?id=[\w-]+", re.ASCII)


class _Item(msgspec.Struct):
    id: int
    type: str | None = None
    deleted: bool | None = None
    dead: bool | None = None  # hidden by moderators, readers or filters
    time: int | float | str | None = None  # s since 1970
    title: str | None = None  # HTML; of stories, polls and jobs
    text: str | None = None  # HTML
    parent: int | None = None  # of comments
    by: Any = None  # this and what follows are trimmings: what is wrong with them costs no text
    url: Any = None  # what a story is about, elsewhere
    score: Any = None
    descendants: Any = None


class _Changes(msgspec.Struct):
    items: list[int]


def ask(feed: Feed, now: datetime) -> Ask:
    """The newest number."""
    del feed, now
    return Ask(url=f"{HOST}/maxitem.json")


def follow(response: Response, place: str) -> list[Step]:
    """Of the newest number: the items from the one after `place` to it, oldest first, then what has changed. Of that: the items of it.

    Errors:
        PageChanged: neither a number nor a list of changes.
        SourceWalled: a web page instead of data.
    """
    newest = _NUMBER.fullmatch(text_of(response))
    if newest is None:
        changed = json_of(response, _Changes).items[:MOST_CHANGES]
        return [Step(ask=_asked(number), known=str(number)) for number in sorted(set(changed))]
    last = int(newest[0])
    due = int(place) + 1 if place.isdecimal() else max(last - FIRST + 1, 1)
    first = max(due, last - MOST_BEHIND + 1)
    walk = [Step(ask=_asked(number), place=str(number), patience_s=PATIENCE_S, missed=_missed(due, first) if number == first else "") for number in range(first, last + 1)]
    return [*walk, Step(ask=Ask(url=f"{HOST}/updates.json"), index=True)]


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The Document of an item; none of one that is dead, or has none of the words that are asked for.

    Errors:
        PageChanged: no item.
        SourceWalled: a web page instead of data.
    """
    if text_of(response) == "null":
        return Parsed([], [Problem("empty", f"{response.url.rsplit('/', 1)[-1][:100]} is not there")])
    items = _items(json_of(response, dict[str, Any]), response=response)
    parsed = documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)
    words = [re.escape(word.strip()) for word in feed.option("words").split(",") if word.strip()]
    if not words:
        return parsed
    wanted = re.compile(rf"(?<![0-9A-Za-z_])(?:{'|'.join(words)})(?![0-9A-Za-z_])", re.IGNORECASE)  # not \b: Chinese has no gaps between words
    return Parsed([document for document in parsed.documents if document.op is Op.DELETE or wanted.search(f"{document.title}\n{document.text}")], parsed.problems)


def without_people(markup: str) -> str:
    """The markup with addresses of people's pages replaced."""
    return _PEOPLE.sub("@user", markup)


def _missed(due: int, first: int) -> str:
    return f"{first - due} items before number {first} were left out: they are more than {MOST_BEHIND} back" if first > due else ""


def _asked(number: int) -> Ask:
    return Ask(url=f"{HOST}/item/{number}.json")


def _items(row: dict[str, Any], *, response: Response) -> list[Item | Problem]:
    if "id" not in row:
        raise PageChanged("an item without a number")
    item = item_of(row, _Item)
    if isinstance(item, str):
        return [Problem("invalid", f"{str(row['id'])[:50]}: {item}")]
    if item.deleted:
        return [replace(_read(item, response=response), op=Op.DELETE, title="", text="", labels={})]
    if item.dead or item.type == "pollopt":
        return []
    if item.type not in _KINDS:
        return [Problem("invalid", f"{item.id} is of an unknown type: {str(item.type)[:50]}")]
    if (item.text or "").strip() == _DELAYED:
        return [Problem("empty", f"{item.id} is not to be seen yet")]
    return [_read(item, response=response)]


def _read(item: _Item, *, response: Response) -> Item:
    published_at, precision = epoch(item.time, fetched_at=response.fetched_at)
    return Item(
        native_id=str(item.id),
        title=without_people(item.title or ""),
        text=without_people(item.text or ""),
        url=f"{SITE}item?id={item.id}",
        published_at=published_at,
        precision=precision,
        published_raw=str(item.time or ""),
        author=item.by if isinstance(item.by, str) else "",
        labels=_labels(item),
        engagement=_engagement(item),
        parent_id=None if item.parent is None else str(item.parent),
    )


def _engagement(item: _Item) -> Engagement | None:
    found = Engagement(likes=_count(item.score), replies=_count(item.descendants))
    return None if found == Engagement() else found


def _count(said: Any) -> int | None:
    return said if isinstance(said, int) and not isinstance(said, bool) else None


def _labels(item: _Item) -> dict[str, Any]:
    """What a story links to, unless that is a person's page; whether it is a poll or a job offer."""
    url = item.url if isinstance(item.url, str) and without_people(item.url) == item.url else ""
    found = {"link": absolute_url(url, base=SITE), "channels": [item.type] if item.type in _SECTIONS else []}
    return {name: value for name, value in found.items() if value}


MANNERS = Manners(
    stability="green",
    interval_s=60,
    kind=DocumentKind.SOCIAL,
    publisher="news.ycombinator.com",
    terms="a public API without a key or a stated limit, about 50,000 requests a day; what people write there stays theirs",
    full_text=True,
    tried="not tried live; wire format as documented 2026-11-23 (the API's documentation, client code read)",
    options={"words": "separated by commas, of which one must occur in title or text, whole and in any case; empty: everything"},
)
SOURCE = Source(NAME, ("hackernews", "hacker_news"), parse, MANNERS, ask, follow=follow)
