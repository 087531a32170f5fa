from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged
from opinion.names import doc_id_of
from opinion.records import Op
from opinion.settings import Feed
from scrapers.source import Ask, Frame, Parsed, Response, fitted
from scrapers.sources.kafka import SOURCE, connect, parse, place, places_of
from tests.support.records import NOON

SECRET = "hush-hush"


def feed(**options: str) -> Feed:
    given = {"servers": "broker.example:9093", "topic": "Raw.News_1"} | options
    return fitted(Feed(source="kafka", options={name: SecretStr(value) for name, value in given.items()}))[1]


def asked(*, stand: str = "", **options: str) -> Ask:
    (found,) = connect(feed(**options), stand, NOON)
    return found


def read(*rows: object, **options: str) -> Parsed:
    body = b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    return parse(Response(url="kafka://b1.example:9092/Raw.News_1", body=body, fetched_at=NOON), feed=feed(**options), author_key=b"k")


def test_servers_and_topic_make_the_address() -> None:
    assert asked().url == "kafka://broker.example:9093/Raw.News_1"
    assert asked(servers=" b1 , b2.example:19092,").url == "kafka://b1:9092,b2.example:19092/Raw.News_1"


def test_the_place_and_the_start_go_along() -> None:
    assert (asked(stand="{}").headers["place"], asked().headers["start"]) == ("{}", "latest")
    assert asked(start="earliest").headers["start"] == "earliest"


def test_a_login_stands_in_no_address_and_is_encrypted_unless_said_otherwise() -> None:
    found = asked(username="ann", password=SECRET, mechanism="scram-sha-512")
    assert SECRET not in found.url
    assert {name: found.headers[name] for name in ("username", "password", "mechanism", "tls")} == {
        "username": "ann",
        "password": SECRET,
        "mechanism": "SCRAM-SHA-512",
        "tls": "yes",
    }
    assert "tls" not in asked(username="ann", password=SECRET, tls="no").headers
    assert "tls" not in asked().headers
    assert asked(tls="/etc/ours.pem").headers["tls"] == "/etc/ours.pem"
    assert "username" not in asked().headers


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"servers": ""}, "`servers` is not of the form"),
        ({"servers": "https://broker.example:9092"}, "`servers`"),
        ({"servers": f"ann:{SECRET}@broker.example:9092"}, "`servers`"),
        ({"topic": ""}, "`topic` is no name"),
        ({"topic": "a/b"}, "`topic`"),
        ({"topic": ".."}, "`topic`"),
        ({"start": "now"}, "`start` is one of latest, earliest"),
        ({"mechanism": SECRET}, "`mechanism` is one of PLAIN"),
        ({"username": SECRET}, "`password` is missing"),
        ({"password": SECRET}, "`username` is missing"),
        ({"tls": "ours.pem"}, "`tls` is yes, no, or the path"),
        ({"fields": "headline"}, "`fields`: 'headline' is not of the form ours=theirs"),
        ({"fields": "id=meta,deleted=meta.gone"}, "`fields` has `id` and `deleted` lie in one another"),
        ({"group": "x"}, "unknown option 'group'"),
    ],
)
def test_options_of_another_form_are_told_at_the_start_without_what_they_hold(options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        feed(**options)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("missing", ["servers", "topic"])
def test_it_is_off_until_there_are_brokers_and_a_topic(missing: str) -> None:
    given = {name: SecretStr("x") for name in ("servers", "topic") if name != missing}
    with pytest.raises(ConfigError, match=f"off until you give its option '{missing}'"):
        fitted(Feed(source="kafka", options=given))


def test_fields_are_found_where_the_option_says() -> None:
    row: dict[str, Any] = {"guid": 17, "headline": "Bank falls", "body": {"content": "It fell."}, "ts": 1795434600, "title": "not this"}
    (found,) = read(row, fields="id=guid,title=headline,text=body.content,published_at=ts").documents
    assert (found.title, found.text, found.native_id, str(found.published_at)) == ("Bank falls", "It fell.", "Raw.News_1:17", "2026-11-23 11:50:00+00:00")


def test_two_topics_that_count_alike_do_not_mix() -> None:
    first, second = (read({"id": 1, "title": "x", "parent_id": 0}, topic=topic).documents[0] for topic in ("a", "b"))
    assert first.doc_id == doc_id_of("kafka", "a:1") != second.doc_id
    assert (first.parent_id, second.parent_id) == ("a:0", "b:0")


def test_the_topic_is_the_publisher_where_nobody_else_is_named() -> None:
    named, linked, bare = read({"id": 1, "title": "x", "publisher": "Wire"}, {"id": 2, "title": "x", "url": "https://n.example/2"}, {"id": 3, "title": "x"}).documents
    assert (named.publisher, linked.publisher, bare.publisher) == ("Wire", "n.example", "raw.news_1")


def test_of_an_item_that_is_told_of_twice_the_last_counts() -> None:
    edited, deleted = read({"id": 1, "title": "a"}, {"id": 2, "title": "b"}, {"id": 1, "title": "c"}, {"id": 2, "deleted": True}).documents
    assert (edited.title, edited.op) == ("c", Op.CREATE)
    assert deleted.op is Op.DELETE


def test_a_message_alone_is_read_as_one_among_others() -> None:
    row = {"id": 1, "headline": "x", "items": [{"id": 2, "title": "not a row"}]}
    assert [document.native_id for document in read(row, fields="title=headline").documents] == ["Raw.News_1:1"]
    assert read([{"id": 1, "title": "in a list"}]).documents == []


def test_a_message_in_another_encoding_does_not_spoil_its_neighbours() -> None:
    found = read({"id": 1, "title": "银行下跌"}, '{"id":2,"title":"银行"}'.encode("gbk"), json.dumps({"id": 3, "title": "银行上涨"}, ensure_ascii=False).encode())
    assert [document.title for document in found.documents] == ["银行下跌", "银行上涨"]
    assert [problem.reason for problem in found.problems] == ["invalid"]


def test_no_message_at_all_is_told() -> None:
    with pytest.raises(PageChanged, match="empty"):
        read(b"", b" ")


def test_the_place_is_the_next_offset_of_each_partition() -> None:
    first = place([Frame(b"a", "0:5:1000"), Frame(b"b", "2:1:3000"), Frame(b"", "0:6:2000")], "")
    assert places_of(first) == {0: (6, 2000), 2: (1, 3000)}
    assert places_of(place([Frame(b"c", "11:4:4000")], first)) == {0: (6, 2000), 2: (1, 3000), 11: (4, 4000)}


def test_another_password_or_mapping_does_not_move_the_place() -> None:
    keys = {SOURCE.place_key(feed(**options)) for options in ({}, {"username": "ann", "password": SECRET}, {"fields": "title=headline"}, {"start": "earliest"})}
    assert len(keys) == 1
    assert SOURCE.place_key(feed(topic="other")) not in keys
    assert SOURCE.place_key(feed(servers="other:9092")) not in keys


@pytest.mark.parametrize("stored", ["", "nonsense", "[]", '{"a":[1,2]}', "17"])
def test_a_place_of_another_form_is_none(stored: str) -> None:
    assert places_of(stored) == {}
