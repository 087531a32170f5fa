"""Feeds to poll: made of the synthetic texts, of the forms, lengths and markup of real ones, some of which change from poll to poll."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import count
from typing import Literal, NamedTuple
from xml.sax.saxutils import escape

from opinion.names import digest
from tests.bench.corpus import rows

FEEDS_PER_HOST = 2
HOSTS_PER_NET = 250
NEW_EVERY = 4
"""One poll in so many finds an item that the one before did not."""
BETWEEN_ITEMS = timedelta(minutes=20)


class Shape(NamedTuple):
    """What a feed looks like."""

    length_bytes: int
    n_items: int
    form: Literal["rss", "atom"]
    html: Literal["none", "cdata", "escaped"]  # how its texts carry markup


SHAPES = (
    Shape(5_000, 9, "rss", "none"),
    Shape(18_000, 20, "atom", "escaped"),
    Shape(25_000, 60, "rss", "none"),
    Shape(25_000, 26, "rss", "cdata"),
    Shape(33_000, 50, "rss", "cdata"),
    Shape(77_000, 40, "rss", "cdata"),
    Shape(167_000, 25, "rss", "escaped"),
    Shape(190_000, 25, "atom", "escaped"),
)
"""Those of the eight whole feeds of publishers among the tests of miniflux (github.com/miniflux/v2, commit 106cdd0)."""


class Item(NamedTuple):
    """One item of a feed."""

    number: int  # within its feed
    at: datetime


class MadeFeed:
    """One feed as its server keeps it.

    Half of the feeds have an ETag. Of the others, each fourth says at every answer when it was made, so that its body is never the same.
    """

    def __init__(self, number: int, *, now: datetime) -> None:
        kind = number // len(SHAPES)
        self.number = number
        self.shape = SHAPES[number % len(SHAPES)]
        self.has_etag = kind % 2 == 0
        self.says_when = kind % 8 == 1
        self._numbers = count()
        old = [Item(next(self._numbers), now - BETWEEN_ITEMS * (self.shape.n_items - place)) for place in range(self.shape.n_items)]
        self.items = deque(reversed(old), maxlen=self.shape.n_items)
        self._polls = 0

    def polled(self, *, now: datetime, frozen: bool = False) -> bytes:
        """The body that this poll gets; `frozen`: without another new item."""
        if self._polls and (self._polls + self.number) % NEW_EVERY == 0 and not frozen:
            self.items.appendleft(Item(next(self._numbers), now))
        self._polls += 1
        return self._body(made_at=now if self.says_when else self.items[0].at)

    def ids(self) -> list[str]:
        """The native ids of the items that the body lists now."""
        return [native_id(self.number, item.number) for item in self.items]

    def _body(self, *, made_at: datetime) -> bytes:
        atom = self.shape.form == "atom"
        parts = [(_entry if atom else _item)(self.number, item, self.shape) for item in self.items]
        title = f"<title>Feed {self.number}</title>"
        if atom:
            head = f'<feed xmlns="http://www.w3.org/2005/Atom">{title}<id>urn:bench:{self.number}</id><updated>{made_at.isoformat()}</updated>'
            return f'<?xml version="1.0" encoding="utf-8"?>\n{head}{"".join(parts)}</feed>'.encode()
        names = 'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:content="http://purl.org/rss/1.0/modules/content/"'
        head = f"<channel>{title}<link>https://{_publisher(self.number)}/</link><lastBuildDate>{format_datetime(made_at)}</lastBuildDate>"
        return f'<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0" {names}>{head}{"".join(parts)}</channel></rss>'.encode()


def native_id(feed: int, item: int) -> str:
    """The guid of an item, which the adapter takes as it is."""
    return f"urn:bench:{feed}:{item}"


def address_of(feed: int, *, port: int) -> str:
    """Where a feed is, two of them on each host; all of 127.0.0.0/8 is this machine."""
    host = feed // FEEDS_PER_HOST
    return f"http://127.0.{1 + host // HOSTS_PER_NET}.{1 + host % HOSTS_PER_NET}:{port}/feed/{feed}"


def hosts_of(feeds: int) -> list[str]:
    """The addresses that so many feeds are on."""
    return list(dict.fromkeys(address_of(feed, port=0).split("/")[2].partition(":")[0] for feed in range(feeds)))


def _publisher(feed: int) -> str:
    return f"publisher-{feed}.example"


def _item(feed: int, item: Item, shape: Shape) -> str:
    title, text = _texts(feed, item, shape)
    return (
        f"<item>\n<title>{escape(title)}</title>\n<link>https://{_publisher(feed)}/{item.number}?utm_source=rss</link>\n"
        f'<guid isPermaLink="false">{native_id(feed, item.number)}</guid>\n<pubDate>{format_datetime(item.at)}</pubDate>\n'
        f"<dc:creator>Desk {item.number % 7}</dc:creator>\n<category>Markets</category>\n<description>{text}</description>\n</item>\n"
    )


def _entry(feed: int, item: Item, shape: Shape) -> str:
    title, text = _texts(feed, item, shape)
    return (
        f'<entry>\n<title>{escape(title)}</title>\n<link rel="alternate" href="https://{_publisher(feed)}/{item.number}"/>\n'
        f"<id>{native_id(feed, item.number)}</id>\n<updated>{item.at.isoformat()}</updated>\n<published>{item.at.isoformat()}</published>\n"
        f'<author><name>Desk {item.number % 7}</name></author>\n<category term="Markets"/>\n<content type="html">{text}</content>\n</entry>\n'
    )


def _texts(feed: int, item: Item, shape: Shape) -> tuple[str, str]:
    """Title and text of an item, the same at each call; the text is as long as its share of the feed."""
    known = rows()
    at = int(digest(native_id(feed, item.number), chars=8), 16)
    title = known[at % len(known)].text[:80]
    parts: list[str] = []
    left = shape.length_bytes // shape.n_items - 450  # what the item's other elements take
    while left > 0:
        at += 1
        said = known[at % len(known)].text
        part = (
            escape(said) if shape.html == "none" else f'<p>{escape(said[:60])} <a href="https://{_publisher(feed)}/t/{at % 97}">{escape(said[60:80])}</a> {escape(said[80:])}</p>\n'
        )
        part = escape(part) if shape.html == "escaped" else part
        parts.append(part)
        left -= len(part.encode())
    return title, f"<![CDATA[{''.join(parts)}]]>" if shape.html == "cdata" else "".join(parts)
