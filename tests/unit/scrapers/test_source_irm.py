from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.records import Document, DocumentKind, Engagement, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.irm import COMPANY, SOURCE, parse
from tests.support.records import NOON

ASKED_MS = int(datetime(2026, 11, 3, 2, 15, 7, tzinfo=UTC).timestamp() * 1000)
ANSWERED_MS = int(datetime(2026, 11, 23, 10, 30, 1, tzinfo=UTC).timestamp() * 1000)


def feed(**options: str) -> Feed:
    return fitted(Feed(source="irm", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(*rows: Any, under: str = "rows", key: bytes = b"") -> Parsed:
    return parse(Response(url=COMPANY, body=json.dumps({under: rows}).encode(), fetched_at=NOON), feed=feed(), author_key=key)


def only(key: bytes = b"", **fields: Any) -> Document:
    row = {"indexId": "1", "mainContent": "产能如何？", "stockCode": "000001", "companyShortName": "平安银行", "pubDate": ASKED_MS}
    (document,) = read(row | fields, key=key).documents
    return document


def test_without_options_the_newest_of_all_companies_are_asked_for() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert (asked.url, asked.form) == ("https://irm.cninfo.com.cn/newircs/index/search", {"pageNo": "1", "pageSize": "30", "searchTypes": "1,11"})
    assert list(asked.headers) == ["referer"]


def test_one_company_is_posted_with_everything_in_the_address() -> None:
    asked = SOURCE.request(feed(code="000001", org="gssz0000001"), now=NOON)
    assert asked.url == "https://irm.cninfo.com.cn/newircs/company/question?_t=1&stockcode=000001&orgId=gssz0000001&pageSize=30&pageNum=1&keyWord=&startDay=&endDay="
    assert asked.form == {}  # not None: that would be a GET


@pytest.mark.parametrize("options", [{"code": "000001"}, {"org": "gssz0000001"}])
def test_half_a_company_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="together"):
        SOURCE.request(feed(**options), now=NOON)


def test_question_and_answer_are_both_in_the_text() -> None:
    found = only(attachedContent="您好，\n已满产 < 100%。")
    assert (found.title, found.text) == ("平安银行 互动易问答", "问：产能如何？\n答：您好， 已满产 < 100%。")
    assert (found.kind, found.labels, found.symbols) == (DocumentKind.QA, {"answered": True}, ["XSHE:000001"])
    for none in (None, "", " ", "&nbsp;"):
        open_question = only(attachedContent=none)
        assert (open_question.text, open_question.labels) == ("问：产能如何？", {"answered": False})


def test_an_answer_is_another_version_of_the_same_document_and_of_its_own_hour() -> None:
    asked, answered = only(), only(attachedContent="已满产", attachedPubDate=str(ANSWERED_MS))
    assert asked.doc_id == answered.doc_id
    assert asked.content_hash != answered.content_hash
    assert (asked.published_at, asked.published_precision) == (datetime(2026, 11, 3, 2, 15, 7, tzinfo=UTC), Precision.SECOND)
    assert answered.published_at == datetime(2026, 11, 23, 10, 30, 1, tzinfo=UTC)
    assert only(attachedContent="已满产", attachedPubDate=None).published_at == asked.published_at
    assert only(attachedContent="", attachedPubDate=ANSWERED_MS).published_at == asked.published_at


def test_the_asker_is_hashed_and_never_named() -> None:
    found = only(key=b"k", author=5550001, authorName="irm0001234", mainContent="@张三 你好")
    assert found.author_hash is not None
    assert found.author_hash == only(key=b"k", author="5550001", authorName="改名后").author_hash
    assert found.author_hash != only(key=b"k", author="5550002", authorName="irm0001234").author_hash
    assert only(author=5550001).author_hash is None
    kept = json.dumps([found.title, found.text, found.url, found.labels, found.extra], ensure_ascii=False)
    assert not any(name in kept for name in ("irm0001234", "5550001", "张三"))


@pytest.mark.parametrize(("said", "likes"), [("3", Engagement(likes=3)), (0, Engagement(likes=0)), ("1万+", None), (None, None)])
def test_likes_are_counted_only_where_they_are_a_number(said: Any, likes: Engagement | None) -> None:
    assert only(praiseCount=said).engagement == likes


def test_both_names_of_the_list_are_read() -> None:
    row = {"indexId": "1", "mainContent": "产能如何？"}
    assert read(row).documents == read(row, under="results").documents
    assert (read(), read(under="results")) == (Parsed([]), Parsed([]))


def test_what_is_no_list_is_an_error() -> None:
    with pytest.raises(PageChanged, match="status 400"):
        parse(Response(url=COMPANY, body=b'{"statusCode": 400}', fetched_at=NOON), feed=feed())
    with pytest.raises(SourceWalled):
        parse(Response(url=COMPANY, body=b"<!DOCTYPE html>", fetched_at=NOON), feed=feed())


def test_one_bad_row_does_not_cost_the_others() -> None:
    row = {"indexId": "1", "mainContent": "好"}
    found = read({"mainContent": "x"}, row, row, {"indexId": "2", "companyShortName": "平安银行", "mainContent": ""})
    assert [document.native_id for document in found.documents] == ["1"]
    assert [problem.reason for problem in found.problems] == ["invalid", "duplicate", "empty"]
