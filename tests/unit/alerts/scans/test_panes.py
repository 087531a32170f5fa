from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.detect.rules import HOUR_S
from alerts.detect.series import Change
from alerts.scans.panes import SHIFT_TEXTS, SILENCE_KNOWN_DAYS, SILENCE_LEAST, Panes
from tests.support.surges import MONDAY_S

NOON_S = MONDAY_S + 12 * HOUR_S
NOON = NOON_S // HOUR_S
DAY_S = 24 * HOUR_S
told = st.dictionaries(st.integers(0, 600), st.integers(1, 9), min_size=1, max_size=30)


def put(panes: Panes, at_s: int, *, total: int = SILENCE_LEAST, subject: str = "topic:Macro") -> None:
    panes.put(subject, at_s, total=total, negative=total // 3)


def on_days_before(*days: int, total: int = SILENCE_LEAST) -> Panes:
    """Panes of one subject, with so many texts in the hour before noon of some days before Monday, and one text long ago."""
    panes = Panes()
    for day in days:
        put(panes, NOON_S - HOUR_S - day * DAY_S, total=total)
    return panes


@given(st.dictionaries(st.sampled_from(["topic:Macro", "entity:XDEM:HSRY", "entity:XDEM:OTHR"]), told, min_size=1))
def test_panes_put_singly_by_the_hour_or_all_at_once_say_the_same(streams: dict[str, dict[int, int]]) -> None:
    singly, hourly, at_once = Panes(), Panes(), Panes()
    for subject, minutes in streams.items():
        hours: dict[int, Change] = {}
        for minute, total in minutes.items():
            singly.put(subject, MONDAY_S + 60 * minute, total=total, negative=total // 2, clear=total // 3)
            hour = MONDAY_S // HOUR_S + minute // 60
            known = hours.get(hour, (0, 0, 0))
            hours[hour] = known[0] + total, known[1] + total // 2, known[2] + total // 3
        hourly.put_hours(subject, hours)
        starts = np.array(sorted(minutes))
        totals = np.array([minutes[minute] for minute in starts.tolist()])
        at_once.load(subject, MONDAY_S + 60 * starts, np.stack([totals, totals // 2, totals // 3]), pane_s=60)
    first = MONDAY_S // HOUR_S
    for other in (hourly, at_once):
        assert other.pool.slice(first - 2, first + 14).tolist() == singly.pool.slice(first - 2, first + 14).tolist()
        assert other.clear_since == singly.clear_since
        assert [other.voices(MONDAY_S + HOUR_S * hour) for hour in range(16)] == [singly.voices(MONDAY_S + HOUR_S * hour) for hour in range(16)]
        for subject in streams:
            assert other.of(subject).hours.slice(first, first + 12).tolist() == singly.of(subject).hours.slice(first, first + 12).tolist()


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 300), st.integers(0, 3)), max_size=60))
def test_voices_are_the_subjects_whose_hour_holds_a_text_however_often_it_was_edited(edits: list[tuple[str, int, int]]) -> None:
    panes, kept = Panes(), dict[tuple[str, int], int]()
    for subject, minute, total in edits:
        panes.put(subject, MONDAY_S + 60 * minute, total=total, negative=0)
        kept[subject, minute] = total
    hours = [{subject for (subject, minute), total in kept.items() if total and minute // 60 == hour} for hour in range(-3, 12)]
    for now in range(1, 9):
        expected = max(len(hours[3 + hour]) for hour in range(now - 3, now))
        assert panes.voices(MONDAY_S + now * HOUR_S + 900) == expected


def test_hours_already_known_by_their_panes_are_not_put_twice() -> None:
    panes = Panes()
    put(panes, NOON_S, total=4)
    panes.put_hours("topic:Macro", {NOON: (9, 9, 9), NOON - 1: (2, 1, 1), NOON - 2: (0, 0, 0)})
    assert panes.pool.slice(NOON - 2, NOON + 1).tolist() == [[0, 2, 4], [0, 1, 1], [0, 1, 0]]
    assert panes.voices(NOON_S + HOUR_S + 900) == 1


def test_an_hour_s_voices_are_heard_once_late_documents_are_in() -> None:
    panes = on_days_before(0)
    assert panes.voices(NOON_S + 14 * 60) == 0
    assert panes.voices(NOON_S + 15 * 60) == 1
    assert panes.voices(NOON_S + 2 * HOUR_S + 15 * 60) == 1
    assert panes.voices(NOON_S + 3 * HOUR_S + 15 * 60) == 0


def test_a_subject_is_loaded_once() -> None:
    panes = on_days_before(0)
    with pytest.raises(ValueError, match="topic:Macro"):
        panes.load("topic:Macro", np.array([0]), np.array([[1], [0]]), pane_s=60)


def test_wide_panes_are_heard_in_the_hour_that_they_end_in() -> None:
    panes = Panes()
    panes.load("topic:Macro", np.array([MONDAY_S, MONDAY_S + DAY_S]), np.array([[200, 0], [40, 0]]), pane_s=DAY_S)
    assert panes.pool.total(MONDAY_S // HOUR_S + 23) == 200
    assert panes.voices(MONDAY_S + DAY_S + 900) == 1
    assert panes.voices(MONDAY_S + 2 * DAY_S + 900) == 0


def test_an_unknown_subject_has_empty_panes_and_stays_unknown() -> None:
    panes = Panes()
    assert panes.of("topic:Macro").hours.first() is None
    assert panes.series == {}


AT_S = NOON_S + 900
"""From now on the hour before noon is over, late documents in."""


def test_silence_is_noticed_after_three_days_of_texts_at_this_hour() -> None:
    assert (SILENCE_KNOWN_DAYS, SILENCE_LEAST) == (3, 5)
    assert on_days_before(1, 2, 3).silent(AT_S)
    assert not on_days_before(1, 2).silent(AT_S)


def test_no_hour_is_silent_that_held_a_text() -> None:
    panes = on_days_before(1, 2, 3)
    put(panes, NOON_S - 60, total=1, subject="entity:XDEM:HSRY")
    assert not panes.silent(AT_S)
    panes.put("entity:XDEM:HSRY", NOON_S - 60, total=0, negative=0)
    assert panes.silent(AT_S)


def test_no_hour_is_silent_that_is_not_over() -> None:
    panes = on_days_before(1, 2, 3)
    put(panes, NOON_S - HOUR_S - 60, total=1)
    assert not panes.silent(AT_S - 1)
    assert panes.silent(AT_S)
    assert panes.silent(AT_S + HOUR_S - 1)


@pytest.mark.parametrize("few", range(1, 5))
def test_hours_of_few_texts_on_any_known_day_are_no_silence(few: int) -> None:
    panes = on_days_before(1, 2, 3, 4)
    put(panes, NOON_S - HOUR_S - few * DAY_S, total=SILENCE_LEAST - 1)
    assert not panes.silent(AT_S)


def test_a_night_that_is_always_quiet_is_no_silence() -> None:
    panes = on_days_before(*range(8))
    assert not panes.silent(AT_S + 12 * HOUR_S)


def test_many_subjects_of_a_text_each_make_an_hour_that_is_missed() -> None:
    panes = Panes()
    for day in range(1, 4):
        for number in range(SILENCE_LEAST):
            put(panes, NOON_S - 60 - day * DAY_S, total=1, subject=f"entity:XDEM:{number}")
    assert panes.silent(AT_S)


def past(panes: Panes) -> Panes:
    """Two days of 400 texts an hour, of which 160 are negative and 40 clearly, until two hours before noon."""
    for hour in range(2, 48):
        panes.put("topic:Macro", NOON_S - HOUR_S * (1 + hour), total=400, negative=160, clear=40)
    return panes


def test_how_sure_a_model_is_shifts_by_itself() -> None:
    panes = past(Panes())
    panes.put("topic:Macro", NOON_S - 600, total=400, negative=160, clear=120)
    assert panes.shift(NOON_S) == pytest.approx((0.0, 3.0))
    assert panes.clear_since == NOON - 48


@pytest.mark.parametrize("ago_min", [2, 12, 50])
def test_a_shift_is_seen_where_it_stands_out_most(ago_min: int) -> None:
    """Of the 60 texts in a hundred that are not negative a tenth has become so: in what was said lately, or in the hour."""
    panes = past(Panes())
    panes.put("topic:Macro", NOON_S - 60 * ago_min, total=400, negative=184, clear=46)
    assert panes.shift(NOON_S) == pytest.approx((0.1, 1.0))


def test_few_texts_and_fewer_negatives_are_no_shift() -> None:
    panes = past(Panes())
    assert panes.shift(NOON_S) == (0.0, 1.0)
    panes.put("topic:Macro", NOON_S - 120, total=SHIFT_TEXTS - 1, negative=SHIFT_TEXTS - 1, clear=0)
    assert panes.shift(NOON_S) == (0.0, 1.0)
    panes.put("topic:Macro", NOON_S - 180, total=4000, negative=400, clear=100)
    assert panes.shift(NOON_S).part == 0.0


@pytest.mark.parametrize("pane_s", [60, 300])
def test_minutes_of_panes_put_and_loaded_are_the_same_and_what_comes_later_is_not_looked_at(pane_s: int) -> None:
    panes = past(Panes())
    starts = np.array([NOON_S - 600, NOON_S - 300, NOON_S])
    panes.load("topic:Earnings", starts, np.array([[400, 400, 400], [160, 184, 400], [40, 46, 400]]), pane_s=pane_s)
    assert panes.shift(NOON_S) == pytest.approx((0.1, 1.0))


def test_minutes_that_no_look_asks_for_are_forgotten() -> None:
    panes = past(Panes())
    for minute in range(400):
        panes.put("topic:Macro", NOON_S - 60 * (400 - minute), total=4, negative=2)
    size, shift = panes.pool_minutes.size, panes.shift(NOON_S)
    panes.trim_pool(NOON - 48, closed_s=NOON_S - HOUR_S)
    assert panes.pool_minutes.size < size
    assert panes.shift(NOON_S) == shift


def test_nothing_known_is_no_silence() -> None:
    assert not Panes().silent(AT_S)
    assert Panes().voices(AT_S) == 0


def test_what_is_trimmed_is_forgotten_and_what_is_kept_still_speaks() -> None:
    panes = on_days_before(*range(1, 8))
    before = panes.pool.size
    panes.trim_pool(NOON - 4 * 24, closed_s=NOON_S)
    assert panes.pool.size < before
    assert panes.silent(AT_S)
    panes.trim_pool(NOON - 2 * 24 - 1, closed_s=NOON_S)
    assert not panes.silent(AT_S)  # one day too few is known
