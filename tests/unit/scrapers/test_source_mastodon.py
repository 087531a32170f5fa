from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.records import Document, Engagement
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.mastodon import ask, parse
from tests.support.records import NOON

URL = "https://mastodon.social/api/v1/timelines/tag/acme?limit=40"


def feed(**options: str) -> Feed:
    given_options = {"tag": "acme"} | options
    return fitted(Feed(source="mastodon", options={name: SecretStr(value) for name, value in given_options.items()}))[1]


def status(**fields: Any) -> dict[str, Any]:
    return {"id": "7", "content": "<p>Acme falls</p>", "created_at": "2026-11-23T09:30:00.000Z", "account": {"acct": "ann"}} | fields


def read(body: object, *, of: Feed | None = None, key: bytes = b"") -> Parsed:
    return parse(Response(url=URL, body=json.dumps(body).encode(), fetched_at=NOON), feed=of or feed(), author_key=key)


def only(**fields: Any) -> Document:
    (document,) = read([status(**fields)]).documents
    return document


def test_the_newest_posts_under_the_tag_are_asked_for() -> None:
    asked = ask(feed(), NOON)
    assert (asked.url, dict(asked.headers), asked.form) == (URL, {}, None)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"tag": "#茅台"}, "https://mastodon.social/api/v1/timelines/tag/%E8%8C%85%E5%8F%B0?limit=40"),
        ({"tag": "＃a/b?c"}, "https://mastodon.social/api/v1/timelines/tag/a%2Fb%3Fc?limit=40"),
        ({"server": "fedi.example"}, "https://fedi.example/api/v1/timelines/tag/acme?limit=40"),
        ({"server": "http://127.0.0.1:8000/"}, "http://127.0.0.1:8000/api/v1/timelines/tag/acme?limit=40"),
    ],
)
def test_tag_and_server_are_options(options: dict[str, str], url: str) -> None:
    assert ask(feed(**options), NOON).url == url


def test_a_token_goes_into_the_header_and_never_into_the_address() -> None:
    asked = ask(feed(access_token=" hush\n"), NOON)
    assert asked.headers == {"authorization": "Bearer hush"}
    assert "hush" not in asked.url


def test_it_is_off_until_there_is_a_tag() -> None:
    with pytest.raises(ConfigError, match="'tag'"):
        fitted(Feed(source="mastodon"))


@pytest.mark.parametrize("server", ["fedi.example", "Fedi.Example", "https://fedi.example/", "fedi.example/explore"])
def test_an_id_is_of_one_server_however_that_is_written(server: str) -> None:
    (document,) = read([status(in_reply_to_id="5")], of=feed(server=server)).documents
    assert (document.native_id, document.parent_id, document.publisher) == ("fedi.example:7", "fedi.example:5", "fedi.example")
    assert document.doc_id != only().doc_id


def test_an_edit_keeps_the_id() -> None:
    before, after = only(), only(content="<p>Acme rises</p>", edited_at="2026-11-23T10:00:00.000Z")
    assert before.doc_id == after.doc_id
    assert before.content_hash != after.content_hash
    assert before.published_at == after.published_at


def test_text_is_what_a_reader_sees_without_names_of_people() -> None:
    mention = '<span class="h-card"><a href="https://x.example/@bob" class="u-url mention">@<span>bob</span></a></span>'
    link = '<a href="https://a.example/b"><span class="invisible">https://</span><span>a.example/b</span></a>'
    assert only(content=f"<p>{mention} P&amp;L<br/>down</p><p>{link}</p>").text == "@user P&L\ndown\nhttps://a.example/b"


@pytest.mark.parametrize(("said", "found"), [("fr", "fr"), ("de-AT", "de-AT"), ("en", "zh-Hans"), ("zh-TW", "zh-Hans"), (None, "zh-Hans"), ("", "zh-Hans")])
def test_only_a_language_that_we_do_not_find_ourselves_is_believed(said: str | None, found: str) -> None:
    assert only(language=said, content="<p>公司业绩下滑</p>").lang == found


@pytest.mark.parametrize("fields", [{"reblog": status(id="3")}, {"visibility": "private"}, {"visibility": "direct"}, {"content": "<p></p>"}])
def test_boosts_private_and_wordless_posts_are_no_documents(fields: dict[str, Any]) -> None:
    found = read([status(**fields), status(id="8")])
    assert [document.native_id for document in found.documents] == ["mastodon.social:8"]
    assert [problem.reason for problem in found.problems] == ["empty"]


def test_what_is_not_told_is_unknown_and_not_zero() -> None:
    assert only().engagement is None
    assert only(favourites_count=0).engagement == Engagement(likes=0)


def test_the_author_is_a_hash_or_nothing() -> None:
    assert only().author_hash is None
    (ann, bob) = read([status(), status(id="8", account={"acct": "bob"})], key=b"k").documents
    assert ann.author_hash
    assert bob.author_hash
    assert ann.author_hash != bob.author_hash
    assert "ann" not in json.dumps([ann.text, ann.title, ann.labels, ann.extra, ann.author_hash])


@pytest.mark.parametrize(("server", "base"), [("fedi.example", "https://fedi.example"), ("http://127.0.0.1:8000/", "http://127.0.0.1:8000")])
def test_the_link_is_the_post_on_that_server_and_does_not_name_the_author(server: str, base: str) -> None:
    (document,) = read([status(url="https://mastodon.social/@ann/7", uri="https://mastodon.social/users/ann/statuses/7")], of=feed(server=server)).documents
    assert document.url == f"{base}/statuses/7"


def test_a_bot_is_marked_and_tags_are_channels() -> None:
    assert only(account={"acct": "a", "bot": True}, tags=[{"name": "Acme"}, {"name": ""}]).labels == {"channels": ["Acme"], "bot": True}


def test_a_server_that_closed_its_timelines_is_walled() -> None:
    with pytest.raises(SourceWalled, match="authenticated user"):
        read({"error": "This method requires an authenticated user"})
    assert read([]) == Parsed([])
    with pytest.raises(PageChanged):
        read({"accounts": []})


@given(
    some.lists(
        some.one_of(some.none(), some.integers(), some.text(max_size=5), some.dictionaries(some.sampled_from(["id", "content", "account", "tags"]), some.integers())), max_size=6
    )
)
def test_bad_rows_cost_no_others(rows: list[Any]) -> None:
    found = read([*rows, status(id="good")])
    assert "mastodon.social:good" in [document.native_id for document in found.documents]
