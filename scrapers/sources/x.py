"""X: posts that match the operator's own rules, pushed as they are written (API v2, filtered stream).

The rules lie at X: he makes them there with his token, and what they let through is read, nothing else. X takes one connection of his and goes back to no
place: what was written while nobody listened is a gap, less what `backfill` repeats.

Wire format as of 2026-11-23, from X's documentation and general knowledge; not tried live. One JSON object a line, an empty line at least every 20 s.
Deletions come on a stream of X's own for few; it is read here too, by another `url`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec.structs import replace

from opinion.clock import epoch_ms, from_epoch_ms
from opinion.errors import ConfigError, SourceWalled
from opinion.records import DocumentKind, Engagement, Instant, Op
from opinion.settings import Feed
from scrapers.build import Item, documents_of, latest
from scrapers.dates import read_date
from scrapers.source import Ask, Frame, Gap, Manners, Parsed, Problem, Response, Source, Stream
from scrapers.wire import SiteId, item_of

NAME = "x"
ADAPTER_VERSION = 1
URL = "https://api.x.com/2/tweets/search/stream"
SITE = "https://x.com/"
FIELDS = "author_id,created_at,edit_history_tweet_ids,entities,lang,note_tweet,public_metrics,referenced_tweets"
QUIET_S = 30.0
"""X promises an empty line every 20 s; one that is half as late again is not coming."""
AWAY_S = 5.0
"""Posts come some seconds after they were written (X says 7 at most, of a hundred 99): a place that lags so little has missed nothing yet."""
MOST_BACKFILL_MIN = 5
_REPOST = re.compile(r"RT @\w{1,20}: ", re.ASCII)
_LANGS = {"in": "id", "iw": "he"}
"""Codes that ISO 639 gave up long ago."""
_NO_LANG = re.compile(r"q\w\w|und|zxx|art|zh.*", re.ASCII)
"""Private codes (only links, only tags), none found, or Chinese without its script: found per text."""
_PARENTS = ("retweeted", "replied_to", "quoted")


class _Reference(msgspec.Struct):
    type: str = ""
    id: str | int = ""


class _Metrics(msgspec.Struct):
    like_count: int | None = None
    retweet_count: int | None = None
    reply_count: int | None = None
    quote_count: int | None = None
    impression_count: int | None = None


class _Cashtag(msgspec.Struct):
    tag: str = ""


class _Entities(msgspec.Struct):
    cashtags: list[_Cashtag] | None = None


class _Note(msgspec.Struct):
    """A post of over 280 characters, whole."""

    text: str = ""
    entities: _Entities | None = None


class _Post(msgspec.Struct):
    id: SiteId
    text: str = ""  # escaped for HTML
    created_at: str = ""
    author_id: str | int | None = None
    lang: str | None = None
    edit_history_tweet_ids: list[str | int] | None = None  # the first is the post as it was first
    note_tweet: _Note | None = None
    entities: _Entities | None = None
    public_metrics: _Metrics | None = None
    referenced_tweets: list[_Reference] | None = None


class _Rule(msgspec.Struct):
    tag: str | None = None


class _Erased(msgspec.Struct):
    """A deletion, of this API or of the one before."""

    tweet: _Reference | None = None
    status: _Reference | None = None


class _Message(msgspec.Struct):
    data: Any = None
    includes: Any = None
    matching_rules: Any = None
    delete: Any = None
    errors: Any = None


class _Dated(msgspec.Struct):
    created_at: Instant | None = None


class _Stamp(msgspec.Struct):
    data: _Dated | None = None


_stamp = msgspec.json.Decoder(_Stamp)


def connect(feed: Feed, _place: str, _now: datetime) -> list[Ask]:
    """The stream of the token's rules.

    Errors:
        ConfigError: an option or the `url` is of another form.
    """
    minutes, originals = feed.option("backfill", "0").strip(), feed.option("originals", "no")
    if not (minutes.isascii() and minutes.isdecimal() and int(minutes) <= MOST_BACKFILL_MIN):
        raise ConfigError(f"source {NAME}: option `backfill` is a number of minutes, at most {MOST_BACKFILL_MIN}")
    if originals not in ("yes", "no"):
        raise ConfigError(f"source {NAME}: option `originals` is yes or no")
    if feed.url and not feed.url.startswith("https://"):
        raise ConfigError(f"source {NAME}: `url` is an https address: the token must not travel in the clear")
    query = {"tweet.fields": FIELDS} if not feed.url else {}
    query |= {"expansions": "referenced_tweets.id"} if originals == "yes" else {}
    query |= {"backfill_minutes": minutes} if int(minutes) else {}
    address = feed.url or URL
    asked = f"{address}{'&' if '?' in address else '?'}{urlencode(query)}" if query else address
    return [Ask(url=asked, headers={"authorization": f"Bearer {feed.option('token').strip()}"}, back_s=60.0 * int(minutes))]


def place(frames: Sequence[Frame], before: str) -> str:
    """When the newest post was written, epoch ms: later ones may be missed."""
    return str(max([at_ms for frame in frames if (at_ms := _written_ms(frame)) is not None], default=None) or before)


def gap(_first: Frame | None, place: str, now: datetime) -> Gap | None:
    """What lies between the place and the instant from which X tells again."""
    since = from_epoch_ms(int(place))
    return Gap(since, now) if (now - since).total_seconds() > AWAY_S else None


def heard(at: datetime) -> str:
    """The place of an empty line: all that was written until then has come."""
    return str(epoch_ms(at))


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The posts and deletions among messages, one a line.

    Errors:
        SourceWalled: a web page instead of messages.
    """
    if response.body.lstrip()[:1] == b"<":
        raise SourceWalled("a web page instead of messages")
    items = latest(_items(response))
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=replace(response, url=SITE), feed=feed, author_key=author_key)


def _items(response: Response) -> Iterator[Item | Problem]:
    for line in response.body.split(b"\n"):
        if line.strip():
            yield _item(line, fetched_at=response.fetched_at)


def _item(line: bytes, *, fetched_at: datetime) -> Item | Problem:
    try:
        told = msgspec.json.decode(line)
        message = item_of(told, _Message)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return Problem("invalid", f"no message: {error}"[:200])
    if isinstance(message, str):
        return Problem("invalid", message)
    notices = {name: value for name, value in message.data.items() if isinstance(value, dict) and "event_at" in value} if isinstance(message.data, dict) else {}
    erased = item_of(notices.get("delete", message.delete), _Erased)
    if not isinstance(erased, str) and (gone := erased.tweet or erased.status) and gone.id:
        return Item(native_id=str(gone.id), op=Op.DELETE)
    if notices:
        return Problem("empty", f"a notice that is no deletion: {', '.join(notices)[:100]}")
    if message.data is None:
        return Problem("invalid", _said(message.errors or told))
    post = item_of(message.data, _Post)
    return Problem("invalid", post) if isinstance(post, str) else _post(post, message, fetched_at=fetched_at)


def _post(post: _Post, message: _Message, *, fetched_at: datetime) -> Item:
    parents = {reference.type: reference.id for reference in reversed(post.referenced_tweets or []) if reference.id}
    parent = next((parents[kind] for kind in _PARENTS if kind in parents), None)
    reposted = "retweeted" in parents
    said = (_original(message.includes, parents["retweeted"]) or post) if reposted else post
    text, entities = (said.note_tweet.text, said.note_tweet.entities) if said.note_tweet and said.note_tweet.text else (said.text, said.entities)
    published_at, precision = read_date(post.created_at, fetched_at=fetched_at)
    cashtags = entities.cashtags if entities and entities.cashtags else []
    labels = {"channels": _tags(message.matching_rules), "cashtags": [found.tag for found in cashtags if found.tag]}
    return Item(
        native_id=str(post.edit_history_tweet_ids[0] if post.edit_history_tweet_ids else post.id),
        text=_REPOST.sub("", text, count=1) if reposted and _REPOST.match(text) else text,
        url=f"{SITE}i/status/{post.id}",  # the other form of the link holds the author's name
        published_at=published_at,
        precision=precision,
        published_raw=post.created_at,
        lang=_lang(said.lang or ""),
        author=str(post.author_id or ""),
        labels={name: list(dict.fromkeys(values)) for name, values in labels.items() if values},
        engagement=None if reposted else _engagement(post.public_metrics),  # those of a repost are the original's
        parent_id=None if parent is None else str(parent),
    )


def _original(includes: Any, number: str | int) -> _Post | None:
    """The post that another only passes on, where it came along."""
    posts = includes.get("tweets") if isinstance(includes, dict) else None
    found = [item_of(raw, _Post) for raw in posts] if isinstance(posts, list) else []
    return next((post for post in found if isinstance(post, _Post) and str(post.id) == str(number)), None)


def _tags(rules: Any) -> list[str]:
    found = [item_of(rule, _Rule) for rule in rules] if isinstance(rules, list) else []
    return [rule.tag for rule in found if isinstance(rule, _Rule) and rule.tag]


def _engagement(metrics: _Metrics | None) -> Engagement | None:
    if metrics is None:
        return None
    found = Engagement(metrics.like_count, metrics.retweet_count, metrics.reply_count, metrics.quote_count, metrics.impression_count)
    return None if found == Engagement() else found


def _lang(said: str) -> str:
    """The language that X found; empty where we find it better or X found none.

    >>> _lang("ja"), _lang("iw"), _lang("zh"), _lang("qct")
    ('ja', 'he', '', '')
    """
    return "" if _NO_LANG.fullmatch(said) else _LANGS.get(said, said)


def _said(errors: Any) -> str:
    """What X says instead of a post: before it ends the connection, as a rule."""
    first = errors[0] if isinstance(errors, list) and errors else errors
    words = [str(first[key]) for key in ("title", "detail") if key in first] if isinstance(first, dict) else []
    return f"X says {': '.join(words)}"[:200] if words else "neither a post nor a deletion nor an error"


def _written_ms(frame: Frame) -> int | None:
    try:
        found = _stamp.decode(frame.data).data
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return epoch_ms(found.created_at) if found is not None and found.created_at is not None else None


MANNERS = Manners(
    stability="red",
    interval_s=2,
    kind=DocumentKind.SOCIAL,
    publisher="x.com",
    terms="paid, by the post; under X's developer agreement, which asks that deletions and edits be honoured; the rules are the operator's, and so is the bill",
    full_text=True,
    tried="not tried live; wire format as documented 2026-11-23 (X's documentation, partly general knowledge)",
    options={
        "token": "bearer token of an app of the operator's; what its rules at X match is read",
        "backfill": f"minutes before the connection that X is to repeat, at most {MOST_BACKFILL_MIN}; for academic and enterprise access alone; default none",
        "originals": "yes: ask for the posts that others pass on or quote, so that reposts come whole; X counts each as one more post read; default no",
    },
    needs=("token",),
)
STREAM = Stream(connect=connect, place=place, gap=gap, quiet_s=QUIET_S, heard=heard)
SOURCE = Source(NAME, ("twitter",), parse, MANNERS, stream=STREAM)
