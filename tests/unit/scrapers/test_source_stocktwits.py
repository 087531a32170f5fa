from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceError, SourceRateLimited, SourceWalled
from opinion.records import Document, Engagement
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.stocktwits import ask, parse
from tests.support.records import NOON

URL = "https://api.stocktwits.com/api/2/streams/symbol/AAPL.json?limit=30&access_token=hush"


def feed(**options: str) -> Feed:
    given_options = {"symbol": "AAPL", "access_token": " hush\n"} | options
    return fitted(Feed(source="stocktwits", options={name: SecretStr(value) for name, value in given_options.items()}))[1]


def message(**fields: Any) -> dict[str, Any]:
    return {"id": 7, "body": "falls", "created_at": "2026-11-23T11:58:03Z", "user": {"id": 9, "username": "ann_trades"}} | fields


def read(body: object, *, key: bytes = b"") -> Parsed:
    return parse(Response(url=URL, body=json.dumps(body).encode(), fetched_at=NOON), feed=feed(), author_key=key)


def only(**fields: Any) -> Document:
    (document,) = read({"response": {"status": 200}, "messages": [message(**fields)]}).documents
    return document


@pytest.mark.parametrize(
    ("symbol", "url"),
    [("AAPL", URL), ("$aapl", URL), ("btc.x", URL.replace("AAPL", "BTC.X")), ("a/b?c", URL.replace("AAPL", "A%2FB%3FC"))],
)
def test_the_newest_messages_on_the_symbol_are_asked_for(symbol: str, url: str) -> None:
    asked = ask(feed(symbol=symbol), NOON)
    assert (asked.url, dict(asked.headers), asked.form) == (url, {}, None)


@pytest.mark.parametrize("missing", ["access_token", "symbol"])
def test_it_is_off_until_there_are_a_token_and_a_symbol(missing: str) -> None:
    options = {name: SecretStr("x") for name in ("access_token", "symbol") if name != missing}
    with pytest.raises(ConfigError, match=f"off until you give its option '{missing}'"):
        fitted(Feed(source="stocktwits", options=options))


def test_the_link_and_the_text_do_not_name_the_author() -> None:
    (document,) = read({"messages": [message(body="@other_one no, says @ann_trades")]}, key=b"k").documents
    assert document.url == "https://stocktwits.com/message/7"
    assert document.text == "@user no, says @user"
    assert document.author_hash
    assert "ann_trades" not in json.dumps([document.text, document.url, document.labels, document.extra])


@pytest.mark.parametrize(
    ("entities", "labels"),
    [
        (None, {}),
        ({}, {}),
        ({"sentiment": None}, {}),
        ({"sentiment": {}}, {}),
        ({"sentiment": {"basic": None}}, {}),
        ({"sentiment": {"basic": "Bearish"}}, {"native_sentiment": "Bearish"}),
        ({"sentiment": {"basic": "Bullish", "other": 1}}, {"native_sentiment": "Bullish"}),
    ],
)
def test_the_declared_sentiment_may_be_null_at_either_level(entities: object, labels: dict[str, Any]) -> None:
    assert only(entities=entities).labels == labels


def test_the_body_is_unescaped() -> None:
    assert only(body="can&#39;t hold &lt;200 &amp; fades").text == "can't hold <200 & fades"


def test_a_symbol_needs_an_exchange_that_we_know() -> None:
    symbols = [
        {"symbol": "AAPL"},
        {"symbol": "IBM", "exchange": "NYSE"},
        {"symbol": "BTC.X", "exchange": "CRYPTO"},
        {"symbol": "SPY", "exchange": "NYSEArca"},
        {"symbol": "", "exchange": "NYSE"},
    ]
    found = only(symbols=symbols)
    assert found.symbols == ["XNYS:IBM", "ARCX:SPY"]
    assert found.labels == {"channels": ["AAPL", "IBM", "BTC.X", "SPY"]}


def test_reactions_are_unknown_unless_told() -> None:
    assert only().engagement is None
    told = only(likes={"total": 0, "user_ids": []}, reshares={"reshared_count": 2}, conversation={"replies": 3, "in_reply_to_message_id": 5, "parent_message_id": 1})
    assert told.engagement == Engagement(likes=0, reposts=2, replies=3)
    assert told.parent_id == "5"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(429, SourceRateLimited), (401, SourceWalled), (403, SourceWalled), (404, PageChanged), (500, PageChanged)],
)
def test_an_error_inside_the_body_is_told_with_its_number(status: int, kind: type[SourceError]) -> None:
    with pytest.raises(kind, match=f"{status}: no luck"):
        read({"response": {"status": status}, "errors": [{"message": "no luck"}]})


def test_no_list_is_a_change_and_an_empty_one_is_not() -> None:
    assert read({"response": {"status": 200}, "messages": []}) == Parsed([])
    with pytest.raises(PageChanged, match="no list"):
        read({"response": {"status": 200}})


def test_a_bad_row_costs_no_other_and_one_told_twice_counts_once() -> None:
    found = read({"messages": [None, {"body": "x"}, message(), message(), message(id=8, body=" ")]})
    assert [document.native_id for document in found.documents] == ["7"]
    assert [problem.reason for problem in found.problems] == ["invalid", "invalid", "duplicate", "empty"]
