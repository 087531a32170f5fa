"""StockTwits: the newest messages on one symbol, with what their authors declared: bullish or bearish.

Wire format as of 2026-11-23, from the code of public clients and general knowledge; not tried against the live site.
Without an account it gave 200 requests an hour, and has taken no new programs since 2023: off until the operator has a token.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from opinion.errors import PageChanged, SourceRateLimited, SourceWalled
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.dates import read_date
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.wire import item_of, json_of

NAME = "stocktwits"
ADAPTER_VERSION = 1
MESSAGES = 30
"""Most messages that are given at once."""
_URL = "https://api.stocktwits.com/api/2/streams/symbol/{symbol}.json?{query}"
_MARKETS = {"NASDAQ": "XNAS", "NYSE": "XNYS", "NYSEARCA": "ARCX", "NYSEMKT": "XASE", "AMEX": "XASE", "TSX": "XTSE"}


class _Status(msgspec.Struct):
    status: int = HTTPStatus.OK


class _Error(msgspec.Struct):
    message: str = ""


class _Stream(msgspec.Struct):
    response: _Status = msgspec.field(default_factory=_Status)
    errors: list[_Error] = []
    messages: list[Any] | None = None


class _User(msgspec.Struct):
    id: int | str = ""


class _Symbol(msgspec.Struct):
    symbol: str = ""
    exchange: str | None = None


class _Sentiment(msgspec.Struct):
    basic: str | None = None


class _Entities(msgspec.Struct):
    sentiment: _Sentiment | None = None


class _Likes(msgspec.Struct):
    total: int | None = None


class _Reshares(msgspec.Struct):
    reshared_count: int | None = None


class _Conversation(msgspec.Struct):
    in_reply_to_message_id: int | None = None
    replies: int | None = None


class _Message(msgspec.Struct):
    id: int
    body: str = ""  # escaped for HTML
    created_at: str = ""
    user: _User | None = None
    symbols: list[_Symbol] | None = None
    entities: _Entities | None = None
    likes: _Likes | None = None
    reshares: _Reshares | None = None
    conversation: _Conversation | None = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest messages on the symbol."""
    symbol = quote(feed.option("symbol").strip().lstrip("$").upper(), safe="")
    return Ask(url=_URL.format(symbol=symbol, query=urlencode({"limit": MESSAGES, "access_token": feed.option("access_token").strip()})))


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The messages of a stream, newest first.

    Errors:
        PageChanged: no messages, or an error of the API's own.
        SourceRateLimited: too many requests in this hour.
        SourceWalled: the token is refused, or a page for people came.
    """
    stream = json_of(response, _Stream)
    _refuse(stream)
    if stream.messages is None:
        raise PageChanged("no list of messages")
    items = (_item(row, response=response) for row in stream.messages)
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _refuse(stream: _Stream) -> None:
    """Raise for a status that the body itself tells."""
    status = stream.response.status
    if status == HTTPStatus.OK:
        return
    line = f"the API says {status}: {'; '.join(error.message for error in stream.errors)[:100]}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise SourceRateLimited(line)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise SourceWalled(line)
    raise PageChanged(line)


def _item(row: object, *, response: Response) -> Item | Problem:
    message = item_of(row, _Message)
    if isinstance(message, str):
        return Problem("invalid", message)
    published_at, precision = read_date(message.created_at, fetched_at=response.fetched_at)
    symbols = message.symbols or []
    return Item(
        native_id=str(message.id),
        text=message.body,
        url=f"https://stocktwits.com/message/{message.id}",  # the other form of the link holds the author's name
        published_at=published_at,
        precision=precision,
        published_raw=message.created_at,
        author=str(message.user.id) if message.user else "",
        symbols=[f"{_MARKETS[market]}:{found.symbol}" for found in symbols if found.symbol and (market := (found.exchange or "").upper().replace(" ", "")) in _MARKETS],
        labels=_labels(message, symbols),
        engagement=_engagement(message),
        parent_id=_parent(message),
    )


def _labels(message: _Message, symbols: list[_Symbol]) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    if tags := [found.symbol for found in symbols if found.symbol]:
        labels["channels"] = tags
    if message.entities and message.entities.sentiment and message.entities.sentiment.basic:
        labels["native_sentiment"] = message.entities.sentiment.basic
    return labels


def _engagement(message: _Message) -> Engagement | None:
    found = Engagement(
        likes=message.likes.total if message.likes else None,
        reposts=message.reshares.reshared_count if message.reshares else None,
        replies=message.conversation.replies if message.conversation else None,
    )
    return None if found == Engagement() else found


def _parent(message: _Message) -> str | None:
    parent = message.conversation.in_reply_to_message_id if message.conversation else None
    return None if parent is None else str(parent)


MANNERS = Manners(
    stability="red",
    interval_s=120,
    kind=DocumentKind.SOCIAL,
    publisher="stocktwits.com",
    terms="only with an account's token and under the site's API terms; 400 requests an hour, all symbols together",
    full_text=True,
    tried="not tried live; wire format as documented 2026-11-23 (client code read, engagement and replies from general knowledge)",
    options={
        "access_token": "token of a StockTwits account (the site has registered no new programs since 2023)",
        "symbol": "ticker as the site writes it, e.g. AAPL or BTC.X",
    },
    needs=("access_token", "symbol"),
)
SOURCE = Source(NAME, (), parse, MANNERS, ask)
