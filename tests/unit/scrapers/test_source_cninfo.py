from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.cninfo import ADDRESS, SOURCE, listing, parse
from tests.support.records import NOON

MIDNIGHT_MS = int(datetime(2026, 11, 22, 16, tzinfo=UTC).timestamp() * 1000)


def feed(**options: str) -> Feed:
    return fitted(Feed(source="cninfo", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(*rows: Any, **options: str) -> Parsed:
    body = json.dumps({"announcements": list(rows)}).encode()
    return parse(Response(url=ADDRESS, body=body, fetched_at=NOON), feed=feed(**options))


def row(**fields: Any) -> dict[str, Any]:
    return {"announcementId": "1", "announcementTitle": "公告", "announcementTime": MIDNIGHT_MS} | fields


def only(**fields: Any) -> Document:
    (document,) = read(row(**fields)).documents
    return document


def test_the_request_is_a_form_over_the_days_around_now_in_beijing() -> None:
    asked = SOURCE.request(feed(), now=datetime(2026, 11, 22, 16, 30, tzinfo=UTC))  # half past midnight of the 23rd
    assert asked.url == "https://www.cninfo.com.cn/new/hisAnnouncement/query"
    assert asked.form is not None
    assert {name: value for name, value in asked.form.items() if value} == {
        "pageNum": "1",
        "pageSize": "30",
        "column": "szse",
        "tabName": "fulltext",
        "seDate": "2026-11-22~2026-11-24",
        "isHLtitle": "true",
    }
    assert {"plate", "stock", "searchkey", "category"} <= asked.form.keys()
    assert "user-agent" not in asked.headers


def test_options_narrow_the_request() -> None:
    asked = SOURCE.request(feed(column="sse", stock="600519,gssh0600519", category="category_ndbg_szsh", searchkey="回购", plate="sh"), now=NOON)
    assert asked.form is not None
    assert [asked.form[name] for name in ("column", "stock", "category", "searchkey", "plate")] == ["sse", "600519,gssh0600519", "category_ndbg_szsh", "回购", "sh"]


def test_the_time_is_a_day_of_beijing() -> None:
    found = only()
    assert (found.published_at, found.published_precision) == (datetime(2026, 11, 22, 16, tzinfo=UTC), Precision.DAY)
    assert only(announcementTime=str(MIDNIGHT_MS)).published_at == found.published_at


def test_an_evening_announcement_dated_tomorrow_has_no_time_yet_but_its_id() -> None:
    tomorrow_ms = MIDNIGHT_MS + 86_400_000
    found = only(announcementTime=tomorrow_ms)
    assert (found.published_at, found.published_precision, found.extra["published_raw"]) == (None, None, str(tomorrow_ms))
    assert found.doc_id == only().doc_id


def test_a_title_names_the_company_once() -> None:
    assert only(secName="平安银行", announcementTitle="关于<em>回购</em>股份的公告").title == "平安银行：关于回购股份的公告"
    assert only(secName="平安银行", announcementTitle="平安银行：年度报告").title == "平安银行：年度报告"
    assert only(secName=None, announcementTitle="年度报告").title == "年度报告"


def test_a_file_is_linked_where_there_is_one() -> None:
    assert only(adjunctUrl="finalpage/2026-11-23/1.PDF").url == "https://static.cninfo.com.cn/finalpage/2026-11-23/1.PDF"
    assert only(adjunctUrl="/finalpage/2026-11-23/1.PDF").url == "https://static.cninfo.com.cn/finalpage/2026-11-23/1.PDF"
    assert only().url is None
    assert only().kind is DocumentKind.FILING


@pytest.mark.parametrize(
    ("code", "symbols"),
    [
        ("600519", ["XSHG:600519"]),
        ("688981", ["XSHG:688981"]),
        ("300750", ["XSHE:300750"]),
        ("920139", ["XBSE:920139"]),
        ("00700", ["XHKG:00700"]),
        ("000002, 200002", ["XSHE:000002", "XSHE:200002"]),
        ("430139", []),
        ("", []),
        ("６００５１９", []),
        ("００７００", []),
    ],
)
def test_the_code_says_the_exchange(code: str, symbols: list[str]) -> None:
    assert only(secCode=code).symbols == symbols


def test_codes_of_funds_are_not_taken_for_shares() -> None:
    (found,) = read(row(secCode="000001"), column="fund").documents
    assert found.symbols == []


@given(st.text())
def test_a_listing_is_none_or_ends_with_its_code(code: str) -> None:
    found = listing(code)
    assert found is None or found.partition(":")[2] == code


def test_no_announcements_are_an_outcome_and_no_list_is_an_error() -> None:
    response = Response(url=ADDRESS, body=b'{"announcements": null}', fetched_at=NOON)
    assert parse(response, feed=feed()) == Parsed([])
    with pytest.raises(PageChanged):
        parse(Response(url=ADDRESS, body=b'{"totalAnnouncement": 0}', fetched_at=NOON), feed=feed())
    with pytest.raises(SourceWalled):
        parse(Response(url=ADDRESS, body=b"<html>x</html>", fetched_at=NOON), feed=feed())


def test_one_bad_row_does_not_cost_the_others_and_an_id_occurs_once() -> None:
    found = read({"announcementTitle": "x"}, row(), row(), row(announcementId=2, announcementTitle="", secName="平安银行"))
    assert [document.native_id for document in found.documents] == ["1"]
    assert [problem.reason for problem in found.problems] == ["invalid", "duplicate", "empty"]


def test_the_id_does_not_depend_on_title_time_or_type_of_the_number() -> None:
    assert only(announcementId=7).doc_id == only(announcementId="7", announcementTitle="更正后", announcementTime=None).doc_id
