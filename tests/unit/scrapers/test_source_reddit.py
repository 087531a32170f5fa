from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceError, SourceRateLimited, SourceWalled
from opinion.records import Document, Engagement
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.reddit import ask, parse
from tests.support.records import NOON

URL = "https://oauth.reddit.com/r/stocks/new?limit=100&raw_json=1"


def feed(**options: str) -> Feed:
    given_options = {"subreddit": "stocks", "access_token": " hush\n"} | options
    return fitted(Feed(source="reddit", options={name: SecretStr(value) for name, value in given_options.items()}))[1]


def post(**fields: Any) -> dict[str, Any]:
    return {"kind": "t3", "data": {"name": "t3_a1", "title": "Acme falls", "created_utc": 1795426200.0, "permalink": "/r/stocks/comments/a1/acme/"} | fields}


def listing(*children: object) -> dict[str, Any]:
    return {"kind": "Listing", "data": {"after": None, "children": children}}


def read(body: object, *, key: bytes = b"") -> Parsed:
    return parse(Response(url=URL, body=json.dumps(body).encode(), fetched_at=NOON), feed=feed(), author_key=key)


def only(**fields: Any) -> Document:
    (document,) = read(listing(post(**fields))).documents
    return document


@pytest.mark.parametrize(
    ("subreddit", "url"),
    [
        ("stocks", URL),
        ("r/stocks", URL),
        ("/r/stocks/", URL),
        ("stocks+investing", URL.replace("stocks", "stocks+investing")),
        ("a/../b?c", URL.replace("stocks", "a%2F..%2Fb%3Fc")),
    ],
)
def test_the_newest_posts_are_asked_for_with_the_token_in_the_header(subreddit: str, url: str) -> None:
    asked = ask(feed(subreddit=subreddit), NOON)
    assert (asked.url, asked.headers, asked.form) == (url, {"authorization": "Bearer hush"}, None)


@pytest.mark.parametrize("missing", ["access_token", "subreddit"])
def test_it_is_off_until_there_are_a_token_and_a_subreddit(missing: str) -> None:
    options = {name: SecretStr("x") for name in ("access_token", "subreddit") if name != missing}
    with pytest.raises(ConfigError, match=f"off until you give its option '{missing}'"):
        fitted(Feed(source="reddit", options=options))


@pytest.mark.parametrize("created", [1795426200.0, 1795426200, "1795426200"])
def test_the_time_is_seconds_of_the_epoch(created: object) -> None:
    assert only(created_utc=created).published_at == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("created", [None, 0, 1795426200000, 1895426200, "soon"])
def test_a_time_that_cannot_be_is_none(created: object) -> None:
    assert only(created_utc=created).published_at is None


def test_the_link_is_the_discussion_and_the_id_the_full_name() -> None:
    found = only(url="https://news.example/acme")
    assert (found.native_id, found.url) == ("t3_a1", "https://www.reddit.com/r/stocks/comments/a1/acme/")


def test_people_are_not_named() -> None:
    text = "Thanks u/bob_1, /u/ann-x and https://www.reddit.com/user/carl9 or reddit.com/u/dora; @eve; debt/u/nknown; 5 u/l"
    (document,) = read(listing(post(title="u/bob_1 asks", selftext=text, author="frank")), key=b"k").documents
    assert document.title == "@user asks"
    assert not any(name in document.text for name in ("bob_1", "ann-x", "carl9", "eve", "frank"))
    assert "5 u/l" in document.text
    assert document.author_hash


def test_a_deleted_author_is_no_author() -> None:
    (document,) = read(listing(post(author="[deleted]")), key=b"k").documents
    assert document.author_hash is None


@pytest.mark.parametrize(
    "fields", [{"promoted": True}, {"is_created_from_ads_ui": True}, {"selftext": "[removed]"}, {"selftext": "[deleted]"}, {"removed_by_category": "moderator"}, {"title": " "}]
)
def test_advertisements_removed_and_wordless_posts_are_no_documents(fields: dict[str, Any]) -> None:
    found = read(listing(post(**fields), post(name="t3_a2")))
    assert [document.native_id for document in found.documents] == ["t3_a2"]
    assert [problem.reason for problem in found.problems] == ["empty"]


def test_hidden_votes_are_unknown_and_none_are_zero() -> None:
    assert only(score=1, hide_score=True, num_comments=4).engagement == Engagement(replies=4)
    assert only(score=0, hide_score=False).engagement == Engagement(likes=0)
    assert only().engagement is None


def test_flair_and_crosspost_are_kept() -> None:
    found = only(link_flair_text="DD", crosspost_parent="t3_zz")
    assert (found.labels, found.parent_id) == ({"channels": ["DD"]}, "t3_zz")


@pytest.mark.parametrize(("error", "kind"), [(429, SourceRateLimited), (401, SourceWalled), (403, SourceWalled), ("403", SourceWalled), (404, PageChanged)])
def test_an_error_inside_the_body_is_told_with_its_number(error: object, kind: type[SourceError]) -> None:
    with pytest.raises(kind, match=f"{error}: no luck"):
        read({"error": error, "message": "no luck"})


def test_no_listing_is_a_change_and_an_empty_one_is_not() -> None:
    assert read(listing()) == Parsed([])
    for body in ({}, {"kind": "t3", "data": {"children": []}}, {"kind": "Listing", "data": {}}, [listing()]):
        with pytest.raises(PageChanged):
            read(body)


def test_a_bad_row_costs_no_other_and_one_told_twice_counts_once() -> None:
    found = read(listing(None, {"kind": "t1", "data": {"name": "t1_x", "title": "a comment"}}, {"kind": "t3", "data": {"title": "x"}}, post(), post()))
    assert [document.native_id for document in found.documents] == ["t3_a1"]
    assert [problem.reason for problem in found.problems] == ["invalid", "invalid", "invalid", "duplicate"]
