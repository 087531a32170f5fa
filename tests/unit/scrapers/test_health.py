from __future__ import annotations

from datetime import timedelta

import pytest

from opinion.errors import Reason
from opinion.metrics import SOURCE_STATES
from scrapers.health import STALE_AFTER, Health, after_failure, after_success, settled, state_of
from tests.support.records import NOON

NEW = Health(since=NOON)
GOOD = settled(after_success(NEW, at=NOON, published=3, dropped=0), "ok")


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (Reason.SOURCE_WALLED, "walled"),
        (Reason.PAGE_CHANGED, "broken"),
        (Reason.SOURCE_GONE, "broken"),
        (Reason.BODY_TOO_LARGE, "broken"),
        (Reason.ADDRESS_REFUSED, "broken"),
        (Reason.UNEXPECTED, "broken"),
        (Reason.SOURCE_UNAVAILABLE, "ok"),
        (Reason.SOURCE_RATE_LIMITED, "ok"),
    ],
)
def test_a_failure_shows_at_once_unless_it_may_pass_by_itself(reason: Reason, state: str) -> None:
    failed = after_failure(GOOD, at=NOON, reason=reason, message="x")
    assert state_of(failed, at=NOON, interval_s=60) == state
    assert state in SOURCE_STATES


def test_a_source_that_does_not_answer_becomes_silent_and_recovers() -> None:
    failed = after_failure(GOOD, at=NOON, reason=Reason.SOURCE_UNAVAILABLE, message="no answer")
    assert state_of(failed, at=NOON + timedelta(minutes=4), interval_s=60) == "silent"
    again = after_success(failed, at=NOON + timedelta(minutes=5), published=0, dropped=None)
    assert state_of(again, at=NOON + timedelta(minutes=5), interval_s=60) == "ok"
    assert again.last_error == ""


def test_a_source_that_never_answered_is_silent_too() -> None:
    failed = after_failure(NEW, at=NOON, reason=Reason.SOURCE_UNAVAILABLE, message="no answer")
    assert state_of(failed, at=NOON + timedelta(hours=1), interval_s=60) == "silent"


def test_a_source_that_has_not_answered_yet_is_not_called_well() -> None:
    assert NEW.state == "waiting"
    failed = settled(after_failure(NEW, at=NOON, reason=Reason.SOURCE_UNAVAILABLE, message="no answer"), "waiting")
    assert state_of(failed, at=NOON, interval_s=60) == "waiting"
    restarted = after_failure(Health(since=NOON, last_good_at=NOON - timedelta(minutes=1)), at=NOON, reason=Reason.SOURCE_UNAVAILABLE, message="no answer")
    assert state_of(restarted, at=NOON, interval_s=60) == "waiting"
    assert state_of(after_success(restarted, at=NOON, published=0, dropped=None), at=NOON, interval_s=60) == "ok"


def test_a_first_answer_settles_whatever_state_it_brings() -> None:
    assert settled(after_success(NEW, at=NOON, published=1, dropped=2), "partial").state == "partial"
    assert settled(after_failure(NEW, at=NOON, reason=Reason.SOURCE_WALLED, message="no"), "walled").state == "waiting"


def test_a_source_that_answers_without_news_for_a_day_is_stale() -> None:
    quiet = after_success(GOOD, at=NOON + STALE_AFTER, published=0, dropped=None)
    assert state_of(quiet, at=NOON + STALE_AFTER + timedelta(minutes=1), interval_s=60) == "stale"


def test_items_that_became_no_document_make_it_partial_until_the_next_body() -> None:
    dropping = after_success(GOOD, at=NOON, published=1, dropped=2)
    assert state_of(dropping, at=NOON, interval_s=60) == "partial"
    unchanged = after_success(dropping, at=NOON, published=0, dropped=None)
    assert state_of(unchanged, at=NOON, interval_s=60) == "partial"
    mended = after_success(unchanged, at=NOON, published=0, dropped=0)
    assert state_of(mended, at=NOON, interval_s=60) == "ok"


def test_a_worse_state_needs_two_polls_in_a_row_and_a_better_one_needs_one() -> None:
    once = settled(GOOD, "walled")
    assert once.state == "ok"
    assert settled(once, "ok").doubted == ""
    twice = settled(once, "walled")
    assert twice.state == "walled"
    assert settled(twice, "ok").state == "ok"


def test_a_doubt_of_another_kind_begins_anew() -> None:
    assert settled(settled(GOOD, "walled"), "broken").state == "ok"


def test_a_source_that_always_brought_something_is_silent_when_it_stops() -> None:
    health, at = NEW, NOON
    for _ in range(2 * 24 * 6):
        at += timedelta(minutes=10)
        health = after_success(health, at=at, published=2, dropped=0)
    assert state_of(health, at=at + timedelta(minutes=30), interval_s=60) == "ok"
    assert state_of(health, at=at + timedelta(hours=2), interval_s=60) == "silent"


def test_time_that_nobody_watched_teaches_nothing() -> None:
    asleep = after_success(GOOD, at=NOON + timedelta(days=3), published=0, dropped=None)
    assert sum(asleep.rhythm.heard_h) <= 1
