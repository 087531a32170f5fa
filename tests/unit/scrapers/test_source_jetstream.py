from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr

from opinion.errors import ConfigError, SourceWalled
from opinion.records import Document, Op
from opinion.settings import Feed
from scrapers.source import Frame, Gap, Parsed, Response, fitted
from scrapers.sources.jetstream import HOLE_US, HOSTS, REWIND_US, STEP_BACK_US, connect, gap, parse, place, too_old
from tests.support.jetstream import EVERY_US, NOON_US, Event, deletion, post
from tests.support.records import NOON

LATER = NOON + timedelta(minutes=1)


def feed(url: str = "", **options: str) -> Feed:
    return fitted(Feed(source="jetstream", url=url, options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(*events: Event, of: Feed | None = None, key: bytes = b"", url: str = "wss://jetstream1.us-east.bsky.network/subscribe") -> Parsed:
    return parse(Response(url=url, body=b"\n".join(event.v1() for event in events), fetched_at=LATER), feed=of or feed(), author_key=key)


def only(text: str = "stocks fall", *, of: Feed | None = None, **record: Any) -> Document:
    (document,) = read(post(1, text, **record), of=of).documents
    return document


def cursor(feed: Feed, place: str, *, now: datetime = LATER) -> list[str | None]:
    return [parse_qs(urlsplit(ask.url).query).get("cursor", [None])[0] for ask in connect(feed, place, now)]


def frames(*events: Event) -> list[Frame]:
    return [Frame(event.v1()) for event in events]


def test_both_wires_give_the_same_posts() -> None:
    events = [post(1), post(2, "no words of it"), post(3), deletion(4, of=post(3))]
    v2 = parse(Response(url="wss://x.example/", body=b"\n".join(event.v2() for event in events), fetched_at=LATER), feed=feed())
    assert v2 == read(*events)
    assert [(document.op, document.native_id) for document in v2.documents] == [(Op.CREATE, read(post(1)).documents[0].native_id), (Op.DELETE, v2.documents[1].native_id)]


def test_a_post_is_the_same_whichever_host_tells_of_it_and_so_is_its_author() -> None:
    east, west = (read(post(1), key=b"k", url=f"wss://jetstream1.us-{coast}.bsky.network/subscribe").documents for coast in ("east", "west"))
    assert east == west
    assert east[0].author_hash


def test_nothing_of_a_document_names_its_author_unless_links_are_wanted() -> None:
    event = post(1, did="did:plc:annsown", reply={"parent": {"uri": "at://did:plc:bobsown/app.bsky.feed.post/3kp"}})
    (plain,) = read(event, key=b"k").documents
    assert "did:plc" not in json.dumps([plain.doc_id, plain.native_id, plain.url, plain.parent_id, plain.author_hash, plain.labels, plain.extra])
    (linked,) = read(event, of=feed(links="yes")).documents
    assert linked.url == "https://bsky.app/profile/did:plc:annsown/post/3k1"
    assert linked.doc_id == plain.doc_id


def test_a_reply_names_its_parent_by_the_id_that_the_parent_has() -> None:
    (parent,) = read(post(1, did="did:plc:bob")).documents
    (answer,) = read(post(2, reply={"parent": {"uri": "at://did:plc:bob/app.bsky.feed.post/3k1"}, "root": {}})).documents
    assert answer.parent_id == parent.native_id


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("2026-11-23T11:59:00.000Z", NOON - timedelta(minutes=1)),
        ("2014-02-03T04:05:06Z", datetime.fromisoformat("2014-02-03T04:05:06+00:00")),
        ("2026-11-23T12:00:30Z", NOON + timedelta(microseconds=EVERY_US)),
        ("2041-01-01T00:00:00Z", NOON + timedelta(microseconds=EVERY_US)),
        ("0000-00-00T00:00:00Z", NOON + timedelta(microseconds=EVERY_US)),
        ("yesterday", NOON + timedelta(microseconds=EVERY_US)),
        (17, NOON + timedelta(microseconds=EVERY_US)),
    ],
)
def test_a_post_is_as_old_as_its_author_says_but_not_younger_than_the_network_knows_it(said: Any, found: datetime) -> None:
    assert only(createdAt=said).published_at == found


@pytest.mark.parametrize(
    ("text", "langs", "lang"),
    [
        ("shares and stocks fall", ["en"], "en"),
        ("shares and stocks fall", None, "en"),
        ("shares and stocks fall", ["en-US", "ja"], "en"),
        ("华穗乳业股价下跌", ["en"], "zh-Hans"),
        ("華穗乳業股價下跌", ["ja"], "zh-Hant"),
        ("shares and stocks fall", "en", "en"),
        ("shares and stocks fall", ["not a language!", 7], "en"),
    ],
)
def test_a_language_is_found_where_it_is_ours(text: str, langs: Any, lang: str) -> None:
    assert only(text, langs=langs).lang == lang


@pytest.mark.parametrize(("text", "langs"), [("les stocks et la bourse", ["fr"]), ("les stocks et la bourse", ["en"]), ("the stocks", ["de"]), ("株式 stocks のお知らせです", [])])
def test_posts_in_other_languages_are_left_out_unless_they_are_asked_for(text: str, langs: list[str]) -> None:
    assert read(post(1, text, langs=langs)).documents == []


def test_other_languages_may_be_asked_for() -> None:
    assert only("les stocks et la bourse", of=feed(langs="fr, de"), langs=["fr-CA"]).lang == "fr-CA"
    assert read(post(1, "the stocks"), of=feed(langs="fr,de")).documents == []


def test_posts_are_taken_by_words_and_an_edit_that_loses_them_withdraws_what_was_published() -> None:
    asked = feed(words="tulips，郁金香")
    assert [document.text for document in read(post(1), post(2, "Tulips!"), post(3, "黑郁金香"), of=asked).documents] == ["Tulips!", "黑郁金香"]
    edited = Event(time_us=NOON_US, seq=9, did=post(2).did, rkey="3k2", operation="update", record={"text": "cats"})
    (withdrawn,) = read(edited, of=asked).documents
    assert (withdrawn.op, withdrawn.doc_id) == (Op.DELETE, read(post(2, "Tulips!"), of=asked).documents[0].doc_id)


def test_what_is_written_and_deleted_in_one_batch_is_deleted_as_what_may_have_been_published_before() -> None:
    event = post(1)
    (document,) = read(event, deletion(2, of=event)).documents
    assert (document.op, document.version) == (Op.DELETE, 2)
    assert read(deletion(2, of=event)).documents[0].version == 1
    assert read(post(1, "no words of it"), deletion(2, of=event)).documents[0].version == 1


def facet(start: int, end: int, kind: str = "mention") -> dict[str, Any]:
    return {"index": {"byteStart": start, "byteEnd": end}, "features": [{"$type": f"app.bsky.richtext.facet#{kind}", "tag": "A股" if kind == "tag" else ""}]}


@pytest.mark.parametrize(
    ("text", "facets", "found"),
    [
        ("股价 王小二 stocks", [facet(7, 16)], "股价 @user stocks"),
        ("😱 stocks Ann Lee", [facet(12, 19)], "😱 stocks @user"),
        ("stocks 王 fall", [facet(8, 10)], "stocks 王 fall"),
        ("stocks 王 fall", [facet(7, 9)], "stocks 王 fall"),
        ("stocks fall", [facet(-1, 3), facet(5, 5), facet(9, 3), facet(0, 99)], "stocks fall"),
        ("stocks Ann fall", [facet(7, 10), facet(8, 10), facet(7, 10)], "stocks @user fall"),
        ("stocks #A股", [facet(7, 12, "tag")], "stocks #A股"),
        ("stocks, ask @ann.example or bob.bsky.social", [], "stocks, ask @user or @user"),
        ("stocks: https://bsky.app/profile/did:plc:x/post/3k1, did:plc:abc", [], "stocks: @user, @user"),
    ],
)
def test_people_are_taken_out_of_a_text_by_bytes_and_by_form(text: str, facets: list[Any], found: str) -> None:
    assert only(text, facets=facets, langs=["en"]).text == found


def test_links_and_tags_are_labels_but_links_to_people_are_not() -> None:
    def told(uri: str, **other: Any) -> dict[str, Any]:
        return only(embed={"$type": "app.bsky.embed.external", "external": {"uri": uri, "title": "Q3 @ann.example"}} | other, facets=[facet(0, 6, "tag")]).labels

    assert told("https://news.example/q3") == {"link": "https://news.example/q3", "story": "Q3 @user", "channels": ["A股"]}
    for uri in ("https://bsky.app/profile/ann.example", "javascript:alert(1)", ""):
        assert told(uri) == {"channels": ["A股"]}
    media = {"media": {"external": {"uri": "https://news.example/q3"}}, "record": {}}
    assert only(embed=media).labels == {"link": "https://news.example/q3"}


@pytest.mark.parametrize("trimming", ["langs", "facets", "embed", "reply", "createdAt"])
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [[]], [{"index": 1}], {"external": 1}, {"parent": []}, {"media": {"external": "x"}}])
def test_trimmings_of_another_form_cost_no_post(trimming: str, value: Any) -> None:
    assert only(**{trimming: value}).text == "stocks fall"


@given(
    some.lists(
        some.one_of(some.binary(max_size=20), some.sampled_from([b"{}", b"null", b'{"commit":{}}', b'{"payload":{"seq":"x"}}', b'{"did":"a","commit":{"record":[]}}'])), max_size=8
    )
)
def test_bad_lines_cost_no_others(lines: list[bytes]) -> None:
    good = post(1).v1()
    body = b"\n".join([b"{}", *(line.replace(b"\n", b"") for line in lines), good])
    assert [document.text for document in parse(Response(url="wss://x.example/", body=body, fetched_at=LATER), feed=feed()).documents] == ["stocks fall again, number 1"]


def test_a_web_page_is_a_wall() -> None:
    with pytest.raises(SourceWalled):
        parse(Response(url="wss://x.example/", body=b"\n <!doctype html>", fetched_at=LATER), feed=feed())


def test_all_hosts_take_turns_from_now_where_there_is_no_place() -> None:
    asks = connect(feed(), "", LATER)
    assert [ask.url.partition("/subscribe?")[0] for ask in asks] == list(HOSTS["v1"])
    assert len(set(HOSTS["v1"])) == 4
    assert {name: values[0] for name, values in parse_qs(urlsplit(asks[0].url).query).items()} == {
        "wantedCollections": "app.bsky.feed.post",
        "maxMessageSizeBytes": "262144",
    }
    (v2, _) = connect(feed(protocol="v2"), "", LATER)
    assert v2.url.startswith("wss://jetstream.us-east.bsky.network/xrpc/network.bsky.jetstream.subscribeEvents?kinds=commit&collections=app.bsky.feed.post&")


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("ws://own.example:6008", "ws://own.example:6008/subscribe?wanted"),
        ("ws://own.example:6008/", "ws://own.example:6008/subscribe?wanted"),
        ("wss://own.example/a/b?key=x#y", "wss://own.example/a/b?key=x&wanted"),
    ],
)
def test_an_instance_of_ones_own_is_asked_alone(url: str, asked: str) -> None:
    (ask,) = connect(feed(url), "", LATER)
    assert ask.url.startswith(asked)


def test_a_change_of_hosts_is_rewound_but_not_again_and_again() -> None:
    first = place(frames(post(0), post(500)), "")
    whole = NOON_US + 500 * EVERY_US - REWIND_US
    assert cursor(feed(), first) == [str(whole)] * 4
    looped = place(frames(post(255), post(260)), first)  # the connection ended within what was rewound
    assert cursor(feed(), looped) == [str(NOON_US + 500 * EVERY_US - STEP_BACK_US)] * 4
    further = place(frames(post(498), post(600)), looped)
    assert cursor(feed(), further)[0] == str(NOON_US + 600 * EVERY_US - STEP_BACK_US)
    far = place(frames(post(751)), further)
    assert cursor(feed(), far)[0] == str(NOON_US + 751 * EVERY_US - REWIND_US)


def test_the_place_is_the_latest_time_whatever_the_order_and_stays_where_nothing_tells_one() -> None:
    before = place(frames(post(3), post(7), post(5)), "")
    assert before.startswith(f"{NOON_US + 7 * EVERY_US},")
    assert place(frames(post(6)), before) == before.replace(",8", ",7")
    assert place([Frame(b"garbage"), Frame(b'{"$type":"error","error":"x"}'), Frame(b'{"time_us":1e99}'), Frame(b'{"time_us":-5}')], before) == before
    assert place([Frame(b"{}")], "") == ""


def test_a_clock_that_was_wrong_moves_the_place_no_further_than_until_the_next_message() -> None:
    wrong = place(frames(post(1), post(2, time_us=NOON_US + 86_400_000_000)), "")
    assert int(cursor(feed(), wrong)[0] or 0) <= NOON_US + 60_000_000  # not after now
    assert place(frames(post(3)), wrong).startswith(f"{NOON_US + 3 * EVERY_US},")


@pytest.mark.parametrize("place", ["nonsense", "1,2", "1,2,3,4", "-1,x,0"])
def test_a_place_of_another_form_is_none(place: str) -> None:
    assert cursor(feed(), place)[0] is None


def test_v2_goes_on_by_number_on_an_instance_of_its_own_and_by_time_where_hosts_take_turns() -> None:
    stand = place([Frame(post(41).v2()), Frame(post(40).v2())], "")
    assert cursor(feed("ws://own.example", protocol="v2"), stand) == ["42"]
    assert cursor(feed(protocol="v2"), stand) == [str(NOON_US + 41 * EVERY_US - REWIND_US)] * 2


def test_a_first_message_that_comes_much_later_than_the_place_shows_a_gap() -> None:
    stand = place(frames(post(0)), "")
    late = HOLE_US // EVERY_US + 1
    assert gap(frames(post(late))[0], stand, LATER) == Gap(NOON, NOON + timedelta(microseconds=late * EVERY_US))
    assert gap(frames(post(late - 1))[0], stand, LATER) is None
    assert gap(None, stand, LATER) == Gap(NOON, LATER)


def test_only_a_refusal_that_says_so_is_of_a_place_too_old() -> None:
    assert too_old(400, b'{"error":"CursorTooOld","message":"the oldest is 5"}')
    assert not too_old(400, b'{"error":"InvalidRequest"}')
    assert not too_old(503, b"CursorTooOld")


@pytest.mark.parametrize(
    ("options", "said"), [({"protocol": "v3"}, "protocol is v1 or v2"), ({"links": "maybe"}, "links is yes or no"), ({"words": " , "}, "words"), ({"langs": ""}, "langs")]
)
def test_options_of_another_form_are_told_at_the_start(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        feed(**options)


@pytest.mark.parametrize("url", ["https://own.example", "ws://", "ws://[bad"])
def test_an_address_that_nobody_can_listen_at_is_told_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match="ws or wss"):
        feed(url)
