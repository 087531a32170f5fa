from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.detect.rules import HOUR_S, Budgets, Rules
from alerts.detect.series import Floats, Ints
from alerts.detect.share import Sums
from alerts.detect.thresholds import OWN_MEMORY_S, POOLED_MEMORY_S, WEEK_S, block_s
from alerts.scans.look import Look
from alerts.scans.panes import Panes
from alerts.scans.tails import OwnTail, Tails, TailState
from opinion.records import Scan
from tests.support.surges import MONDAY_S

RULES = Rules()
SUBJECTS = ("entity:XDEM:HSRY", "entity:XDEM:OTHR", "topic:Macro")
SIX_H = 6 * HOUR_S
"""Subjects are spoken of in most quarters of a day."""
BLOCK_S = block_s(Scan.COUNT)
WEEK_BLOCKS = WEEK_S // BLOCK_S
OWN_BLOCKS = OWN_MEMORY_S // BLOCK_S

Told = list[tuple[str, Scan, Ints, Floats]]
"""Subject, scan, instants and scores."""


def look(scan: Scan, at_s: Ints, score: Floats) -> Look:
    nothing, zeros = np.zeros((1, len(at_s)), np.int64), np.zeros(len(at_s))
    return Look(scan, (HOUR_S,), at_s, Sums(nothing, nothing, nothing), np.zeros((1, len(at_s))), np.zeros((1, len(at_s))), score[np.newaxis], zeros, zeros, zeros)


def streams(seed: int, *, weeks: int) -> Told:
    """A score now and then, in blocks of which some reach high."""
    random = np.random.default_rng(seed)
    told: Told = []
    for subject in SUBJECTS:
        for scan in Scan:
            step = 86400 if scan == Scan.DAY else block_s(scan) // 2
            at_s = MONDAY_S + step * np.arange(1, weeks * WEEK_S // step + 1)
            at_s -= 0 if scan == Scan.DAY else 60 * random.integers(0, 200, len(at_s))
            heard = random.random(len(at_s)) < 0.8
            told.append((subject, scan, at_s[heard], random.gumbel(1.7, 0.6, heard.sum()).clip(0)))
    return told


def spoken(*, weeks: int, seed: int = 1, subjects: Sequence[str] = SUBJECTS) -> Panes:
    """Panes of subjects that are spoken of in most blocks."""
    panes, random = Panes(), np.random.default_rng(seed)
    for subject in subjects:
        for block in np.nonzero(random.random(weeks * WEEK_S // SIX_H) < 0.9)[0].tolist():
            panes.put(subject, MONDAY_S + block * SIX_H + 60 * int(random.integers(0, 360)), total=1, negative=0)
    return panes


def thresholds_of(told: Told, panes: Panes, *, stops: Sequence[int], restart: bool = False) -> list[tuple[str, Scan, int, float]]:
    """Every threshold when scores are learned up to each of the stops, as the detector learns them; with restarts in between, what was saved is read again."""
    tails, saved, found = Tails(panes), dict[str, bytes](), []
    for since_s, until_s in pairwise([MONDAY_S, *stops]):
        if restart:
            saved |= {subject: msgspec.json.encode(tail) for subject, tail in tails.changed().items()}
            state = msgspec.json.decode(msgspec.json.encode(tails.state()), type=TailState)
            tails = Tails(panes, state, {subject: msgspec.json.decode(tail, type=OwnTail) for subject, tail in saved.items()})
        now = [(subject, look(scan, at_s[inside], score[inside])) for subject, scan, at_s, score in told if (inside := (at_s > since_s) & (at_s <= until_s)).any()]
        for subject, one in now:
            tails.learn(subject, one)
        tails.close(until_s)
        for subject, one in now:
            found += [(subject, one.scan, at, theta) for at, theta in zip(one.at_s.tolist(), tails.thresholds(subject, one, RULES).tolist(), strict=True)]
    return sorted(found)


def weekly(weeks: int, further: Sequence[int] = ()) -> list[int]:
    """The ends of weeks, as far apart as two looks ever are, and further minutes."""
    return sorted({MONDAY_S + week * WEEK_S for week in range(1, weeks + 1)} | {MONDAY_S + 60 * minute for minute in further})


PANES = spoken(weeks=4)
WHOLE = {seed: thresholds_of(streams(seed, weeks=4), PANES, stops=weekly(4)) for seed in range(2)}
LONG = 11
"""Weeks: longer than a subject's blocks are remembered."""
minutes = st.lists(st.integers(1, 4 * 7 * 1440 - 1), max_size=25)


@settings(max_examples=20)
@given(st.integers(0, 1), minutes)
def test_thresholds_do_not_depend_on_how_far_apart_one_looks(seed: int, further: list[int]) -> None:
    assert thresholds_of(streams(seed, weeks=4), PANES, stops=weekly(4, further)) == WHOLE[seed]


def test_thresholds_of_a_long_past_do_not_depend_on_how_far_apart_one_looks() -> None:
    told, panes = streams(1, weeks=LONG), spoken(weeks=LONG)
    by_week = thresholds_of(told, panes, stops=weekly(LONG))
    by_day = thresholds_of(told, panes, stops=weekly(LONG, range(1440, LONG * 7 * 1440, 1440)))
    assert len(by_week) == len(by_day)
    assert [(one, other) for one, other in zip(by_week, by_day, strict=True) if one != other][:3] == []


@settings(max_examples=12)
@given(st.integers(0, 1), st.permutations(range(9)), st.permutations(SUBJECTS))
def test_thresholds_do_not_depend_on_the_order_of_subjects(seed: int, order: list[int], subjects: list[str]) -> None:
    told = streams(seed, weeks=4)
    turned = Panes()
    turned.series = {subject: PANES.series[subject] for subject in subjects}
    assert thresholds_of([told[place] for place in order], turned, stops=weekly(4)) == WHOLE[seed]


@settings(max_examples=20)
@given(st.integers(0, 1), minutes)
def test_thresholds_do_not_depend_on_restarts(seed: int, further: list[int]) -> None:
    assert thresholds_of(streams(seed, weeks=4), PANES, stops=weekly(4, further), restart=True) == WHOLE[seed]


def test_thresholds_of_a_long_past_do_not_depend_on_restarts() -> None:
    told, panes, stops = streams(1, weeks=LONG), spoken(weeks=LONG), [MONDAY_S + hour * HOUR_S for hour in range(100, LONG * 168, 100)]
    steadily, restarted = (thresholds_of(told, panes, stops=stops, restart=restart) for restart in (False, True))
    assert [(one, other) for one, other in zip(steadily, restarted, strict=True) if one != other][:3] == []


@settings(max_examples=12)
@given(st.integers(0, 1), st.integers(1, 4 * WEEK_S // SIX_H - 1))
def test_the_thresholds_of_a_block_depend_only_on_blocks_before_it(seed: int, block: int) -> None:
    now_s = MONDAY_S + block * SIX_H
    changed = [(subject, scan, at_s, np.where(at_s > now_s // block_s(scan) * block_s(scan), score + 3, score)) for subject, scan, at_s, score in streams(seed, weeks=4)]
    found = thresholds_of(changed, PANES, stops=weekly(4))
    before = [one for one in found if (one[2] - 1) // block_s(one[1]) <= (now_s - 1) // block_s(one[1])]
    assert before == [one for one in WHOLE[seed] if (one[2] - 1) // block_s(one[1]) <= (now_s - 1) // block_s(one[1])]
    assert len(before) < len(found)


def test_what_a_block_shows_moves_the_thresholds_of_the_next() -> None:
    panes = spoken(weeks=3)
    calm, hot = Tails(panes), Tails(panes)
    at_s = MONDAY_S + BLOCK_S * np.arange(1, 3 * WEEK_BLOCKS + 1)
    random = np.random.default_rng(1)
    for tails, mode in ((calm, 1.0), (hot, 2.5)):
        for subject in SUBJECTS:
            for scan in Scan:
                tails.learn(subject, look(scan, at_s, random.gumbel(mode, 0.6, len(at_s)).clip(0)))
        tails.close(int(at_s[-1]))
    later_s = int(at_s[-1]) + 60
    for scan in Scan:
        assert hot.threshold_at("topic:Macro", scan, RULES, at_s=later_s) > calm.threshold_at("topic:Macro", scan, RULES, at_s=later_s)
        assert hot.threshold_at("topic:Macro", scan, RULES, at_s=MONDAY_S + 60) == calm.threshold_at("topic:Macro", scan, RULES, at_s=MONDAY_S + 60)


def test_the_end_of_a_block_is_of_it() -> None:
    tails = Tails(spoken(weeks=1))
    tails.learn("topic:Macro", look(Scan.COUNT, MONDAY_S + np.array([BLOCK_S, BLOCK_S + 60]), np.array([3.5, 4.5])))
    tails.close(MONDAY_S + 2 * BLOCK_S)
    first = MONDAY_S // BLOCK_S
    assert tails.own()["topic:Macro"].highest == {first: 3.5, first + 1: 4.5}


def test_a_block_is_taken_once_it_is_over_at_its_highest() -> None:
    tails, first = Tails(spoken(weeks=1)), MONDAY_S // BLOCK_S
    for minute, score in ((10, 3.0), (20, 7.5), (30, 4.0)):
        tails.learn("topic:Macro", look(Scan.COUNT, np.array([MONDAY_S + 60 * minute]), np.array([score])))
        tails.close(MONDAY_S + 60 * minute)
    assert tails.own() == {}
    assert tails.state().open[Scan.COUNT.value] == {"topic:Macro": {first: 7.5}}
    tails.close(MONDAY_S + BLOCK_S)
    assert tails.own()["topic:Macro"] == OwnTail(first, {first: 7.5})
    assert tails.state().open[Scan.COUNT.value] == {}


def test_only_the_own_tails_that_changed_are_saved_again() -> None:
    panes = Panes()
    for subject in ("topic:Macro", "topic:Markets"):
        for start_s in (MONDAY_S, MONDAY_S + BLOCK_S):
            panes.put(subject, start_s, total=1, negative=0)
    tails = Tails(panes)
    tails.close(MONDAY_S + BLOCK_S)
    assert set(tails.changed()) == {"topic:Macro", "topic:Markets"}
    tails.learn("topic:Macro", look(Scan.COUNT, np.array([MONDAY_S + 2 * BLOCK_S]), np.array([9.0])))
    tails.close(MONDAY_S + 2 * BLOCK_S)
    assert set(tails.changed()) == {"topic:Macro"}
    assert tails.changed() == {}
    assert set(tails.own()) == {"topic:Macro", "topic:Markets"}


def test_subjects_that_nobody_speaks_of_have_no_blocks() -> None:
    panes = spoken(weeks=1, subjects=("topic:Macro",))
    panes.put("topic:Markets", MONDAY_S + 3 * BLOCK_S, total=1, negative=0)
    tails = Tails(panes)
    tails.close(MONDAY_S + WEEK_S)
    blocks = sum(heights.blocks for heights in tails.state().pooled[Scan.SHARE.value].values())
    hours = panes.series["topic:Macro"].hours.slice(MONDAY_S // HOUR_S, (MONDAY_S + WEEK_S) // HOUR_S)[0]
    heard = int((hours.reshape(-1, block_s(Scan.SHARE) // HOUR_S).sum(axis=1) > 0).sum())
    assert blocks == heard + 1
    assert tails.own()["topic:Markets"].first == MONDAY_S // BLOCK_S + 3


def test_no_budget_is_no_threshold() -> None:
    tails, off = Tails(Panes()), Rules(false_alarms=Budgets(share=0, day=0, count=0), theta=4.0)
    assert [tails.threshold_at("topic:Macro", scan, off, at_s=MONDAY_S) for scan in Scan] == [math.inf] * 3
    found = tails.thresholds("topic:Macro", look(Scan.DAY, np.array([MONDAY_S, MONDAY_S + 86400]), np.array([9.0, 9.0])), off)
    assert found.tolist() == [math.inf] * 2


def test_a_fixed_threshold_is_that_of_the_share_scan_alone() -> None:
    tails, fixed = Tails(Panes()), Rules(theta=4.25)
    assert tails.threshold_at("topic:Macro", Scan.SHARE, fixed, at_s=MONDAY_S) == 4.25
    for scan in (Scan.DAY, Scan.COUNT):
        assert tails.threshold_at("topic:Macro", scan, fixed, at_s=MONDAY_S) == tails.threshold_at("topic:Macro", scan, RULES, at_s=MONDAY_S)


def test_the_shares_of_all_subjects_have_one_threshold_and_counts_one_each() -> None:
    told, panes = streams(1, weeks=4), spoken(weeks=4)
    tails = Tails(panes)
    for subject, scan, at_s, score in told:
        tails.learn(subject, look(scan, at_s, score + 2 * (subject == "topic:Macro")))
    tails.close(MONDAY_S + 4 * WEEK_S)
    found = {scan: {tails.threshold_at(subject, scan, RULES, at_s=MONDAY_S + 4 * WEEK_S) for subject in SUBJECTS} for scan in Scan}
    assert [len(found[scan]) for scan in (Scan.SHARE, Scan.DAY, Scan.COUNT)] == [1, 1, 3]


def test_old_blocks_are_forgotten() -> None:
    weeks = 30
    tails = Tails(spoken(weeks=weeks, subjects=("topic:Macro",)))
    random = np.random.default_rng(1)
    for week in range(weeks):
        at_s = MONDAY_S + week * WEEK_S + BLOCK_S * np.arange(1, WEEK_BLOCKS + 1)
        for scan in Scan:
            tails.learn("topic:Macro", look(scan, at_s, 2 + random.exponential(1, len(at_s))))
        tails.close(int(at_s[-1]))
        tails.thresholds("topic:Macro", look(Scan.COUNT, at_s, np.zeros(len(at_s))), RULES)
    state = tails.state()
    assert len(state.pooled[Scan.SHARE.value]) <= (POOLED_MEMORY_S + 2 * WEEK_S) // block_s(Scan.SHARE)
    assert len(state.pooled[Scan.DAY.value]) <= (POOLED_MEMORY_S + 2 * WEEK_S) // block_s(Scan.DAY)
    assert len(tails.own()["topic:Macro"].highest) <= OWN_BLOCKS + 2 * WEEK_BLOCKS
    assert all(found == {} for found in state.open.values())


def test_what_is_forgotten_no_longer_counts() -> None:
    panes = spoken(weeks=20, subjects=("topic:Macro",))
    fresh, old = Tails(panes), Tails(panes)
    at_s = MONDAY_S + BLOCK_S * np.arange(1, 20 * WEEK_BLOCKS + 1)
    heights = 2 + np.random.default_rng(1).exponential(1, len(at_s))
    long_ago = np.arange(len(at_s)) < len(at_s) - OWN_BLOCKS - 1
    for tails, extra in ((fresh, 0.0), (old, 50.0)):
        for week in range(20):
            part = slice(week * WEEK_BLOCKS, (week + 1) * WEEK_BLOCKS)
            tails.learn("topic:Macro", look(Scan.COUNT, at_s[part], (heights + extra * long_ago)[part]))
            tails.close(int(at_s[part][-1]))
    now_s = int(at_s[-1])
    assert old.threshold_at("topic:Macro", Scan.COUNT, RULES, at_s=now_s) == fresh.threshold_at("topic:Macro", Scan.COUNT, RULES, at_s=now_s)


def test_a_score_is_noted_though_nobody_spoke_since_its_block_began() -> None:
    panes, at_s = Panes(), MONDAY_S + BLOCK_S + 60
    panes.put("topic:Macro", MONDAY_S + BLOCK_S - 60, total=30, negative=30)  # windows reach back to it
    tails = Tails(panes)
    tails.close(MONDAY_S + BLOCK_S)
    for scan in (Scan.SHARE, Scan.COUNT):
        tails.learn("topic:Macro", look(scan, np.array([at_s]), np.array([9.0])))
    tails.close(MONDAY_S + 2 * BLOCK_S)
    heights = tails.state().pooled[Scan.SHARE.value][at_s // block_s(Scan.SHARE)]
    assert heights.high <= heights.blocks
    assert tails.own()["topic:Macro"].highest == {at_s // BLOCK_S: 9.0}
