from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged
from opinion.names import doc_id_of
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources import feed as feeds
from scrapers.sources.rsshub import SOURCE, parse
from tests.support.records import NOON
from tests.support.samples import DATA

BASE = "http://127.0.0.1:1200"


def feed(route: str = "cls/telegraph", base: str = BASE, **options: str) -> Feed:
    given = options | {"base": base, "route": route}
    return fitted(Feed(source="rsshub", options={name: SecretStr(value) for name, value in given.items()}))[1]


def read(body: bytes, *, route: str = "cls/telegraph", base: str = BASE, key: bytes = b"") -> Parsed:
    return parse(Response(url=f"{base}/{route}", body=body, fetched_at=NOON), feed=feed(route, base), author_key=key)


def sample(name: str) -> bytes:
    return Path(DATA / "rsshub" / name).read_bytes()


@pytest.mark.parametrize(
    ("base", "route", "options", "url"),
    [
        (BASE, "cls/telegraph", {}, f"{BASE}/cls/telegraph?format=json"),
        (BASE + "/", "/cls/telegraph", {}, f"{BASE}/cls/telegraph?format=json"),
        (BASE, "cls/telegraph?limit=50", {}, f"{BASE}/cls/telegraph?limit=50&format=json"),
        (BASE, "cls/telegraph", {"format": "rss"}, f"{BASE}/cls/telegraph"),
        (BASE, "cls/telegraph", {"format": "atom"}, f"{BASE}/cls/telegraph?format=atom"),
        ("https://x.example/hub", "sina/zhibo", {}, "https://x.example/hub/sina/zhibo?format=json"),
    ],
)
def test_the_request_is_the_route_on_the_own_instance(base: str, route: str, options: dict[str, str], url: str) -> None:
    asked = SOURCE.request(feed(route, base, **options), now=NOON)
    assert (asked.url, asked.form, asked.headers) == (url, None, {})


@pytest.mark.parametrize("lacking", ["base", "route"])
def test_instance_and_route_must_be_given(lacking: str) -> None:
    options = {name: SecretStr("x") for name in ("base", "route") if name != lacking}
    with pytest.raises(ConfigError, match=lacking):
        fitted(Feed(source="rsshub", options=options))


def test_documents_are_those_of_the_feed_under_ids_of_this_source() -> None:
    ours = read(sample("usual.json"))
    theirs = feeds.parse(Response(url=f"{BASE}/cls/telegraph", body=sample("usual.json"), fetched_at=NOON), feed=Feed(url=f"{BASE}/cls/telegraph"))
    assert [(document.title, document.text, document.published_at) for document in ours.documents] == [
        (document.title, document.text, document.published_at) for document in theirs.documents
    ]
    assert {document.source for document in ours.documents} == {"rsshub"}
    assert all(document.doc_id == doc_id_of("rsshub", document.native_id) for document in ours.documents)
    assert [problem.reason for problem in ours.problems] == ["duplicate"]


def test_ids_outlive_a_move_of_the_instance_and_tell_sites_apart() -> None:
    body = json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "7", "title": "t"}]}).encode()
    (here,) = read(body).documents
    (moved,) = read(body, base="https://hub.example").documents
    (other,) = read(body, route="sina/zhibo").documents
    (asked_otherwise,) = read(body, route="/cls/telegraph?limit=50").documents
    assert here.native_id == "cls:7"
    assert here.doc_id == moved.doc_id == asked_otherwise.doc_id != other.doc_id


def test_the_instance_is_no_publisher() -> None:
    assert [document.publisher for document in read(sample("usual.json")).documents[:3]] == ["www.cls.cn", "www.cls.cn", "cls"]


def test_authors_are_hashed_apart_for_every_site() -> None:
    hashes = {read(sample("usual.json"), route=route, key=b"k").documents[0].author_hash for route in ("cls/telegraph", "sina/zhibo")}
    assert len(hashes) == 2
    assert None not in hashes


def test_both_forms_are_read() -> None:
    found = read(sample("usual.xml"), route="sina/zhibo").documents
    assert [document.native_id for document in found] == ["sina:sina-zhibo-152-4400001", "sina:sina-zhibo-152-4400002"]
    assert found[0].published_at == datetime(2026, 11, 23, 11, 50, 12, tzinfo=UTC)


def test_an_empty_route_is_an_outcome_and_its_error_page_is_an_error() -> None:
    assert read(sample("empty.json")) == Parsed([])
    with pytest.raises(PageChanged):
        read(sample("route_error.html"))
