from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from opinion.clock import epoch_ms
from opinion.errors import ConfigError, SourceWalled
from opinion.records import Document, Engagement, Op
from opinion.settings import Feed
from scrapers.source import Ask, Frame, Gap, Parsed, Response, fitted
from scrapers.sources.x import AWAY_S, FIELDS, SITE, URL, connect, gap, heard, parse, place
from tests.support.records import NOON

COMPLIANCE = "https://api.x.com/2/tweets/compliance/stream?partition=1"


def feed(*, url: str = "", **options: str) -> Feed:
    given = {"token": " hush\n"} | options
    return fitted(Feed(source="x", url=url, options={name: SecretStr(value) for name, value in given.items()}))[1]


def asked(*, url: str = "", **options: str) -> Ask:
    (found,) = connect(feed(url=url, **options), "", NOON)
    return found


def post(**fields: Any) -> dict[str, Any]:
    return {"data": {"id": "9", "text": "falls", "created_at": "2026-11-23T11:58:03.000Z", "author_id": "7"} | fields}


def read(*messages: object, key: bytes = b"") -> Parsed:
    body = b"\r\n".join(message if isinstance(message, bytes) else json.dumps(message).encode() for message in messages)
    return parse(Response(url=URL, body=body, fetched_at=NOON), feed=feed(), author_key=key)


def only(*, also: dict[str, Any] | None = None, **fields: Any) -> Document:
    (document,) = read(post(**fields) | (also or {})).documents
    return document


def frame(message: object) -> Frame:
    return Frame(json.dumps(message).encode())


def test_the_token_travels_in_a_header_and_the_fields_in_the_address() -> None:
    found = asked()
    assert found.headers == {"authorization": "Bearer hush"}
    assert found.url == f"{URL}?tweet.fields={FIELDS.replace(',', '%2C')}"
    assert "hush" not in found.url
    assert found.back_s == 0


def test_what_costs_more_is_asked_for_on_request_only() -> None:
    found = asked(originals="yes", backfill="5")
    assert found.url.endswith("&expansions=referenced_tweets.id&backfill_minutes=5")
    assert found.back_s == 300


def test_another_stream_of_its_own_is_asked_for_as_it_is_named() -> None:
    assert asked(url=COMPLIANCE).url == COMPLIANCE
    assert asked(url=COMPLIANCE, backfill="2").url == f"{COMPLIANCE}&backfill_minutes=2"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backfill": "6"}, "`backfill` is a number of minutes, at most 5"),
        ({"backfill": "-1"}, "`backfill`"),
        ({"backfill": "²"}, "`backfill`"),
        ({"originals": "maybe"}, "`originals` is yes or no"),
        ({"rules": "banks"}, "unknown option 'rules'"),
    ],
)
def test_options_of_another_form_are_told_at_the_start(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        feed(**options)


def test_it_is_off_without_a_token_and_never_sends_it_in_the_clear() -> None:
    with pytest.raises(ConfigError, match="off until you give its option 'token'"):
        fitted(Feed(source="x"))
    with pytest.raises(ConfigError, match="https") as caught:
        feed(url="http://api.x.com/2/tweets/search/stream")
    assert "hush" not in str(caught.value)


def test_neither_text_nor_link_names_anybody() -> None:
    (document,) = read(post(text="@bob_y no, says @ann_x"), key=b"k").documents
    assert document.text == "@user no, says @user"
    assert document.url == f"{SITE}i/status/9"
    assert document.author_hash
    assert '"7"' not in json.dumps([document.native_id, document.labels, document.extra])


def test_an_author_is_one_whichever_of_the_streams_told() -> None:
    first, second = (parse(Response(url=url, body=json.dumps(post()).encode(), fetched_at=NOON), feed=feed(), author_key=b"k") for url in (URL, COMPLIANCE))
    assert first == second


@pytest.mark.parametrize(
    ("references", "parent"),
    [
        (None, None),
        ([], None),
        ([{"type": "replied_to", "id": "1"}], "1"),
        ([{"type": "quoted", "id": "2"}], "2"),
        ([{"type": "quoted", "id": "2"}, {"type": "replied_to", "id": "1"}], "1"),
        ([{"type": "retweeted", "id": "3"}], "3"),
        ([{"type": "echoed", "id": "4"}], None),
    ],
)
def test_what_a_post_replies_to_passes_on_or_quotes_is_its_parent(references: object, parent: str | None) -> None:
    assert only(referenced_tweets=references).parent_id == parent


def test_a_repost_says_what_the_original_says_as_far_as_it_came() -> None:
    told: dict[str, Any] = {"text": "RT @omega: The bank is shut and remains…", "referenced_tweets": [{"type": "retweeted", "id": "3"}], "public_metrics": {"retweet_count": 800}}
    original = {"id": 3, "text": "The bank is shut and remains shut", "lang": "en", "entities": {"cashtags": [{"tag": "OMGA"}]}}
    assert only(**told).text == "The bank is shut and remains…"
    whole = only(**told, also={"includes": {"tweets": [{"id": "4", "text": "another"}, None, original]}})
    assert (whole.text, whole.labels, whole.engagement) == ("The bank is shut and remains shut", {"cashtags": ["OMGA"]}, None)
    assert only(**told, also={"includes": {"tweets": 5}}).text == "The bank is shut and remains…"
    assert only(text="RT @omega: this is no repost, it only looks like one").text.startswith("RT @user: this")


def test_a_long_post_is_read_whole_with_the_tags_of_the_whole() -> None:
    note = {"text": "Long, and $OMGA at its end", "entities": {"cashtags": [{"tag": "OMGA"}]}}
    found = only(text="Long, and…", note_tweet=note, entities={"cashtags": [{"tag": "ACME"}]})
    assert (found.text, found.labels) == ("Long, and $OMGA at its end", {"cashtags": ["OMGA"]})
    assert only(note_tweet={}).text == "falls"


def test_cashtags_are_no_symbols_for_they_name_no_exchange() -> None:
    found = only(entities={"cashtags": [{"tag": "ACME"}, {"tag": "ACME"}, {"tag": ""}]})
    assert (found.symbols, found.labels) == ([], {"cashtags": ["ACME"]})


@pytest.mark.parametrize(
    ("rules", "labels"),
    [
        ([{"id": "1", "tag": "banks"}, {"id": "2", "tag": "banks"}, {"id": "3"}, {"id": "4", "tag": None}, {"id": "5", "tag": ""}], {"channels": ["banks"]}),
        ([None, {"tag": 5}], {}),
        ("banks", {}),
        (None, {}),
    ],
)
def test_the_tags_of_the_rules_that_matched_are_its_channels(rules: object, labels: dict[str, Any]) -> None:
    assert only(also={"matching_rules": rules}).labels == labels


def test_reactions_are_unknown_unless_told() -> None:
    assert only().engagement is None
    assert only(public_metrics={}).engagement is None
    told = only(public_metrics={"like_count": 0, "retweet_count": 1, "reply_count": 2, "quote_count": 3, "impression_count": 4, "bookmark_count": 5})
    assert told.engagement == Engagement(likes=0, reposts=1, replies=2, quotes=3, views=4)


@pytest.mark.parametrize(
    ("said", "text", "lang"),
    [
        ("zh", "某银行股价大跌", "zh-Hans"),
        ("zh", "某銀行的壞帳上升，股價下跌", "zh-Hant"),
        ("und", "The bank falls", "en"),
        ("qme", "The bank falls", "en"),
        (None, "The bank falls", "en"),
        ("en", "某银行", "en"),
        ("ja", "銀行", "ja"),
        ("iw", "בנק", "he"),
        ("in", "Saham turun", "id"),
    ],
)
def test_a_language_is_as_said_but_for_chinese_and_none(said: str | None, text: str, lang: str) -> None:
    assert only(text=text, lang=said).lang == lang


def test_an_edited_post_stays_the_same_item() -> None:
    first = only(id="9", edit_history_tweet_ids=["9"])
    edited = only(id="10", text="falls a little", edit_history_tweet_ids=["9", "10"])
    assert edited.doc_id == first.doc_id
    assert edited.content_hash != first.content_hash
    assert only(edit_history_tweet_ids=None).native_id == only(edit_history_tweet_ids=[]).native_id == "9"


@pytest.mark.parametrize(
    "message",
    [
        {"data": {"delete": {"event_at": "2026-11-23T11:59:40.000Z", "tweet": {"id": "9", "author_id": "7"}}}},
        {"delete": {"status": {"id": 9, "id_str": "9", "user_id": 7}}},
    ],
)
def test_a_deletion_of_either_form_deletes_the_post(message: object) -> None:
    (found,) = read(message).documents
    assert (found.op, found.doc_id, found.text) == (Op.DELETE, only().doc_id, "")
    assert [document.op for document in read(post(), message).documents] == [Op.DELETE]


def test_what_else_x_has_to_say_is_no_document() -> None:
    found = read({"errors": [{"title": "operational-disconnect", "detail": "for reasons"}]}, {"data": {"withheld": {"event_at": "x"}}}, {"data": {"text": "no id"}}, b"\xff", b"")
    assert found.documents == []
    assert [problem.reason for problem in found.problems] == ["invalid", "empty", "invalid", "invalid"]
    assert found.problems[0].detail == "X says operational-disconnect: for reasons"


def test_a_partial_error_beside_a_post_costs_nothing() -> None:
    assert len(read(post() | {"errors": [{"title": "Not Found Error"}]}).documents) == 1


def test_empty_lines_are_nothing_and_a_page_is_a_wall() -> None:
    assert read(b"", b"", b"") == Parsed([])
    with pytest.raises(SourceWalled):
        read(b"<html>log in</html>")


def test_the_place_is_when_the_newest_post_was_written() -> None:
    late, early = post(created_at="2026-11-23T12:00:00.000Z"), post(created_at="2026-11-23T11:00:00.000Z")
    assert place([frame(late), frame(early)], "") == str(epoch_ms(NOON))
    assert place([frame({"errors": []}), Frame(b"\xff"), frame(post(created_at="soon")), frame([])], "77") == "77"
    assert place([frame({"errors": []})], "") == ""


def test_the_place_of_an_empty_line_is_when_it_came() -> None:
    assert heard(NOON) == place([frame(post(created_at="2026-11-23T12:00:00Z"))], "")


def test_what_was_written_while_nobody_listened_is_a_gap_unless_it_is_repeated() -> None:
    since = heard(NOON)
    assert gap(None, since, NOON + timedelta(seconds=AWAY_S)) is None
    assert gap(None, since, NOON - timedelta(minutes=4)) is None
    assert gap(None, since, NOON + timedelta(seconds=9)) == Gap(NOON, NOON + timedelta(seconds=9))
