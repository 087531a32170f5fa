"""A Kafka topic of somebody else's: each message a row of Documents in JSON, whatever its fields are called (see `documents`).

No wire format of anybody's. A message without a value deletes the document whose id is its key, as compaction has it; a key that is no id deletes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from opinion.errors import ConfigError, PageChanged
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, documents_of, latest
from scrapers.source import Ask, Frame, Gap, Manners, Parsed, Problem, Response, Source, Stream
from scrapers.sources.documents import fields_of, item_in, row_in

NAME = "kafka"
ADAPTER_VERSION = 1
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
STARTS = ("latest", "earliest")
PORT = 9092
"""Of servers that are named without one: Kafka's own default."""

_SERVER = re.compile(r"[A-Za-z0-9._-]{1,253}(?::\d{1,5})?", re.ASCII)
_TOPIC = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}", re.ASCII)  # what Kafka allows

Places = dict[int, tuple[int, int]]
"""Partition -> the offset to read next, and when what was read last was written (epoch ms)."""

_places = msgspec.json.Decoder(Places)


def connect(feed: Feed, place: str, _now: datetime) -> list[Ask]:
    """The topic, from that place; user and password do not stand in the address.

    Errors:
        ConfigError: an option is of another form; the message does not show it.
    """
    servers = [part.strip() for part in feed.option("servers").split(",") if part.strip()]
    if not servers or not all(map(_SERVER.fullmatch, servers)):
        raise _wrong("servers", "is not of the form host:port,host:port")
    topic = feed.option("topic").strip()
    if _TOPIC.fullmatch(topic) is None:
        raise _wrong("topic", "is no name of a topic: letters, digits, dot, hyphen and underscore")
    start = feed.option("start", STARTS[0])
    if start not in STARTS:
        raise _wrong("start", f"is one of {', '.join(STARTS)}")
    fields = fields_of(feed.option("fields"))
    if all(one == other for one, other in zip(fields["id"], fields["deleted"], strict=False)):
        raise _wrong("fields", "has `id` and `deleted` lie in one another")
    headers = {"start": start, "place": place, "id": ".".join(fields["id"]), "deleted": ".".join(fields["deleted"])} | _login(feed)
    address = ",".join(server if ":" in server else f"{server}:{PORT}" for server in servers)
    return [Ask(url=f"kafka://{address}/{topic}", headers=headers)]


def place(frames: Sequence[Frame], before: str) -> str:
    """Where each partition stands after the frames, whose own places are `partition:next offset:epoch ms`."""
    found = places_of(before)
    for frame in frames:
        partition, offset, at_ms = map(int, frame.place.split(":"))
        found[partition] = offset, at_ms
    return msgspec.json.encode(found).decode()


def places_of(place: str) -> Places:
    """The partitions of a place; none where there is none.

    >>> places_of(place([Frame(b"", "0:5:1700000000000")], ""))
    {0: (5, 1700000000000)}
    """
    try:
        return _places.decode(place) if place else {}
    except msgspec.MsgspecError:
        return {}


def gap(_first: Frame | None, _place: str, _now: datetime) -> Gap | None:
    """None: offsets tell what is gone, so that the connection itself says it."""
    return None


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The Documents of messages, one a line; of an id that comes twice the last.

    Errors:
        PageChanged: empty.
    """
    if not response.body.strip():
        raise PageChanged("the body is empty")
    topic, fields = feed.option("topic").strip(), fields_of(feed.option("fields"))
    rows = [row_in(line) for line in response.body.split(b"\n") if line.strip()]
    items = [row if isinstance(row, Problem) else _own(item_in(row, fields, base="", at=response.fetched_at), topic) for row in rows]
    whole = replace(response, url=f"kafka://{topic}/")  # the topic is the publisher and keeps authors apart, whichever brokers hold it
    return documents_of(latest(items), source=NAME, version=ADAPTER_VERSION, response=whole, feed=feed, author_key=author_key)


def _own(item: Item | Problem, topic: str) -> Item | Problem:
    """The item under its topic: two suppliers may both begin to count at 1."""
    if isinstance(item, Problem):
        return item
    return replace(item, native_id=f"{topic}:{item.native_id}", parent_id=item.parent_id and f"{topic}:{item.parent_id}")


def _login(feed: Feed) -> dict[str, str]:
    """User, password, mechanism and `tls`, as far as they are needed."""
    user, password = feed.option("username"), feed.option("password")
    mechanism = feed.option("mechanism", MECHANISMS[0]).upper()
    tls = feed.option("tls", "yes" if user else "no").strip()
    if mechanism not in MECHANISMS:
        raise _wrong("mechanism", f"is one of {', '.join(MECHANISMS)}")
    if bool(user) != bool(password):
        raise _wrong("username" if password else "password", "is missing: the two go together")
    if tls not in ("yes", "no") and not tls.startswith("/"):
        raise _wrong("tls", "is yes, no, or the path of a file of certificates that begins with /")
    login = {"username": user, "password": password, "mechanism": mechanism} if user else {}
    return login | ({} if tls == "no" else {"tls": tls})


def _wrong(option: str, why: str) -> ConfigError:
    return ConfigError(f"source {NAME}: option `{option}` {why}")


MANNERS = Manners(
    stability="green",
    interval_s=1,
    kind=DocumentKind.NEWS,
    terms="those of whoever supplies the texts",
    full_text=True,
    tried="a form of our own; against Kafka 4.3.1",
    options={
        "servers": f"brokers, host:port with commas between; port {PORT} where none is said",
        "topic": "name of the topic; all its partitions are read",
        "fields": "where our fields are found in a message, e.g. title=headline,text=body.content",
        "start": f"{' or '.join(STARTS)}: where reading begins the first time; default {STARTS[0]}",
        "username": "for brokers that ask for a login (SASL)",
        "password": "of that user",
        "mechanism": f"of the login: {', '.join(MECHANISMS)}; default {MECHANISMS[0]}",
        "tls": "yes, no, or the path of a file with the certificates to trust; default yes with a login, else no",
    },
    needs=("servers", "topic"),
)
STREAM = Stream(connect=connect, place=place, gap=gap, quiet_s=None, named_by=("servers", "topic"))
SOURCE = Source(NAME, (), parse, MANNERS, stream=STREAM)
