from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Engagement, Op, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, Step, fitted
from scrapers.sources.hn import FIRST, HOST, MOST_BEHIND, MOST_CHANGES, PATIENCE_S, SOURCE, follow, parse
from tests.support.records import NOON

AT = 1795431600
"""An hour before noon."""


def feed(**options: str) -> Feed:
    return fitted(Feed(source="hn", options={name: SecretStr(value) for name, value in options.items()}))[1]


def response(body: str) -> Response:
    return Response(url=f"{HOST}/item/7.json", body=body.encode(), fetched_at=NOON)


def read(body: str, *, key: bytes = b"", **options: str) -> Parsed:
    return parse(response(body), feed=feed(**options), author_key=key)


def found(*, key: bytes = b"", words: str = "", **fields: Any) -> Parsed:
    return read(json.dumps({"id": 7, "type": "story", "title": "T"} | fields), key=key, words=words)


def only(*, key: bytes = b"", **fields: Any) -> Document:
    (document,) = found(key=key, **fields).documents
    return document


def walk(place: str, *, newest: int = 1000) -> list[Step]:
    """The steps to items; behind them the list of changes."""
    *items, changes = follow(response(str(newest)), place)
    assert (changes.ask.url, changes.index, changes.place) == (f"{HOST}/updates.json", True, "")
    return items


def places(place: str, *, newest: int = 1000) -> list[str]:
    return [step.place for step in walk(place, newest=newest)]


def test_a_poll_asks_for_the_newest_number() -> None:
    assert SOURCE.request(feed(), now=NOON).url == "https://hacker-news.firebaseio.com/v0/maxitem.json"


def test_every_number_since_the_place_is_read_oldest_first() -> None:
    assert places("997") == ["998", "999", "1000"]
    assert [step.ask.url for step in walk("998")] == [f"{HOST}/item/999.json", f"{HOST}/item/1000.json"]


def test_what_was_read_is_not_read_again() -> None:
    assert places("1000") == places("1001") == []


def test_a_first_poll_reads_what_is_new() -> None:
    assert places("") == [str(number) for number in range(1001 - FIRST, 1001)]
    assert places("", newest=2) == ["1", "2"]


def test_a_place_of_another_adapter_is_a_first_poll() -> None:
    assert places("https://x.example/") == places("")


def test_a_long_absence_is_made_up_for_by_a_day_and_the_rest_is_told_once() -> None:
    steps = walk("100", newest=50_000)
    assert (len(steps), steps[0].place, steps[-1].place) == (MOST_BEHIND, str(50_001 - MOST_BEHIND), "50000")
    assert [step.missed for step in steps if step.missed] == [
        f"{50_000 - MOST_BEHIND - 100} items before number {50_001 - MOST_BEHIND} were left out: they are more than 10000 back"
    ]


def test_nothing_is_called_missed_that_was_not() -> None:
    assert not [step for place in ("", "997", str(1000 - MOST_BEHIND)) for step in walk(place) if step.missed]
    assert not [step for step in walk("10", newest=10 + MOST_BEHIND) if step.missed]


def test_items_may_come_late_by_more_than_writers_may_delay_them() -> None:
    assert {step.patience_s for step in walk("990")} == {PATIENCE_S}
    assert PATIENCE_S > 600


def test_of_changed_items_only_known_ones_are_read_each_once_and_the_place_stays() -> None:
    steps = follow(response('{"items": [9, 7, 9], "profiles": ["ann"]}'), "1000")
    assert [(step.ask.url, step.known, step.place, step.patience_s) for step in steps] == [(f"{HOST}/item/7.json", "7", "", 0), (f"{HOST}/item/9.json", "9", "", 0)]
    assert not [step for step in steps if step.index]


def test_a_long_list_of_changes_is_not_read_to_its_end() -> None:
    assert len(follow(response(json.dumps({"items": list(range(10_000))})), "1000")) == MOST_CHANGES


@pytest.mark.parametrize(
    ("body", "error"), [("", PageChanged), ("null", PageChanged), ("-1", PageChanged), ("1e3", PageChanged), ("{}", PageChanged), ("<html></html>", SourceWalled)]
)
def test_an_index_of_another_form_is_told(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        follow(response(body), "1000")


def test_a_story_is_a_document() -> None:
    story = only(title="A &amp; B", text="One.<p>P&lt;E &#x27;two&#x27;", url="https://x.example/1", score=3, descendants=0, time=AT, kids=[8, 9])
    assert (story.doc_id, story.kind, story.publisher, story.op) == (doc_id_of("hn", "7"), DocumentKind.SOCIAL, "news.ycombinator.com", Op.CREATE)
    assert (story.title, story.text) == ("A & B", "One.\nP<E 'two'")
    assert (story.url, story.parent_id) == ("https://news.ycombinator.com/item?id=7", None)
    assert story.labels == {"link": "https://x.example/1"}
    assert story.engagement == Engagement(likes=3, replies=0)
    assert (story.published_at, story.published_precision) == (datetime(2026, 11, 23, 11, tzinfo=UTC), Precision.SECOND)


def test_a_comment_names_what_it_answers() -> None:
    comment = only(type="comment", title=None, text="Yes.", parent=5)
    assert (comment.title, comment.text, comment.parent_id, comment.labels, comment.engagement) == ("", "Yes.", "5", {}, None)


@pytest.mark.parametrize("kind", ["poll", "job"])
def test_polls_and_job_offers_say_so(kind: str) -> None:
    assert only(type=kind).labels == {"channels": [kind]}


def test_nobody_is_named() -> None:
    text = "@ann see <a href='https:&#x2F;&#x2F;news.ycombinator.com&#x2F;user?id=ann-b'>https:&#x2F;&#x2F;news.ycombinator.com&#x2F;user?id=ann-b</a> and news: user?id=ann"
    document = only(text=text, by="ann", title="On user?id=ann", url="https://news.ycombinator.com/user?id=ann", key=b"k")
    assert "ann" not in str(document)
    assert document.author_hash is not None
    assert (document.title, document.text, document.labels) == ("On @user", "@user see @user and news: @user", {})
    assert only(by="ann").author_hash is None


def test_a_deleted_item_is_a_deletion_without_its_text() -> None:
    deletion = only(type="comment", deleted=True, parent=5, time=AT, text="Still there", title="T", url="https://x.example/1")
    assert (deletion.op, deletion.doc_id, deletion.title, deletion.text, deletion.parent_id, deletion.labels) == (Op.DELETE, doc_id_of("hn", "7"), "", "", "5", {})
    assert only(deleted=True, dead=True).op is Op.DELETE
    assert only(deleted=False).op is Op.CREATE


@pytest.mark.parametrize("fields", [{"dead": True}, {"type": "pollopt"}])
def test_the_dead_and_the_options_of_polls_are_left_out(fields: dict[str, Any]) -> None:
    assert found(**fields) == Parsed([])


@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        ("null", "empty", "7.json is not there"),
        ('{"id": 7, "type": "comment", "text": "[delayed]"}', "empty", "7 is not to be seen yet"),
        ('{"id": 7, "type": "comment"}', "empty", "7 has neither title nor text"),
        ('{"id": 7, "type": "stream", "text": "A"}', "invalid", "7 is of an unknown type: stream"),
        ('{"id": 7, "text": "A"}', "invalid", "7 is of an unknown type: None"),
        ('{"id": 7, "type": "comment", "text": 7}', "invalid", "7: Expected"),
    ],
)
def test_what_is_no_text_costs_no_other_and_says_which(body: str, reason: str, detail: str) -> None:
    parsed = read(body)
    (problem,) = parsed.problems
    assert parsed.documents == []
    assert problem.reason == reason
    assert problem.detail.startswith(detail)


@pytest.mark.parametrize(
    ("body", "error"), [('{"id": 7, "ti', PageChanged), ("[]", PageChanged), ("7", PageChanged), ('{"error": "x"}', PageChanged), ("<html></html>", SourceWalled)]
)
def test_a_body_that_is_no_item_is_told(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(body)


@pytest.mark.parametrize("said", ["many", True, [], {}, 1.5, None])
def test_what_is_wrong_with_trimmings_costs_no_text(said: Any) -> None:
    document = only(score=said, url=[said], by=[said], descendants=2, kids=said, new=said)
    assert (document.title, document.engagement, document.labels) == ("T", Engagement(replies=2), {})


@pytest.mark.parametrize("said", [99999999999, "soon", -1, None])
def test_times_that_cannot_be_trusted_give_none(said: Any) -> None:
    document = only(time=said)
    assert (document.published_at, document.published_precision) == (None, None)
    assert document.extra.get("published_raw", "") == ("" if said is None else str(said))


@given(st.integers(min_value=631152000, max_value=1795435200))
def test_a_count_of_seconds_is_the_instant_it_names(at: int) -> None:
    assert only(time=at).published_at == datetime.fromtimestamp(at, UTC)


@pytest.mark.parametrize(
    ("words", "title", "text", "kept"),
    [
        ("", "T", "", True),
        (" , ", "T", "", True),
        ("bank", "The BANK&#x27;s day", "", True),
        ("loan, bank", "T", "One.<p>A bank.", True),
        ("central bank", "T", "The central bank", True),
        ("腾讯", "对腾讯公布季报", "", True),
        ("S&P 500", "S&amp;P 500 falls", "", True),
        ("bank", "Bankrupt", "embankment", False),
        ("a.b", "axb", "", False),
    ],
)
def test_words_choose_what_is_read(words: str, title: str, text: str, *, kept: bool) -> None:
    parsed = found(words=words, title=title, text=text)
    assert ([document.native_id for document in parsed.documents], parsed.problems) == (["7"] if kept else [], [])


def test_a_deletion_needs_no_word() -> None:
    (deletion,) = found(words="bank", deleted=True).documents
    assert deletion.op is Op.DELETE
