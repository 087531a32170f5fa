from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from opinion.codec import decode
from opinion.errors import ConfigError, PageChanged
from opinion.records import Document
from opinion.settings import Feed, Settings
from scrapers.sources import hn
from tests.support.site import Page, Site
from tests.unit.yuqing.conftest import Command
from yuqing.sources import chosen, fetch_source, parse_body

RSS = "<rss version='2.0'><channel><item><guid>1</guid><link>/a</link><title>净利润下降</title></item></channel></rss>"


def parsed(body: bytes, *, source: str = "rss", url: str = "https://news.example/rss", headers: tuple[str, ...] = (), now: str | None = None) -> list[Document]:
    out = io.BytesIO()
    assert parse_body(source, body, out=out, url=url, headers=headers, now=now, echo=lambda _: None) == 0
    return [decode(line, Document) for line in out.getvalue().splitlines()]


def test_a_body_becomes_documents_with_what_the_options_say_of_it() -> None:
    (document,) = parsed(RSS.encode("gbk"), headers=("Content-Type: text/xml; charset=gb2312",), now="2026-11-24T03:00:00Z")
    assert (document.title, document.url, document.publisher) == ("净利润下降", "https://news.example/a", "news.example")
    assert document.fetched_at.isoformat() == "2026-11-24T03:00:00+00:00"


def test_a_compressed_body_is_decompressed_as_its_header_says() -> None:
    assert len(parsed(gzip.compress(RSS.encode()), headers=("content-encoding: gzip",))) == 1


def test_a_body_needs_no_address() -> None:
    assert parsed(RSS.encode(), url="")[0].title == "净利润下降"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "rsss"}, "did you mean 'rss'"),
        ({"headers": ("nonsense",)}, "--header"),
        ({"now": "noon"}, "--now"),
        ({"now": "2026-11-24T03:00:00"}, "no time zone"),
        ({"url": "ftp://a"}, "ftp://a"),
    ],
)
def test_wrong_options_name_themselves(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parsed(RSS.encode(), **changes)


def test_what_is_no_feed_is_an_error() -> None:
    with pytest.raises(PageChanged):
        parsed(b"<html></html>")


def test_a_source_is_an_address_a_name_or_an_adapter() -> None:
    settings = Settings(sources=[Feed(url="https://a.example/1", name="wire"), Feed(url="https://b.example/2")])
    assert [feed.url for feed in chosen("https://c.example/3", settings).values()] == ["https://c.example/3"]
    assert list(chosen("wire", settings)) == ["wire"]
    assert list(chosen("rss", settings)) == ["wire", "b.example"]
    with pytest.raises(ConfigError, match="no sources are configured"):
        chosen("rss", Settings())
    with pytest.raises(ConfigError, match="unknown source"):
        chosen("wier", settings)


async def test_fetch_prints_documents_and_names_what_failed() -> None:
    out, said = io.BytesIO(), list[str]()
    async with Site(rss=Page(RSS.encode())) as site:
        settings = Settings(sources=[Feed(url=site.at("rss"), name="wire"), Feed(url=site.at("gone"), name="gone")], allow_private_sources=True)
        assert await fetch_source("feed", settings=settings, out=out, limit=5, echo=said.append) == 1
    assert decode(out.getvalue().strip(), Document).title == "净利润下降"
    assert [line for line in said if line.startswith("gone: source_gone:")]


@pytest.mark.parametrize(("limit", "numbers"), [(None, ["8"]), (2, ["8", "6"]), (9, ["8", "6", "5"])])
async def test_fetch_reads_the_newest_files_of_an_index(monkeypatch: pytest.MonkeyPatch, limit: int | None, numbers: list[str]) -> None:
    out, said = io.BytesIO(), list[str]()
    async with Site() as site:
        monkeypatch.setattr(hn, "HOST", site.url)
        monkeypatch.setattr(hn, "FIRST", 5)
        site.pages = {f"item/{number}.json": Page(b'{"id": %d, "type": "comment", "text": "A"}' % number) for number in (4, 5, 6, 8)}
        site.pages |= {"maxitem.json": Page(b"9"), "item/9.json": Page(b"null"), "item/7.json": Page(b'{"id": 7, "dead": true}')}
        assert await fetch_source("hn", settings=Settings(allow_private_sources=True), out=out, limit=limit, echo=said.append) == 0
    assert [decode(line, Document).native_id for line in out.getvalue().splitlines()] == numbers
    assert said == ["empty: 9.json is not there"]


def test_options_reach_the_adapter(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"headline": "Profit fell", "id": "1"}\n')
    plain = command("parse", "documents", "rows.jsonl")
    mapped = command("parse", "documents", "rows.jsonl", "--option", "fields=title=headline")
    assert (plain.stdout, plain.stderr) == ("", "empty: 1 has neither title nor text\n")
    assert json.loads(mapped.stdout)["title"] == "Profit fell"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--option", "fields"), "--option 'fields' is not of the form NAME=VALUE"),
        (("--option", "nope=1"), "unknown option 'nope'; known: fields"),
        (("--option", "fields=headline"), "is not of the form ours=theirs"),
    ],
)
def test_options_of_another_form_are_refused(command: Command, tmp_path: Path, options: tuple[str, ...], says: str) -> None:
    (tmp_path / "rows.jsonl").write_text("{}")
    result = command("parse", "documents", "rows.jsonl", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
