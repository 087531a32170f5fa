"""Bluesky's Jetstream: every public post of the network at the moment it is written, pushed; those on finance are taken.

Two wires: v1 (`/subscribe`, a cursor in microseconds) and v2 (`subscribeEvents`, enveloped, with a `seq` of each server's own). As of 2026-11-23, from the
lexicon and the documentation in the server's repository; not tried against the live service.

Who wrote what is not kept: the address of a post holds its author's id, so that a digest of it stands for the post. All hosts tell of one network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec.structs import replace

from opinion.clock import from_epoch_ms
from opinion.errors import ConfigError, SourceWalled
from opinion.language import detect
from opinion.names import digest
from opinion.records import DocumentKind, Instant, Op, Precision
from opinion.settings import Feed
from scrapers.build import Item, documents_of, latest, without_mentions
from scrapers.dates import read_date
from scrapers.source import Ask, Frame, Gap, Manners, Parsed, Problem, Response, Source, Stream
from scrapers.text import one_line
from scrapers.urls import absolute_url, host_of
from scrapers.wire import When, trusted
from scrapers.words import CASHTAGS, FINANCE, listed, speaking

T = TypeVar("T")

NAME = "jetstream"
ADAPTER_VERSION = 1
NETWORK = "https://bsky.app/"
HOSTS = {
    "v1": tuple(f"wss://jetstream{number}.us-{coast}.bsky.network" for number in (1, 2) for coast in ("east", "west")),
    "v2": tuple(f"wss://jetstream.us-{coast}.bsky.network" for coast in ("east", "west")),
}
PATHS = {"v1": "/subscribe", "v2": "/xrpc/network.bsky.jetstream.subscribeEvents"}
POSTS = "app.bsky.feed.post"
MESSAGE_BYTES = 1 << 18
"""Longest message that is asked for: a post has 3,000 bytes of text at most (its lexicon), and some thousand of what is attached."""
REWIND_US = 5_000_000
"""Each host sees a post at a time of its own: what a change of hosts is rewound by. The service's own client takes as much."""
STEP_BACK_US = 50_000
"""Times of one host step back by up to 32 ms (in 151 recorded lines): what any connection is rewound by."""
HOLE_US = 60_000_000
"""The network, 50 posts a second, is never so long without one: where the first message comes later than this after the place, something was left out."""
QUIET_S = 30.0
"""A connection that is open and says nothing for so long has stalled."""
LANGS = "en,zh"

_PEOPLE = re.compile(r"(?:https?://)?\b(?:www\.)?bsky\.app/profile/[\w.:%-]+(?:/post/\w+)?|@?\b[\w-]+\.bsky\.social\b|\bdid:(?:plc|web):[\w.:%-]+", re.IGNORECASE)
"""What names somebody without a mention that is marked as such: links to people and their posts, names of the network's own, ids."""
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*", re.ASCII)
_Us = Annotated[int, msgspec.Meta(ge=0, le=4_102_444_800_000_000)]
"""Microseconds since 1970, until 2100."""


class _Record(msgspec.Struct):
    text: str = ""
    created_at: Any = msgspec.field(name="createdAt", default=None)  # as the author's program says
    langs: msgspec.Raw = msgspec.Raw()  # this and the next are trimmings: what is wrong with them costs no text
    facets: msgspec.Raw = msgspec.Raw()
    embed: msgspec.Raw = msgspec.Raw()
    reply: msgspec.Raw = msgspec.Raw()


class _Commit(msgspec.Struct):
    operation: str = ""
    collection: str = ""
    rkey: str = ""
    record: _Record | None = None  # deletions have none


class _Payload(_Commit):
    did: str = ""
    time: Instant | None = None
    witnessed: Instant | None = msgspec.field(name="witnessedAt", default=None)


class _Message(msgspec.Struct):
    """One of either wire."""

    did: str = ""
    time_us: _Us = 0
    commit: _Commit | None = None
    payload: _Payload | None = None
    error: str = ""


class _Stamps(msgspec.Struct):
    seq: int = 0
    time: Instant | None = None
    witnessed: Instant | None = msgspec.field(name="witnessedAt", default=None)


class _Stamped(msgspec.Struct):
    time_us: _Us = 0
    payload: _Stamps | None = None


class _Span(msgspec.Struct):
    start: int = msgspec.field(name="byteStart")
    end: int = msgspec.field(name="byteEnd")


class _Feature(msgspec.Struct):
    kind: str = msgspec.field(name="$type", default="")
    tag: str = ""


class _Facet(msgspec.Struct):
    index: _Span
    features: list[_Feature] = []


class _Link(msgspec.Struct):
    uri: str = ""
    title: str = ""


class _Media(msgspec.Struct):
    external: _Link | None = None


class _Embed(_Media):
    media: _Media | None = None  # beside a quoted post


class _Reference(msgspec.Struct):
    uri: str = ""


class _Reply(msgspec.Struct):
    parent: _Reference | None = None


class _Place(NamedTuple):
    """Where a feed stands."""

    latest_us: int  # latest time of a message
    rewound_us: int  # the latest when the last change of hosts was rewound
    seq: int  # of v2


class _Taste(NamedTuple):
    """Which posts are taken, and how."""

    speaks: Callable[[str], bool]
    langs: frozenset[str]
    links: bool


_message = msgspec.json.Decoder(_Message)
_stamped = msgspec.json.Decoder(_Stamped)
_facets = msgspec.json.Decoder(list[_Facet])
_embed = msgspec.json.Decoder(_Embed)
_reply = msgspec.json.Decoder(_Reply)
_tongues = msgspec.json.Decoder(list[str])


def check(feed: Feed) -> None:
    """Raise ConfigError for options of another form."""
    if feed.option("protocol", "v1") not in PATHS:
        raise ConfigError(f"source {NAME}: protocol is v1 or v2")
    if feed.option("links", "no") not in ("yes", "no"):
        raise ConfigError(f"source {NAME}: links is yes or no")
    if feed.url and not (feed.url.startswith(("ws://", "wss://")) and host_of(feed.url)):
        raise ConfigError(f"source {NAME}: its `url` is a ws or wss address")
    for option in ("words", "langs"):
        if option in feed.options and not listed(feed.option(option)):
            raise ConfigError(f"source {NAME}: {option} is a list with commas between, and says nothing")


def connect(feed: Feed, place: str, now: datetime) -> list[Ask]:
    """The hosts by turns, or the feed's own `url`."""
    wire = feed.option("protocol", "v1")
    wanted = {"wantedCollections": POSTS} if wire == "v1" else {"kinds": "commit", "collections": POSTS}
    parameters: dict[str, str | int] = {**wanted, "maxMessageSizeBytes": MESSAGE_BYTES}
    stand = _place(place)
    if stand.latest_us:
        whole = stand.latest_us - stand.rewound_us > REWIND_US  # connections that end sooner would never come further
        parameters["cursor"] = min(stand.latest_us, _us(now)) - (REWIND_US if whole else STEP_BACK_US)
    if stand.seq and feed.url:
        parameters["cursor"] = stand.seq  # exact, where one server counts
    return [Ask(url=_address(host, wire, parameters)) for host in ([feed.url] if feed.url else HOSTS[wire])]


def place(frames: Sequence[Frame], before: str) -> str:
    """The latest time (and `seq`) of what was read; messages that tell none leave it where it was."""
    stamps = [stamp for frame in frames if (stamp := _stamp(frame)) is not None]
    if not stamps:
        return before
    stand, times_us = _place(before), [us for us, _ in stamps]
    rewound_us = stand.latest_us if min(times_us) < stand.latest_us - 2 * STEP_BACK_US else stand.rewound_us
    latest_us = max(times_us)
    if stand.latest_us - latest_us <= 2 * REWIND_US:  # a place further ahead was told by a clock that was wrong
        latest_us = max(latest_us, stand.latest_us)
    return f"{latest_us},{rewound_us},{max(seq for _, seq in stamps)}"


def gap(first: Frame | None, place: str, now: datetime) -> Gap | None:
    """What v1 leaves out without a word where the place is older than it remembers (36 hours), and what v2 refuses."""
    since_us = _place(place).latest_us
    if first is None:
        return Gap(_instant(since_us), now)
    until_us, _ = _stamp(first) or (0, 0)
    return Gap(_instant(since_us), _instant(until_us)) if until_us - since_us > HOLE_US else None


def too_old(status: int, body: bytes) -> bool:
    """Whether v2 says that it does not go back so far."""
    return status == 400 and b"CursorTooOld" in body


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The posts on finance among messages, one a line, and all deletions.

    Errors:
        SourceWalled: a web page instead of messages.
    """
    if response.body.lstrip()[:1] == b"<":
        raise SourceWalled("a web page instead of messages")
    langs = frozenset(_base(lang) for lang in listed(feed.option("langs") or LANGS))
    taste = _Taste(speaking(feed.option("words") or FINANCE), langs, feed.option("links") == "yes")
    whole = replace(response, url=NETWORK)  # one author is one, whichever host tells of them
    items = latest(_items(response, taste))
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=whole, feed=feed, author_key=author_key)


def _items(response: Response, taste: _Taste) -> Iterator[Item | Problem]:
    for line in response.body.split(b"\n"):
        if not line.strip():
            continue
        try:
            message = _message.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            yield Problem("invalid", f"no message: {error}"[:200])
            continue
        item = Problem("invalid", f"the server says {message.error[:100]}") if message.error else _item(message, taste, fetched_at=response.fetched_at)
        if item is not None:
            yield item


def _item(message: _Message, taste: _Taste, *, fetched_at: datetime) -> Item | Problem | None:
    """What a message is to us; None: nothing."""
    commit, did = (message.commit, message.did) if message.payload is None else (message.payload, message.payload.did)
    if commit is None or commit.collection != POSTS or not (did and commit.rkey):
        return None
    address = f"at://{did}/{commit.collection}/{commit.rkey}"
    gone = Item(native_id=_native_id(address), op=Op.DELETE)
    record = commit.record
    if commit.operation == "delete":
        return gone
    if record is None:
        return Problem("invalid", "a post without its record")
    lang = _lang(record) if taste.speaks(record.text) else ""
    if _base(lang) not in taste.langs:
        return gone if commit.operation == "update" else None  # it may have been on finance before
    seen_at = _instant(message.time_us) if message.payload is None else message.payload.witnessed or message.payload.time or fetched_at
    url = f"{NETWORK}profile/{did}/post/{commit.rkey}" if taste.links else None
    op = Op.UPDATE if commit.operation == "update" else Op.CREATE
    return replace(_post(record, fetched_at=fetched_at, seen_at=seen_at), native_id=gone.native_id, op=op, author=did, lang=lang, url=url)


def _post(record: _Record, *, fetched_at: datetime, seen_at: datetime) -> Item:
    facets = _read(record.facets, _facets) or []
    embed, reply = _read(record.embed, _embed), _read(record.reply, _reply)
    link = None if embed is None else embed.external or (embed.media and embed.media.external)
    parent = reply.parent.uri if reply is not None and reply.parent is not None else ""
    published_at, precision = _published(record.created_at, seen_at=seen_at, fetched_at=fetched_at)
    tags = dict.fromkeys(feature.tag for facet in facets for feature in facet.features if feature.tag)
    return Item(
        native_id="",
        text=_without_people(record.text, facets),
        published_at=published_at,
        precision=precision,
        parent_id=_native_id(parent) if parent else None,
        labels=(_linked(link) if link else {}) | ({"channels": list(tags)} if tags else {}),
    )


def _linked(link: _Link) -> dict[str, Any]:
    """What a post links to, and its title; nothing where that is a person or another post."""
    url = absolute_url(link.uri, base=NETWORK)
    if url is None or _PEOPLE.search(url):
        return {}
    title = without_mentions(one_line(link.title))
    return {"link": url} | ({"story": title} if title else {})


def _native_id(address: str) -> str:
    """What stands for the post at an at:// address."""
    return digest(address, chars=32)


def _published(said: Any, *, seen_at: datetime, fetched_at: datetime) -> When:
    """When the post was written as its author's program says, but never after it was seen: the rule that the network itself sorts by.

    So old posts that are brought in from elsewhere stay old, and nobody writes in the future.
    """
    at, precision = read_date(said if isinstance(said, str) else "", fetched_at=fetched_at)
    return (at, precision) if at is not None and at <= seen_at else trusted(seen_at, Precision.SECOND, fetched_at=fetched_at)


def _lang(record: _Record) -> str:
    """The language of a post: what we find where it is ours or nothing else is said, else what its author's program says, which is often the program's own."""
    found = detect(record.text)
    if found.startswith("zh"):
        return found
    said = [lang for lang in _read(record.langs, _tongues) or [] if _LANGUAGE.fullmatch(lang)]
    others = [lang for lang in said if _base(lang) not in ("en", "zh")]
    return others[0] if others and (found == "und" or len(others) == len(said)) else found


def _base(lang: str) -> str:
    return lang.partition("-")[0].lower()


def _without_people(text: str, facets: Sequence[_Facet]) -> str:
    """The text without the stretches that name people; those lie in its UTF-8, and may be wrong."""
    data = text.encode("utf-8", "replace")
    spans = sorted((facet.index.start, facet.index.end) for facet in facets if any(feature.kind.endswith("#mention") for feature in facet.features))
    kept = [(0, 0)]
    for start, end in spans:
        if kept[-1][1] <= start < end <= len(data) and _is_edge(data, start) and _is_edge(data, end):
            kept.append((start, end))
    kept.append((len(data), len(data)))
    return _PEOPLE.sub("@user", "@user".join(data[before[1] : after[0]].decode() for before, after in pairwise(kept)))


def _is_edge(data: bytes, at: int) -> bool:
    """Whether no character lies across that byte."""
    return at == len(data) or data[at] & 0xC0 != 0x80


def _read(raw: msgspec.Raw, decoder: msgspec.json.Decoder[T]) -> T | None:
    try:
        return decoder.decode(raw) if bytes(raw) else None
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def _stamp(frame: Frame) -> tuple[int, int] | None:
    """Time in microseconds and `seq` (0 in v1) of a message; None where it tells no time, as notices do."""
    try:
        found = _stamped.decode(frame.data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    at = found.payload and (found.payload.witnessed or found.payload.time)
    us = _us(at) if at else found.time_us
    return (us, found.payload.seq if found.payload else 0) if us > 0 else None


def _place(place: str) -> _Place:
    numbers = [int(number) for number in place.split(",") if number.isdecimal()]
    return _Place(*numbers) if len(numbers) == len(_Place._fields) else _Place(0, 0, 0)


def _address(host: str, wire: str, parameters: dict[str, str | int]) -> str:
    parts = urlsplit(host)
    query = "&".join(part for part in (parts.query, urlencode(parameters)) if part)
    return urlunsplit((parts.scheme, parts.netloc, parts.path if parts.path.strip("/") else PATHS[wire], query, ""))


def _us(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def _instant(us: int) -> datetime:
    return from_epoch_ms(us // 1000)


MANNERS = Manners(
    stability="green",
    interval_s=1,
    kind=DocumentKind.SOCIAL,
    publisher="bsky.app",
    terms="an open service of Bluesky for programs, without a key; what people write there stays theirs, and deletions are to be honoured",
    full_text=True,
    tried="not tried live; wire formats as in the server's lexicon and documentation 2026-11-23",
    options={
        "words": f"words with commas between, of which a post must hold one; {CASHTAGS} is any cashtag; default: a hundred words of finance, English and Chinese",
        "langs": f"languages of the posts that are taken, with commas between; default {LANGS}",
        "protocol": "v1 or v2 of the service; default v1",
        "links": "yes: keep the link to each post, which holds its author's id; default no",
    },
)
STREAM = Stream(connect=connect, place=place, gap=gap, quiet_s=QUIET_S, too_old=too_old, named_by=("protocol",))
SOURCE = Source(NAME, ("bluesky",), parse, MANNERS, check=check, stream=STREAM)
