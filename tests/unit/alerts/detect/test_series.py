from __future__ import annotations

import numpy as np

from alerts.detect.series import CountGrid, PaneSeries


def test_setting_a_pane_again_replaces_it() -> None:
    series = PaneSeries()
    assert series.put(600, total=4, negative=1) == (4, 1, 0)
    assert series.put(630, total=3, negative=2, clear=1) == (-1, 1, 1)
    assert series.window(11, panes=1) == (3, 2)
    assert series.hours.slice(0, 1).tolist() == [[3], [2], [1]]


def test_a_window_ends_before_its_boundary() -> None:
    series = PaneSeries()
    for minute in range(10):
        series.put(60 * minute, total=1 + minute, negative=minute)
    assert series.window(5, panes=2) == (9, 7)


def test_a_pane_is_learned_in_the_hour_of_its_last_second() -> None:
    assert PaneSeries().hour_of(59) == 0
    assert PaneSeries().hour_of(60) == 1
    assert PaneSeries(pane_s=86400).hour_of(0) == 23


def test_trimmed_panes_keep_their_hours_and_take_no_edits() -> None:
    series = PaneSeries()
    for minute in range(600):
        series.put(60 * minute, total=1, negative=0)
    series.trim(panes_before_s=60 * 300, quarters_before_s=0, hours_before_s=0)
    assert series.put(0, total=9, negative=9) == (0, 0, 0)
    assert series.hours.slice(0, 10).sum() == 600
    assert series.window(600, panes=300) == (300, 0)
    assert series.panes.size <= 6


def test_trimmed_hours_are_forgotten() -> None:
    grid = CountGrid()
    grid.add(0, total=1, negative=1)
    grid.add(1000, total=1, negative=1)
    grid.trim(900)
    assert (grid.size, grid.first()) == (1, 960)


def test_a_gap_of_decades_costs_two_chunks() -> None:
    series = PaneSeries()
    series.put(0, total=1, negative=0)
    series.put(1_800_000_000, total=1, negative=0)
    assert series.panes.size == 2
    assert sum(high - low for low, high in series.panes.spans(0, 40_000_000, reach=180)) <= 2 * (64 + 180)


def test_loading_at_once_is_the_same_as_putting_one_by_one() -> None:
    starts = np.arange(0, 200_000, 300)
    counts = np.stack([starts // 300 % 7, starts // 300 % 3, starts // 300 % 2])
    loaded, one_by_one = PaneSeries(pane_s=300), PaneSeries(pane_s=300)
    loaded.load(starts, counts)
    for start, (total, negative, clear) in zip(starts.tolist(), counts.T.tolist(), strict=True):
        one_by_one.put(start, total=total, negative=negative, clear=clear)
    assert (loaded.panes.slice(0, 700) == one_by_one.panes.slice(0, 700)).all()
    assert (loaded.hours.slice(0, 60) == one_by_one.hours.slice(0, 60)).all()
