from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Engagement, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.hn_algolia import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(**options: str) -> Feed:
    return fitted(Feed(source="hn_algolia", options={name: SecretStr(value) for name, value in ({"query": "bank"} | options).items()}))[1]


def read(body: str, *, key: bytes = b"") -> Parsed:
    return parse(Response(url=ADDRESS, body=body.encode(), fetched_at=NOON), feed=feed(), author_key=key)


def found(*rows: Any) -> Parsed:
    return read(json.dumps({"hits": rows}))


def only(**fields: Any) -> Document:
    (document,) = found({"objectID": "7", "title": "T"} | fields).documents
    return document


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(query="example bank"), now=datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert asked.url == "https://hn.algolia.com/api/v1/search_by_date?tags=(story,comment)&query=example+bank&numericFilters=created_at_i%3E1795348800&hitsPerPage=200"
    assert (asked.headers, asked.form) == ({}, None)
    assert datetime.fromtimestamp(1795348800, UTC) == datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_query_is_needed() -> None:
    with pytest.raises(ConfigError, match="query"):
        fitted(Feed(source="hn_algolia"))


def test_a_story_is_a_document() -> None:
    story = only(
        title="A &amp; B",
        story_text="One.<p>P&lt;E &#x27;two&#x27;",
        url="https://x.example/1",
        points=3,
        num_comments=0,
        created_at_i=1795431600,
        _tags=["story", "author_ann", "ask_hn"],
    )
    assert (story.doc_id, story.kind, story.publisher) == (doc_id_of("hn_algolia", "7"), DocumentKind.SOCIAL, "news.ycombinator.com")
    assert (story.title, story.text) == ("A & B", "One.\nP<E 'two'")
    assert (story.url, story.parent_id) == ("https://news.ycombinator.com/item?id=7", None)
    assert story.labels == {"link": "https://x.example/1", "channels": ["ask_hn"]}
    assert story.engagement == Engagement(likes=3, replies=0)
    assert (story.published_at, story.published_precision) == (datetime(2026, 11, 23, 11, tzinfo=UTC), Precision.SECOND)


def test_a_comment_names_what_it_answers() -> None:
    comment = only(title=None, comment_text="Yes.", story_title="S", story_id=1, parent_id=5, points=None, _tags=["comment", "author_ann", "story_1"])
    assert (comment.title, comment.text, comment.parent_id) == ("", "Yes.", "5")
    assert (comment.labels, comment.engagement) == ({"story": "S"}, None)


def test_nobody_is_named() -> None:
    text = "@ann see <a href='https:&#x2F;&#x2F;news.ycombinator.com&#x2F;user?id=ann-b'>https:&#x2F;&#x2F;news.ycombinator.com&#x2F;user?id=ann-b</a> and news: user?id=ann"
    body = json.dumps({"hits": [{"objectID": "7", "comment_text": text, "author": "ann", "_tags": ["comment", "author_ann"], "_highlightResult": {"author": {"value": "ann"}}}]})
    (document,) = read(body, key=b"k").documents
    assert "ann" not in str(document).replace("channels", "")
    assert document.author_hash is not None
    assert document.text == "@user see @user and news: @user"
    assert read(body).documents[0].author_hash is None


@pytest.mark.parametrize("said", [99999999999, "soon", -1, None])
def test_times_that_cannot_be_trusted_give_none(said: Any) -> None:
    document = only(created_at_i=said)
    assert (document.published_at, document.published_precision) == (None, None)
    assert document.extra.get("published_raw", "") == ("" if said is None else str(said))


@given(st.integers(min_value=631152000, max_value=1795435200))
def test_a_count_of_seconds_is_the_instant_it_names(at: int) -> None:
    assert only(created_at_i=at).published_at == datetime.fromtimestamp(at, UTC) == only(created_at_i=str(at)).published_at


@pytest.mark.parametrize("said", ["many", True, [], {}, 1.5, None])
def test_what_is_wrong_with_counts_and_tags_costs_no_text(said: Any) -> None:
    document = only(points=said, num_comments=2, _tags=said)
    assert (document.title, document.engagement) == ("T", Engagement(replies=2))


@pytest.mark.parametrize("row", ["a", None, {}, {"objectID": None, "title": "T"}, {"objectID": "8", "title": 7}])
def test_a_bad_row_costs_no_other(row: Any) -> None:
    parsed = found(row, {"objectID": "7", "title": "T"})
    assert ([document.native_id for document in parsed.documents], [problem.reason for problem in parsed.problems]) == (["7"], ["invalid"])


def test_a_deleted_comment_is_empty_and_an_item_occurs_once() -> None:
    parsed = found({"objectID": "1", "comment_text": None}, {"objectID": "7", "title": "T"}, {"objectID": 7, "title": "T"})
    assert ([document.native_id for document in parsed.documents], [problem.reason for problem in parsed.problems]) == (["7"], ["empty", "duplicate"])


def test_no_hit_is_an_empty_list() -> None:
    assert found() == Parsed([])


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ('{"message":"invalid numericFilters","status":400}', PageChanged, "400"),
        ('{"results":[]}', PageChanged, "no hits"),
        ('{"hits":{}}', PageChanged, "form"),
        ('{"hits":[', PageChanged, "cut off"),
        ("<!DOCTYPE html><html></html>", SourceWalled, "page"),
    ],
)
def test_errors_inside_an_answer_of_200(body: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read(body)
