"""互动易: what investors ask listed companies and what these answer, on irm.cninfo.com.cn.

Of one company (`company/question`, rows) or the newest of all (`index/search`, results): the same rows under another name.
Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import ConfigError, PageChanged
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.sources.cninfo import listing
from scrapers.text import one_line
from scrapers.wire import epoch, item_of, json_of

NAME = "irm"
ADAPTER_VERSION = 1
COMPANY = "https://irm.cninfo.com.cn/newircs/company/question"
NEWEST = "https://irm.cninfo.com.cn/newircs/index/search"
PAGE = "https://irm.cninfo.com.cn/ircs/question/questionDetail?questionId="
PAGE_SIZE = "30"


class _Row(msgspec.Struct, rename="camel"):
    index_id: str | int
    main_content: str | None = None  # the question; the words searched for in <em>
    attached_content: str | None = None  # the answer; null or empty where there is none yet
    pub_date: int | float | str | None = None  # ms since 1970: when it was asked
    attached_pub_date: int | float | str | None = None  # when it was answered; not always there
    stock_code: str | None = None
    company_short_name: str | None = None
    author: str | int | None = None  # the asker's number
    author_name: str | None = None
    praise_count: Any = None


class _Answer(msgspec.Struct, rename="camel"):
    rows: list[Any] | None = None
    results: list[Any] | None = None
    status_code: str | int | None = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest questions of one company, or of all.

    Errors:
        ConfigError: only one of `code` and `org` is given.
    """
    code, org = feed.option("code"), feed.option("org")
    if bool(code) != bool(org):
        raise ConfigError(f"source {NAME} needs `code` and `org` together, or neither")
    headers = {"referer": "https://irm.cninfo.com.cn/views/interactiveAnswer"}
    if not code:
        return Ask(url=NEWEST, headers=headers, form={"pageNo": "1", "pageSize": PAGE_SIZE, "searchTypes": "1,11"})  # 1: not answered yet; 11: answered
    query = urlencode({"_t": "1", "stockcode": code, "orgId": org, "pageSize": PAGE_SIZE, "pageNum": "1", "keyWord": "", "startDay": "", "endDay": ""})
    return Ask(url=f"{COMPANY}?{query}", headers=headers, form={})  # the site wants it posted, with everything in the address


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The questions of a page, each with its answer where there is one.

    Errors:
        PageChanged: no list; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    answer = json_of(response, _Answer)
    rows = answer.rows if answer.rows is not None else answer.results
    if rows is None:
        raise PageChanged(f"no list of questions; status {answer.status_code}")
    return documents_of(_items(rows, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _items(rows: list[Any], response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        if isinstance(row, str):
            yield Problem("invalid", row)
            continue
        answered = bool(one_line(row.attached_content or ""))
        said_at = row.attached_pub_date if answered and row.attached_pub_date else row.pub_date  # with the answer it is another text, and of that hour
        at, precision = epoch(said_at, fetched_at=response.fetched_at, unit_s=1e-3)
        symbol = listing((row.stock_code or "").strip())
        text = _text(row, answered=answered)
        yield Item(
            native_id=str(row.index_id),
            title=f"{row.company_short_name or row.stock_code or ''} 互动易问答" if text else "",
            text=text,
            url=f"{PAGE}{row.index_id}",
            published_at=at,
            precision=precision,
            published_raw="" if said_at is None else str(said_at),
            author=str(row.author or row.author_name or ""),
            symbols=[symbol] if symbol else [],
            labels={"answered": answered},
            engagement=_engagement(row.praise_count),
        )


def _text(row: _Row, *, answered: bool) -> str:
    """Question and answer, a line each."""
    question = f"问：{row.main_content}" if one_line(row.main_content or "") else ""
    answer = f"答：{row.attached_content}" if answered else ""
    return "<br>".join(part for part in (question, answer) if part)


def _engagement(praised: Any) -> Engagement | None:
    likes = item_of(praised, int)
    return None if isinstance(likes, str) else Engagement(likes=likes)


MANNERS = Manners(
    stability="amber",
    interval_s=120,
    kind=DocumentKind.QA,
    publisher="irm.cninfo.com.cn",
    terms="answers that companies are bound to make public; the questions are those of private people, whose names are not kept",
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={
        "code": "share of one company, e.g. 000001; together with `org`. Default: the newest of all companies",
        "org": "the site's id of that company, e.g. gssz0000001 (the list at www.cninfo.com.cn/new/data/szse_stock.json)",
    },
)
SOURCE = Source(NAME, ("互动易",), parse, MANNERS, ask)
