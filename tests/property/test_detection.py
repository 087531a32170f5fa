from __future__ import annotations

import random
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.detect.baseline import usual_of
from alerts.detect.rules import Rules
from alerts.detect.series import CountGrid, PaneSeries
from alerts.detector import Detector, DetectorState
from alerts.lifecycle import Transition
from alerts.scans.tails import OwnTail
from opinion.codec import encode
from tests.support.records import NEGATIVE, NEUTRAL, scored
from tests.support.surges import COMPANY, MONDAY, MONDAY_S, Minutes, clear_of, filled, look, put, quiet, with_surge
from yuqing.backtest import run_backtest

HOURS = 40
CRISES = {seed: with_surge(quiet(hours=HOURS, seed=seed, per_hour=30), at_hour=20, hours=3, per_hour=40, seed=seed + 100) for seed in range(4)}
CLEAR = {seed: clear_of(minutes, surge_h=(20, 23), seed=seed) for seed, minutes in CRISES.items()}
WHOLE = {seed: look(filled(minutes, rules=Rules(), clear=CLEAR[seed]), HOURS * 60) for seed, minutes in CRISES.items()}
cells = st.dictionaries(st.integers(-500, 3000), st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)), max_size=40)


@given(cells, st.integers(-600, 3100), st.integers(0, 900), st.integers(1, 200))
def test_the_grid_equals_a_dictionary_and_spans_miss_nothing(written: dict[int, tuple[int, int, int]], first: int, length: int, reach: int) -> None:
    grid = CountGrid()
    for cell, (total, negative, clear) in written.items():
        grid.put(cell, total=total, negative=negative, clear=clear)
    last = first + length
    assert grid.slice(first, last).T.tolist() == [list(written.get(cell, (0, 0, 0))) for cell in range(first, last)]
    spans = list(grid.spans(first, last, reach=reach))
    assert spans == sorted(spans)
    assert all(first <= low < high <= last for low, high in spans)
    covered = {boundary for low, high in spans for boundary in range(low, high)}
    assert covered >= {boundary for cell in written for boundary in range(cell + 1, cell + reach + 1)} & set(range(first, last))


@given(st.permutations([(minute, minute % 7, minute % 3) for minute in range(0, 300, 7)]), st.integers(5, 300), st.integers(1, 180))
def test_windows_do_not_depend_on_the_order_of_panes(order: list[tuple[int, int, int]], boundary: int, width: int) -> None:
    series = PaneSeries()
    for minute, total, negative in order:
        series.put(60 * minute, total=9, negative=9)
        series.put(60 * minute, total=total, negative=negative)
    inside = [(total, negative) for minute, total, negative in order if boundary - width <= minute < boundary]
    assert series.window(boundary, panes=width) == (sum(total for total, _ in inside), sum(negative for _, negative in inside))
    assert series.hours.slice(0, 5).sum() == sum(total + negative for _, total, negative in order)


@given(st.dictionaries(st.integers(100, 700), st.tuples(st.integers(0, 500), st.floats(0, 1)), max_size=80), st.sets(st.integers(800, 2800), min_size=1, max_size=12))
def test_a_baseline_learned_step_by_step_equals_one_learned_at_once(written: dict[int, tuple[int, float]], quarters: set[int]) -> None:
    whole, growing, pool, known = PaneSeries(), PaneSeries(), CountGrid(), CountGrid()
    for hour, (total, share) in written.items():
        whole.put(hour * 3600, total=total, negative=int(total * share))
        pool.put(hour, total=total, negative=int(total * share))
    asked = np.array(sorted(quarters))
    at_once = usual_of(whole, asked, pool=pool, rules=Rules())
    learned = []
    for quarter in asked.tolist():
        for hour in [hour for hour in written if 4 * hour < quarter]:
            total, share = written[hour]
            growing.put(hour * 3600, total=total, negative=int(total * share))
            known.put(hour, total=total, negative=int(total * share))
        learned.append(usual_of(growing, np.array([quarter]), pool=known, rules=Rules()))
    assert np.concatenate(learned, axis=1).tolist() == np.stack(at_once).tolist()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CRISES)), st.lists(st.integers(1, HOURS * 60), max_size=12))
def test_the_alerts_do_not_depend_on_when_one_looks(seed: int, looks: list[int]) -> None:
    detector, told = filled(CRISES[seed], rules=Rules(), clear=CLEAR[seed]), list[Transition]()
    for minute in [*sorted(looks), HOURS * 60]:
        told += look(detector, minute)
    assert told == WHOLE[seed]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CRISES)), st.sets(st.integers(60, HOURS * 60 - 1), max_size=6))
def test_the_alerts_do_not_depend_on_restarts_nor_on_panes_arriving_in_time(seed: int, restarts: set[int]) -> None:
    minutes, told, state, own, first = CRISES[seed], list[Transition](), DetectorState(), dict[str, OwnTail](), 0
    for minute in [*sorted(restarts), HOURS * 60]:
        detector = Detector(Rules())
        detector.restore(msgspec.json.decode(msgspec.json.encode(state), type=DetectorState), own)
        put(detector, minutes, last=first, clear=CLEAR[seed])
        put(detector, minutes, first=first, last=minute, clear=CLEAR[seed])
        told += look(detector, minute)
        state, own, first = detector.state(), detector.own_tails(), minute
    assert told == WHOLE[seed]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CRISES)), st.randoms(use_true_random=False))
def test_the_alerts_do_not_depend_on_the_order_panes_are_put_in(seed: int, shuffler: random.Random) -> None:
    order = [(minute, counts, clear) for minute, (counts, clear) in enumerate(zip(CRISES[seed], CLEAR[seed], strict=True)) if counts[0]]
    shuffler.shuffle(order)
    detector = Detector(Rules())
    for minute, (total, negative), clear in order:
        detector.put(COMPANY, MONDAY_S + 60 * minute, total=total, negative=negative, clear=clear)
    assert look(detector, HOURS * 60) == WHOLE[seed]


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 200), st.integers(1, 200), st.integers(1, 60), st.integers(0, 3))
def test_one_story_never_fires_however_often_it_is_told(times: int, publishers: int, seconds_apart: int, usual_negatives: int) -> None:
    calm = [scored(90 * n, sentiment=NEGATIVE if n % 10 < usual_negatives else NEUTRAL) for n in range(800)]
    storm = [scored(50_000 + n * seconds_apart, story="st_storm", publisher=f"p{n % publishers}.example") for n in range(times)]
    before = run_backtest([encode(item) for item in calm], rules=Rules()).rows
    assert run_backtest([encode(item) for item in [*calm, *storm]], rules=Rules()).rows == before == []


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 200), st.integers(1, 60), st.integers(0, 3))
def test_one_author_never_fires_however_fast_they_post(times: int, seconds_apart: int, usual_negatives: int) -> None:
    calm = [scored(90 * n, sentiment=NEGATIVE if n % 10 < usual_negatives else NEUTRAL, kind="social", author_hash=f"a{n}") for n in range(800)]
    storm = [scored(50_000 + n * seconds_apart, kind="social", publisher="x.example", author_hash="one") for n in range(times)]
    assert run_backtest([encode(item) for item in [*calm, *storm]], rules=Rules()).rows == []


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(2, 10), st.integers(1, 12), st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]))
def test_more_volume_at_the_usual_share_never_fires(per_minute: int, factor: int, hours: int, share: float) -> None:
    def minute(texts: int) -> tuple[int, int]:
        return 5 * texts, round(5 * texts * share)

    minutes: Minutes = [minute(per_minute * factor if 30 * 60 <= i < (30 + hours) * 60 else per_minute) for i in range(48 * 60)]
    detector = filled(minutes)
    look(detector, 24 * 60)  # a subject whose usual share is far above the prior may fire while nothing is known of it
    assert look(detector, 48 * 60) == []


@pytest.mark.parametrize("seed", range(8))
def test_a_fivefold_surge_is_found_within_the_hour(seed: int) -> None:
    minutes = with_surge(quiet(hours=72, per_hour=80, seed=seed), at_hour=50, hours=3, per_hour=64, seed=seed + 50)
    begun = [item.at for item in look(filled(minutes), 72 * 60) if item.status == "firing"]
    onset = MONDAY + timedelta(hours=50)
    assert [at for at in begun if onset < at <= onset + timedelta(hours=1)]
    assert len(begun) <= 2


@pytest.mark.parametrize("per_hour", [5, 20, 80, 320])
def test_false_alarms_on_simulated_quiet_weeks_stay_in_budget(per_hour: float) -> None:
    weeks = 8
    begun = [item for seed in range(weeks) for item in look(filled(quiet(hours=7 * 24, per_hour=per_hour, seed=seed)), 7 * 1440) if item.status == "firing"]
    assert len(begun) <= 0.25 * weeks
