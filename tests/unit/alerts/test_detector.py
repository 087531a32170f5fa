from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from alerts.detect.rules import Budgets, Rules
from alerts.detector import Detector, DetectorState
from opinion.records import Scan
from tests.support.surges import COMPANY, MONDAY, MONDAY_S, STUDIED, Minutes, broad, clear_of, filled, look, put, quiet, with_surge

DAY = 24 * 60
FIRST_CLEAR = 9 * 60
"""Minute from which on clear negatives are told apart, in the middle of what is looked at."""
CRISIS = with_surge(quiet(hours=48), at_hour=30, hours=2, per_hour=40)


def test_a_surge_fires_once_soon_and_resolves() -> None:
    told = look(filled(CRISIS), 48 * 60)
    assert [item.status for item in told if item.status != "updated"] == ["firing", "resolved"]
    assert {item.alert_id for item in told} == {told[0].alert_id}
    assert [item.sequence for item in told] == list(range(1, len(told) + 1))
    assert timedelta(0) < told[0].at - (MONDAY + timedelta(hours=30)) <= timedelta(minutes=30)
    assert timedelta(hours=2) < told[-1].at - told[0].at < timedelta(hours=7)


def test_an_alert_shows_numbers_that_its_panes_give() -> None:
    told = look(filled(CRISIS), 48 * 60)[0].spike
    end = round((told.at - MONDAY).total_seconds() / 60)
    window = CRISIS[end - told.width_s // 60 : end]
    assert (told.total, told.negative) == (sum(total for total, _ in window), sum(negative for _, negative in window))
    assert told.ratio == pytest.approx(told.negative / told.total, abs=1e-6)
    assert told.lift == pytest.approx(told.ratio / told.baseline_ratio, abs=1e-3)
    assert told.expected_negative == pytest.approx(told.total * told.baseline_ratio, abs=1e-3)
    assert told.score == pytest.approx(-np.log10(told.p_value), abs=1e-4)


def test_a_quiet_alert_resolves_when_the_windows_empty_out() -> None:
    silent: Minutes = with_surge(quiet(hours=30), at_hour=29, hours=1, per_hour=60) + [(0, 0)] * (8 * 60)
    assert look(filled(silent), 38 * 60)[-1].status == "resolved"


@pytest.mark.parametrize("every", [30, 24 * 60, 6 * DAY])
def test_no_alert_ends_while_all_sources_are_silent_however_often_one_looks(every: int) -> None:
    spoken = with_surge(quiet(hours=96, per_hour=30), at_hour=95, hours=1, per_hour=90)
    minutes = [*spoken, *[(0, 0)] * (9 * 60), *quiet(hours=15, per_hour=30, seed=3)]
    detector = filled(minutes, rules=Rules())
    told = [item for minute in range(every, 5 * DAY + every, every) for item in look(detector, min(minute, 5 * DAY)) if item.started_at >= MONDAY + timedelta(hours=95)]
    begin, end = (item for item in told if item.status != "updated")
    assert (begin.status, end.status) == ("firing", "resolved")
    assert end.at - begin.at > timedelta(hours=11)  # the hour that texts come again in must be over
    assert told == look(filled(minutes, rules=Rules()), 5 * DAY)[-len(told) :]


@pytest.mark.parametrize("breadth", [{"stories": 1}, {"stories": 2}, {"publishers": 1, "authors": 1}])
def test_one_story_or_one_author_never_fires(breadth: dict[str, int]) -> None:
    assert {item.sequence for item in look(filled(CRISIS), 48 * 60, **breadth)} == {0}  # type: ignore[arg-type]


def test_an_ongoing_surge_does_not_teach_what_is_usual() -> None:
    detector = filled(with_surge(quiet(hours=40), at_hour=30, hours=6, per_hour=80))
    before = detector.snapshot(COMPANY, at=MONDAY + timedelta(hours=30), window_s=3600)
    during = detector.snapshot(COMPANY, at=MONDAY + timedelta(hours=32, minutes=55), window_s=3600)
    assert during.baseline_ratio < before.baseline_ratio + 0.02
    assert during.ratio > 0.6


def test_a_surge_a_day_later_is_found_again() -> None:
    twice = with_surge(with_surge(quiet(hours=72), at_hour=30, hours=2, per_hour=40), at_hour=54, hours=2, per_hour=40, seed=3)
    begun = [item.at for item in look(filled(twice), 72 * 60) if item.status == "firing"]
    assert len(begun) == 2
    assert begun[1] - (MONDAY + timedelta(hours=54)) <= timedelta(minutes=45)


def test_nothing_is_evaluated_twice() -> None:
    detector = filled(CRISIS)
    assert look(detector, 48 * 60)
    assert detector.spikes(MONDAY + timedelta(hours=48)) == []
    assert detector.spikes(MONDAY + timedelta(hours=40)) == []


def test_the_open_minute_counts_only_in_a_partial_look() -> None:
    minutes = [*quiet(hours=30), (30, 30)]
    at = 30 * 60 + 0.5
    assert look(filled(minutes), at) == []
    (told,) = look(filled(minutes), at, partial=True)
    assert told.at == MONDAY + timedelta(minutes=at)
    assert told.spike.negative >= 30


def test_a_partial_look_does_not_repeat_what_it_told() -> None:
    detector = filled([*quiet(hours=30), (30, 30)])
    first = look(detector, 30 * 60 + 0.5, partial=True)
    assert look(detector, 30 * 60 + 0.6, partial=True) == []
    assert look(detector, 30 * 60 + 1) == []
    assert detector.firing() == {COMPANY: first[0].severity}


def test_the_id_of_an_alert_seen_early_is_that_of_a_replay() -> None:
    minutes = [*quiet(hours=30), (30, 30)]
    early = look(filled(minutes), 30 * 60 + 0.5, partial=True)
    replayed = look(filled(minutes), 30 * 60 + 1)
    assert [item.alert_id for item in early] == [item.alert_id for item in replayed]


def test_transitions_come_in_order_of_time_over_subjects() -> None:
    detector = filled(CRISIS)
    put(detector, with_surge(quiet(hours=48, seed=5), at_hour=29, hours=2, per_hour=40), subject="topic:Macro")
    told = look(detector, 48 * 60)
    assert [(item.at, item.subject) for item in told] == sorted((item.at, item.subject) for item in told)
    assert {item.subject for item in told} == {COMPANY, "topic:Macro"}


def test_a_restart_takes_up_what_was_saved() -> None:
    whole = look(filled(CRISIS), 48 * 60)
    first = filled(CRISIS)
    told = look(first, 30 * 60 + 45)
    second = Detector(STUDIED)
    second.restore(msgspec.json.decode(msgspec.json.encode(first.state()), type=DetectorState), first.own_tails())
    put(second, CRISIS)
    assert told + look(second, 48 * 60) == whole
    assert told


def test_a_restart_after_a_long_outage_evaluates_what_it_missed() -> None:
    long = with_surge(quiet(hours=8 * 24), at_hour=5 * 24, hours=2, per_hour=60)
    first = filled(long)
    look(first, 2 * DAY)
    second = Detector(STUDIED)
    second.restore(first.state(), first.own_tails())
    put(second, long)
    assert next(item.status for item in look(second, 8 * DAY)) == "firing"


def test_memory_stays_bounded_over_a_month() -> None:
    detector = Detector(STUDIED)
    for day in range(30):
        put(detector, [(2, 0)] * DAY * (day + 1), first=day * DAY)
        look(detector, (day + 1) * DAY)
    series = detector.series(COMPANY)
    assert series.panes.size <= 12
    assert series.hours.size <= 12


def test_a_gap_of_years_is_passed_over() -> None:
    detector = filled([(1, 0)] * 60)
    detector.put(COMPANY, MONDAY_S + 10 * 365 * 86400, total=1, negative=0)
    assert detector.spikes(MONDAY + timedelta(days=3651)) == []


def test_an_unknown_subject_is_calm() -> None:
    found = Detector(STUDIED).snapshot("topic:Macro", at=MONDAY, window_s=3600)
    assert (found.total, found.ratio, found.scores) == (0, 0.0, {Scan.SHARE: 0.0, Scan.COUNT: 0.0})
    assert found.baseline_ratio == pytest.approx(0.2)


def test_a_snapshot_shows_the_window_and_its_score() -> None:
    detector = filled(CRISIS)
    found = detector.snapshot(COMPANY, at=MONDAY + timedelta(hours=31), window_s=3600)
    window = CRISIS[30 * 60 : 31 * 60]
    assert (found.total, found.negative) == (sum(total for total, _ in window), sum(negative for _, negative in window))
    assert found.ratio == found.negative / found.total
    assert found.scores[Scan.SHARE] > detector.threshold(COMPANY, Scan.SHARE, at=MONDAY + timedelta(hours=31))


def test_slow_drifts_need_the_scan_of_days() -> None:
    texts = range(10 * DAY // 2)
    negative = [(text * 21 % 50 < 21) if text >= 9 * DAY // 2 else (text % 5 == 0) for text in texts]
    minutes: Minutes = [(1, int(negative[minute // 2])) if minute % 2 == 0 else (0, 0) for minute in range(10 * DAY)]
    fast = Rules(false_alarms=Budgets(day=0), theta=4.2)
    assert look(filled(minutes, rules=fast), 10 * DAY, stories=500) == []
    told = look(filled(minutes, rules=Rules(theta=4.2)), 10 * DAY, stories=500)
    assert [(item.spike.scan, item.spike.width_s) for item in told if item.status == "firing"] == [(Scan.DAY, 86400)]


@pytest.mark.parametrize("told_apart", [True, False])
def test_a_day_of_clear_negatives_is_found_where_its_number_alone_is_not(told_apart: bool) -> None:
    usual = quiet(hours=240, per_hour=20)
    minutes = usual[: 9 * DAY] + quiet(hours=24, per_hour=20, share=0.26, seed=7)
    clear = clear_of(minutes, part=0.08, surge_h=(9 * 24, 240), part_then=0.3)
    detector = filled(minutes, rules=Rules(false_alarms=Budgets(share=0, count=0)), clear=clear if told_apart else None)
    begun = [item.spike for item in look(detector, 10 * DAY, stories=500) if item.status == "firing"]
    assert len(begun) == told_apart
    if begun:
        assert begun[0].clear > 2 * begun[0].expected_clear > 0
        assert begun[0].led_by_clear


def test_daily_panes_stay_one_alert_while_each_day_is_bad() -> None:
    days = np.arange(60)
    counts = np.stack([np.full(60, 200), np.where((days >= 50) & (days < 53), 150, 40)])
    detector = Detector(STUDIED)
    detector.load(COMPANY, MONDAY_S + 86400 * days, counts, pane_s=86400)
    told = detector.decide(broad(detector.spikes(MONDAY + timedelta(days=60)), stories=0))
    assert [item.status for item in told if item.status != "updated"] == ["firing", "resolved"]
    assert told[0].at == MONDAY + timedelta(days=51)
    assert told[-1].at == MONDAY + timedelta(days=54)


def test_a_subject_is_loaded_once() -> None:
    detector = filled(CRISIS)
    with pytest.raises(ValueError, match=COMPANY):
        detector.load(COMPANY, np.array([0]), np.array([[1], [0]]))


def test_a_company_explains_a_topic_only_while_its_alert_is_on() -> None:
    detector = filled(with_surge(quiet(hours=60), at_hour=30, hours=1, per_hour=40), rules=Rules(theta=4.2))
    theme = "topic:Macro"
    put(detector, with_surge(with_surge(quiet(hours=60, seed=5), at_hour=30, hours=1, per_hour=40), at_hour=50, hours=1, per_hour=40), subject=theme)
    found = broad(detector.spikes(MONDAY + timedelta(hours=60)))
    assert detector.explaining(found) == [COMPANY]
    told = detector.decide(msgspec.structs.replace(item, shared={COMPANY: item.negative}) if item.subject == theme else item for item in found)
    begun = [(item.subject, item.at) for item in told if item.status == "firing"]
    assert [subject for subject, _ in begun] == [COMPANY, theme]
    assert begun[1][1] > MONDAY + timedelta(hours=50)


@pytest.mark.parametrize("told_apart", [False, True])
def test_many_subjects_looked_at_every_minute_tell_what_one_look_tells(told_apart: bool) -> None:
    streams = {f"entity:XDEM:{seed}": with_surge(quiet(hours=30, seed=seed, per_hour=30), at_hour=20, hours=2, per_hour=20 * seed, seed=seed + 50) for seed in range(6)}
    clear = {subject: [0] * FIRST_CLEAR + clear_of(minutes, surge_h=(20, 22))[FIRST_CLEAR:] if told_apart else None for subject, minutes in streams.items()}
    at_once, minutely = Detector(STUDIED), Detector(STUDIED)
    for subject, minutes in streams.items():
        put(at_once, minutes, subject=subject, clear=clear[subject])
    told = []
    for minute in range(30 * 60 + 1):
        for subject, minutes in streams.items():
            put(minutely, minutes, first=minute - 1, last=minute, subject=subject, clear=clear[subject])
        told += look(minutely, minute)
    assert told == look(at_once, 30 * 60)
    assert {item.subject for item in told} >= {"entity:XDEM:4", "entity:XDEM:5"}
    assert any(item.spike.led_by_clear for item in told) == told_apart


def test_a_surge_of_clear_negatives_is_found_where_as_many_doubtful_ones_are_not() -> None:
    minutes, found = with_surge(quiet(hours=72, per_hour=60), at_hour=60, hours=2, per_hour=6), {}
    for part in (0.9, 0.15):
        detector = Detector(STUDIED)
        put(detector, minutes, clear=clear_of(minutes, surge_h=(60, 62), part_then=part))
        found[part] = look(detector, 72 * 60)
    assert found[0.15] == []
    begun = found[0.9][0]
    assert timedelta(0) < begun.at - (MONDAY + timedelta(hours=60)) <= timedelta(hours=2)
    assert begun.spike.led_by_clear


def test_hours_in_which_nobody_told_clear_negatives_apart_do_not_make_them_rare() -> None:
    minutes = quiet(hours=72, per_hour=60)
    detector = Detector(STUDIED)
    put(detector, minutes, clear=[0] * 60 * 48 + clear_of(minutes, part=0.6)[60 * 48 :])
    assert look(detector, 72 * 60) == []
