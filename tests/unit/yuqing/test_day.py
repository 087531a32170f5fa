from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from opinion.records import Document
from opinion.settings import Feed
from scrapers.source import Response
from scrapers.sources.feed import parse
from yuqing.demo.day import DAY_AT, OUTLETS, Item, bundled_day
from yuqing.demo.server import RENDER


@pytest.fixture(scope="module")
def day() -> list[Item]:
    return bundled_day()


def test_the_day_is_long_bilingual_and_of_both_registers(day: list[Item]) -> None:
    feeds = Counter(item.feed for item in day)
    assert len({item.guid for item in day}) >= 3_000
    assert set(feeds) == set(OUTLETS)
    assert min(sum(n for feed, n in feeds.items() if OUTLETS[feed].lang == lang) for lang in ("en", "zh")) > 1_000
    assert min(sum(n for feed, n in feeds.items() if (OUTLETS[feed].kind == "social") == social) for social in (True, False)) > 1_000


def test_the_day_is_the_same_each_time_and_lies_within_a_day(day: list[Item]) -> None:
    assert bundled_day() == day
    assert all(DAY_AT <= item.at < DAY_AT + timedelta(days=1) for item in day)
    assert day == sorted(day, key=lambda item: item.at)


def test_the_day_has_reprints_and_items_listed_twice(day: list[Item]) -> None:
    assert len(day) - len({item.guid for item in day}) > 30
    assert sum("/copy/" in item.guid for item in day) > 100


def parsed(name: str, items: list[Item]) -> list[Document]:
    body, content_type = RENDER[OUTLETS[name].form](name, items)
    response = Response(url="https://x.example/", headers={"content-type": content_type}, body=body, fetched_at=datetime(2026, 3, 20, tzinfo=UTC))
    found = parse(response, feed=Feed(url="https://x.example/", kind=OUTLETS[name].kind), author_key=b"k")
    assert found.problems == []
    return found.documents


@pytest.mark.parametrize("name", OUTLETS)
def test_every_feed_is_read_back_as_it_was_written(day: list[Item], name: str) -> None:
    items = [item for item in day if item.feed == name][:150]
    documents = parsed(name, items)
    assert [item.url for item in documents] == [item.guid for item in reversed(items)]
    assert [item.published_at for item in documents] == [item.at for item in reversed(items)]
    assert {item.kind.value for item in documents} == {OUTLETS[name].kind}
    assert all((item.author_hash is None) == (OUTLETS[name].kind != "social") for item in documents)
    assert all("\ufffd" not in item.title + item.text for item in documents)
