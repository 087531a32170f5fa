"""What a source is: a name and a pure function from a response to Documents. One file in `sources/` each, found by scanning."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct, field
from msgspec.structs import replace

import scrapers.sources
from opinion.errors import ConfigError
from opinion.records import Document, DocumentKind, Instant
from opinion.settings import Feed

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)


class Response(Struct, frozen=True, kw_only=True):
    """What a server answered."""

    url: str  # after redirects
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes  # content-encoding undone
    fetched_at: datetime


class Ask(Struct, frozen=True, kw_only=True):
    """One request of a poll."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None  # posted as a form; None: a GET
    page: bool = False  # made for people: robots.txt is asked first
    back_s: float = 0.0  # how long before the connection a source that pushes begins to tell, where it cannot go back to a place


class Step(Struct, frozen=True, kw_only=True):
    """One of the files that an index leads to."""

    ask: Ask
    place: str = ""  # where the feed stands once this file is published: what the next poll is told; empty: where it stood
    md5: str = ""  # of the body, where the index says it
    index: bool = False  # it is an index itself, and followed in its turn
    known: str = ""  # native id of the item it tells of, where it tells nothing new: read only if that was published
    patience_s: float = 0.0  # one that brings nothing but problems may come late: each poll asks for it again, for so long
    missed: str = ""  # what was left out before it, and why


class Frame(Struct, frozen=True):
    """One message of a source that pushes."""

    data: bytes  # empty: there is nothing to read, the place moves on
    place: str = ""  # where it stands, of a transport that says so


class Gap(Struct, frozen=True):
    """A stretch of time whose messages cannot be had any more."""

    since: Instant
    until: Instant


class Stream(Struct, frozen=True, kw_only=True):
    """How a source that pushes is listened to. What it sends is parsed in batches: a body of one message a line."""

    connect: Callable[[Feed, str, datetime], list[Ask]]  # where to listen, by turns, from the place where the feed stands; ws, wss, http, https (lines) or kafka
    place: Callable[[Sequence[Frame], str], str]  # where the feed stands once these messages are published, after the place before
    gap: Callable[[Frame | None, str, datetime], Gap | None]  # what lies between a place and the first message since; None: the source does not go back there, but to that instant
    quiet_s: float | None  # a connection without a sign of life for so long is dead; None: silence means nothing
    heard: Callable[[datetime], str] | None = None  # of a source that cannot go back: the place of a sign of life, at that instant, without a message
    named_by: tuple[str, ...] | None = None  # options that say what is listened to: the place outlives a change of the others; None: all of them
    too_old: Callable[[int, bytes], bool] | None = None  # whether an answer (status, body) to a connection refuses the place as too old


class Manners(Struct, frozen=True, kw_only=True):
    """How a source is to be treated, and how much of it is known."""

    stability: Literal["green", "amber", "red"]  # on by default; on, and expected to break; off until the operator gives what `needs` names
    interval_s: float  # seconds between polls
    kind: DocumentKind
    publisher: str = ""  # where items do not name theirs
    lang: str = ""  # BCP 47; empty: found per text
    terms: str  # one line on what its operator allows
    retention_days: int | None = None  # texts may be kept for so long; None: as long as wished
    full_text: bool = False  # whether more than title and extract may be kept
    tried: str  # live and when; or where the wire format is from and of what date
    options: Mapping[str, str] = field(default_factory=dict)  # option -> what it is
    needs: tuple[str, ...] = ()  # options without which it cannot work: keys, cookies


class Problem(Struct, frozen=True, omit_defaults=True):
    """An item that became no document, or not a whole one."""

    reason: str  # a metric label: empty, duplicate, invalid, over_cap, truncated
    detail: str
    row: int | None = None  # which one of the body it is, from 1, where its adapter counts them


class Parsed(Struct, frozen=True):
    """What one body held."""

    documents: list[Document]
    problems: list[Problem] = field(default_factory=list)


class Parse(Protocol):
    """The Documents of a response; pure.

    Errors:
        PageChanged: the body is of another form.
        SourceWalled: it is a challenge or login page.
    """

    def __call__(self, response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
        """`author_key` keys the hash of authors; without it they are left out."""
        ...


class Source(NamedTuple):
    """One adapter."""

    name: str
    aliases: tuple[str, ...]
    parse: Parse
    manners: Manners
    ask: Callable[[Feed, datetime], Ask] | None = None  # what a poll at an instant asks for; None: the feed's own address
    check: Callable[[Feed], object] | None = None  # raises ConfigError for options of another form
    follow: Callable[[Response, str], list[Step]] | None = None  # where a poll brings an index: the files to read next, from the place where the feed stands
    stream: Stream | None = None  # of a source that pushes

    def request(self, feed: Feed, *, now: datetime) -> Ask:
        """What a poll of the feed asks for."""
        return Ask(url=feed.url) if self.ask is None else self.ask(feed, now)

    def place_key(self, feed: Feed) -> str:
        """What the place of the feed is kept under."""
        names = self.stream.named_by if self.stream is not None else None
        return feed.key if names is None else feed.model_copy(update={"options": {name: value for name, value in feed.options.items() if name in names}}).key

    def read(self, response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
        """The Documents of a response; each says for how long it may be kept, where the source limits that.

        Errors: those of `parse`.
        """
        parsed = self.parse(response, feed=feed, author_key=author_key)
        days = self.manners.retention_days
        if days is None:
            return parsed
        return Parsed([replace(document, extra={**document.extra, "retention_days": days}) for document in parsed.documents], parsed.problems)


def fitted(feed: Feed) -> tuple[Source, Feed]:
    """The adapter of a feed, and the feed with what it leaves to the adapter.

    Errors:
        ConfigError: no such adapter, an unknown option, or one lacks that it cannot work without.
    """
    source = find_source(feed.source)
    manners = source.manners
    unknown = [name for name in feed.options if name not in manners.options]
    lacking = [name for name in manners.needs if name not in feed.options]
    if unknown:
        raise ConfigError(f"source {source.name}: unknown option {unknown[0]!r}; known: {', '.join(sorted(manners.options)) or 'none'}")
    if lacking:
        raise ConfigError(f"source {source.name} is off until you give its option {lacking[0]!r}: {manners.options[lacking[0]]}")
    if source.ask is None and source.stream is None and not feed.url:
        raise ConfigError(f"source {source.name} needs a `url`")
    if source.check is not None:
        source.check(feed)
    if source.ask is not None:
        source.ask(feed, _SOME_DAY)  # options that only make no sense together are told now, not by each poll
    if source.stream is not None:
        source.stream.connect(feed, "", _SOME_DAY)
    changes = {"source": source.name, "kind": feed.kind or manners.kind.value, "publisher": feed.publisher or manners.publisher, "lang": feed.lang or manners.lang}
    return source, feed.model_copy(update=changes)


@cache
def all_sources() -> tuple[Source, ...]:
    """The `SOURCE` of every module in `sources/`, by name."""
    modules = (importlib.import_module(f"scrapers.sources.{info.name}") for info in pkgutil.iter_modules(scrapers.sources.__path__))
    return tuple(sorted((module.SOURCE for module in modules), key=lambda source: source.name))


@cache
def _known() -> dict[str, Source]:
    return {key: source for source in all_sources() for key in (source.name, *source.aliases)}


def find_source(name: str) -> Source:
    """The adapter of that name or alias.

    Errors:
        ConfigError: there is none; the message names the nearest.

    >>> find_source("rss").name
    'feed'
    """
    known = _known()
    if name.lower() in known:
        return known[name.lower()]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    raise ConfigError(f"unknown source {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"))
