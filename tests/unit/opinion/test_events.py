from __future__ import annotations

from datetime import timedelta

from opinion.events import event_time, telling_day
from tests.support.records import NOON, document


def test_recent_publication_time_is_the_event_time() -> None:
    doc = document(published_at=NOON, fetched_at=NOON + timedelta(minutes=15))
    assert event_time(doc) == (NOON, True)


def test_older_publication_counts_when_it_was_fetched() -> None:
    doc = document(published_at=NOON, fetched_at=NOON + timedelta(minutes=16))
    assert event_time(doc) == (NOON + timedelta(minutes=16), True)


def test_future_publication_counts_when_it_was_fetched() -> None:
    doc = document(published_at=NOON + timedelta(minutes=2), fetched_at=NOON)
    assert event_time(doc) == (NOON, True)


def test_day_precision_is_not_an_instant() -> None:
    doc = document(published_at=NOON, published_precision="day", fetched_at=NOON + timedelta(minutes=1))
    assert event_time(doc) == (NOON + timedelta(minutes=1), True)


def test_undated_counts_when_it_was_fetched() -> None:
    doc = document(published_at=None, published_precision=None, fetched_at=NOON)
    assert event_time(doc) == (NOON, True)


def test_yesterdays_news_is_judged_but_not_counted() -> None:
    doc = document(published_at=NOON - timedelta(hours=24, seconds=1), fetched_at=NOON)
    assert event_time(doc) == (NOON, False)


def test_telling_day_does_not_depend_on_the_fetch() -> None:
    early = document(fetched_at=NOON + timedelta(minutes=1))
    late = document(fetched_at=NOON + timedelta(hours=20))
    assert telling_day(early, event_time(early)[0]) == telling_day(late, event_time(late)[0])
