from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache

import msgspec
import numpy as np
import pytest

from alerts.detect.rulebook import Exemption, RuleBook
from alerts.detect.rules import HOUR_S, Budgets, Rules
from alerts.detector import Detector, DetectorState
from alerts.lifecycle import Transition
from opinion.records import Scan, Spike
from tests.support.surges import COMPANY, MONDAY, MONDAY_S, Minutes, broad, filled, look, put, quiet, with_surge

DAY = 24 * 60
ONSET_H, DAYS = 13 * 24 + 5, 14
ONSET = MONDAY + timedelta(hours=ONSET_H)
ALONE = {Scan.SHARE: Budgets(day=0, count=0), Scan.DAY: Budgets(share=0, count=0), Scan.COUNT: Budgets(share=0, day=0)}
OFF = {Scan.SHARE: Budgets(share=0), Scan.DAY: Budgets(day=0), Scan.COUNT: Budgets(count=0)}


def louder(minutes: Minutes, *, times: float, per_hour: float, share: float, hours: float = 3) -> Minutes:
    """The same with so many times the usual texts from the onset on, of the usual share."""
    random = np.random.default_rng(9)
    begin, end = ONSET_H * 60, ONSET_H * 60 + round(hours * 60)
    texts = random.poisson(per_hour * times / 60, end - begin)
    return [*minutes[:begin], *zip(texts.tolist(), random.binomial(texts, share).tolist(), strict=True), *minutes[end:]]


def begun(told: Sequence[Transition]) -> list[Transition]:
    """The alerts that began after the onset."""
    return [item for item in told if item.status == "firing" and item.at > ONSET]


def told_of(minutes: Minutes, budgets: Budgets) -> list[Transition]:
    return begun(look(filled(minutes, rules=Rules(false_alarms=budgets)), DAYS * DAY, stories=500))


@pytest.mark.parametrize(("share", "seed"), [(0.2, 1), (0.2, 2), (0.75, 1), (0.75, 2)])
def test_the_count_scan_finds_a_tenfold_surge_of_all_opinion_alike(share: float, seed: int) -> None:
    minutes = louder(quiet(hours=DAYS * 24, per_hour=30, share=share, seed=seed), times=10, per_hour=30, share=share)
    assert told_of(minutes, ALONE[Scan.SHARE]) == []
    (found,) = told_of(minutes, Budgets())
    assert found.spike.scan == Scan.COUNT
    assert found.at - ONSET <= timedelta(minutes=30)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_the_count_scan_finds_a_surge_of_a_subject_of_whom_three_in_four_are_always_negative(seed: int) -> None:
    minutes = with_surge(quiet(hours=DAYS * 24, per_hour=30, share=0.75, seed=seed), at_hour=ONSET_H, hours=3, per_hour=200, seed=seed + 9)
    (found,) = told_of(minutes, ALONE[Scan.COUNT])
    assert found.at - ONSET <= timedelta(minutes=20)
    by_share = told_of(minutes, ALONE[Scan.SHARE])
    assert not by_share or by_share[0].at > found.at


def test_a_subject_s_usual_rhythm_of_counts_is_no_surge() -> None:
    random = np.random.default_rng(1)
    texts = random.poisson(np.where(np.arange(DAYS * DAY) // 60 % 24 == 9, 10, 0.5))
    minutes: Minutes = list(zip(texts.tolist(), random.binomial(texts, 0.2).tolist(), strict=True))
    told = [item for item in look(filled(minutes, rules=Rules(false_alarms=ALONE[Scan.COUNT])), DAYS * DAY, stories=500) if item.status == "firing"]
    assert [item for item in told if item.at > MONDAY + timedelta(days=7)] == []


def test_counts_judge_nobody_who_is_known_for_less_than_three_days() -> None:
    minutes = [*quiet(hours=60), *[(10, 5)] * 60]
    rules = Rules(false_alarms=ALONE[Scan.COUNT])
    assert look(filled(minutes, rules=rules), 61 * 60, stories=500) == []
    older = [*quiet(hours=120), *[(10, 5)] * 60]
    assert look(filled(older, rules=rules), 121 * 60, stories=500) != []


CRISIS = with_surge(quiet(hours=DAYS * 24, per_hour=60, seed=4), at_hour=12 * 24 + 2, hours=30, per_hour=60)
"""Seen by every scan."""


@pytest.mark.parametrize("scan", Scan)
def test_each_scan_fires_alone_and_never_where_it_has_no_budget(scan: Scan) -> None:
    alone = look(filled(CRISIS, rules=Rules(false_alarms=ALONE[scan])), DAYS * DAY, stories=500)
    assert {item.spike.scan for item in alone} == {scan}
    detector = filled(CRISIS, rules=Rules(false_alarms=OFF[scan]))
    spikes = detector.spikes(MONDAY + timedelta(days=DAYS))
    assert {spike.scan for spike in spikes} == set(Scan) - {scan}
    assert scan not in {item.spike.scan for item in detector.decide(broad(spikes, stories=500))}
    assert detector.threshold(COMPANY, scan, at=MONDAY + timedelta(days=DAYS)) == float("inf")


STREAMS = {
    name: with_surge(quiet(hours=40, seed=seed), at_hour=30, hours=2, per_hour=60, seed=seed + 50) for seed, name in enumerate(("topic:Macro", "entity:XDEM:A", "entity:XDEM:B"))
}
BOOK = RuleBook(
    Rules(theta=4.2),
    [Exemption("topic:*", Rules(theta=4.2, false_alarms=Budgets(share=0, day=0, count=0))), Exemption("entity:*:B", Rules(theta=4.2, min_breadth=60))],
)


@pytest.mark.parametrize("every", [1, 7, 40 * 60])
def test_each_subject_is_judged_by_its_own_rules_within_one_detector(every: int) -> None:
    detector, told = Detector(BOOK), list[Transition]()
    for subject, minutes in STREAMS.items():
        put(detector, minutes, subject=subject)
    for minute in [*range(29 * 60, 33 * 60, every), 40 * 60]:
        told += look(detector, minute, stories=50)
    assert {item.subject for item in told if item.sequence} == {"entity:XDEM:A"}
    lax = Detector(Rules(theta=4.2))
    for subject, minutes in STREAMS.items():
        put(lax, minutes, subject=subject)
    assert {item.subject for item in look(lax, 40 * 60, stories=50)} == set(STREAMS)


SHIFT_H, SUBJECTS = 48, 40
OWN = {"entity:XDEM:0", "entity:XDEM:1"}
"""The two that have a surge of their own."""


def shifting(*, times: float, own: int = 0, subjects: int = SUBJECTS) -> Detector:
    """Subjects whose share of negatives is so many times as high from one minute on; the first few have a surge of their own four hours later."""
    detector = Detector(Rules())
    for number in range(subjects):
        before = quiet(hours=SHIFT_H, per_hour=120, share=0.25, seed=number)
        after = quiet(hours=12, per_hour=120, share=0.25 * times, seed=1000 + number)
        minutes = [*before, *after]
        if number < own:
            minutes = with_surge(minutes, at_hour=SHIFT_H + 4, hours=3, per_hour=200, seed=number + 77)
        put(detector, minutes, subject=f"entity:XDEM:{number}")
    return detector


@cache
def watched(*, times: float, own: int) -> tuple[frozenset[str], frozenset[str], list[int]]:
    """Subjects that were told of within ten hours of the shift, those that surged, and the hours at whose end all had shifted."""
    detector, told, surged, shifted = shifting(times=times, own=own), set[str](), set[str](), list[int]()
    look(detector, SHIFT_H * 60)
    on = set(detector.firing())
    for hour in range(1, 11):
        at = MONDAY + timedelta(hours=SHIFT_H + hour)
        spikes = detector.spikes(at)
        surged |= {spike.subject for spike in spikes if spike.surging}
        told |= {item.subject for item in detector.decide(broad(spikes)) if item.status == "firing"}
        shifted += [hour] if detector.shifted(at) else []
    return frozenset(told - on), frozenset(surged - on), shifted


def test_a_shift_common_to_all_pages_for_few_of_them_and_is_said_to_be_one() -> None:
    told, surged, shifted = watched(times=1.4, own=2)
    told, surged = told - OWN, surged - OWN
    assert len(told) <= SUBJECTS // 5
    assert len(surged) > 3 * max(1, len(told))
    assert {1, 2, 3} <= set(shifted)


def test_while_all_shift_single_surges_are_still_told() -> None:
    told, _, shifted = watched(times=1.4, own=2)
    assert {5, 6} & set(shifted)
    assert told >= OWN


def test_single_surges_are_no_common_shift() -> None:
    told, _, shifted = watched(times=1.0, own=2)
    assert shifted == []
    assert told >= OWN


def test_a_common_shift_is_remembered_by_new_rules_and_over_a_restart() -> None:
    detector = shifting(times=1.8, subjects=15)
    at = MONDAY + timedelta(hours=SHIFT_H + 2)
    detector.spikes(at)
    assert detector.shifted(at)
    assert not detector.shifted(at + timedelta(days=2))
    restarted = Detector(Rules())
    restarted.restore(msgspec.json.decode(msgspec.json.encode(detector.state()), type=DetectorState), detector.own_tails())
    assert restarted.shifted(at)
    detector.adopt(RuleBook(Rules(min_breadth=4)))
    assert detector.shifted(at)


VOICED_H = 60


def weak(*, voices: int, surging: int = 1) -> list[Spike]:
    """The spikes of some subjects with a weak surge among many that are spoken of."""
    detector = Detector(Rules(theta=3.5, false_alarms=ALONE[Scan.SHARE]))
    for number in range(surging):
        minutes: Minutes = [((1, int(minute % 5 == 0)) if minute % 2 == 0 else (0, 0)) for minute in range(VOICED_H * 60)]
        put(detector, [*minutes, *[(1, 1)] * 6], subject=f"entity:XDEM:S{number}")
    for number in range(voices - surging):
        detector.put(f"entity:XDEM:{number}", MONDAY_S + (VOICED_H - 2) * HOUR_S, total=1, negative=0)
    return [spike for spike in detector.spikes(MONDAY + timedelta(hours=VOICED_H, minutes=30)) if spike.surging]


def test_a_lone_weak_surge_is_told_among_few_subjects_and_held_among_many() -> None:
    few, many = weak(voices=10), weak(voices=2000)
    assert few
    assert [spike.score for spike in few] == pytest.approx([spike.score for spike in many], abs=0.01)  # what all say moves the prior a little
    assert all(3.5 <= spike.score < 4.3 for spike in few)  # one in 2,000 at a rate of a tenth asks for log10(20,000)
    assert not any(spike.held for spike in few)
    assert all(spike.held for spike in many)


def test_a_held_surge_begins_no_alert() -> None:
    detector = Detector(Rules())
    assert {item.status for item in detector.decide(broad(weak(voices=2000)))} == {"pending"}
    assert {item.status for item in detector.decide(broad(weak(voices=10)))} == {"firing"}


def test_weak_surges_of_several_subjects_bear_each_other_out() -> None:
    together = weak(voices=2000, surging=9)
    assert len({spike.subject for spike in together}) == 9
    assert not any(spike.held for spike in together)


@cache
def thresholds(margin: float) -> dict[tuple[Scan, int], float]:
    """Those of a few quiet subjects after two weeks, where calm lies so far below them."""
    detector = Detector(Rules(resolve_margin=margin))
    for number in range(5):
        put(detector, quiet(hours=14 * 24, per_hour=20, seed=number), subject=f"entity:XDEM:{number}")
    look(detector, 14 * DAY)
    return {(scan, number): detector.threshold(f"entity:XDEM:{number}", scan, at=MONDAY + timedelta(days=14)) for scan in Scan for number in range(5)}


@pytest.mark.parametrize("margin", [0.0, 0.5, 2.5])
def test_what_counts_as_calm_does_not_move_the_thresholds(margin: float) -> None:
    assert thresholds(margin) == thresholds(Rules().resolve_margin)


def test_new_rules_leave_what_was_learned_and_what_is_still_to_be_saved() -> None:
    detector = filled(quiet(hours=7 * 24, per_hour=60), rules=Rules())
    look(detector, 7 * DAY)
    at = MONDAY + timedelta(days=7)
    thresholds = [detector.threshold(COMPANY, scan, at=at) for scan in Scan]
    detector.adopt(RuleBook(Rules(min_breadth=4)))
    assert [detector.threshold(COMPANY, scan, at=at) for scan in Scan] == thresholds
    assert set(detector.own_tails(changed=True)) == {COMPANY}
