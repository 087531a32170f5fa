from __future__ import annotations

from datetime import timedelta

from opinion.clock import epoch_ms
from opinion.watermark import DEAD_AFTER_S, REPLAY_IDLE_S, Mark, watermark
from tests.support.records import NOON

NOW_MS = epoch_ms(NOON)


def mark(partition: int = 0, *, event_s: float | None = -60, behind: int = 0, moved_s: float = 0, reported_s: float = 0) -> Mark:
    event_ms = None if event_s is None else NOW_MS + int(event_s * 1000)
    return Mark(f"t-{partition}", event_ms, behind, NOW_MS + int(moved_s * 1000), NOW_MS + int(reported_s * 1000))


def test_nothing_reported_means_no_watermark() -> None:
    assert watermark([], now=NOON, wall=NOON).at is None


def test_fewer_partitions_than_expected_means_no_watermark() -> None:
    assert watermark([mark()], now=NOON, wall=NOON, expected=2).at is None


def test_caught_up_worker_is_complete_until_its_report() -> None:
    assert watermark([mark(reported_s=-1)], now=NOON, wall=NOON).at == NOON - timedelta(seconds=1)


def test_slowest_partition_holds_the_watermark() -> None:
    marks = [mark(0), mark(1, behind=5, event_s=-300)]
    found = watermark(marks, now=NOON, wall=NOON)
    assert found.at == NOON - timedelta(seconds=300)
    assert found.behind == 5


def test_backlog_before_the_first_record_means_no_watermark() -> None:
    assert watermark([mark(behind=5, event_s=None)], now=NOON, wall=NOON).at is None


def test_dead_worker_is_blindness_and_holds_the_watermark() -> None:
    found = watermark([mark(reported_s=-DEAD_AFTER_S - 1)], now=NOON, wall=NOON)
    assert found.blind == ("t-0",)
    assert found.at == NOON - timedelta(seconds=60)


def test_replay_holds_at_the_newest_event_until_idle() -> None:
    busy = mark(event_s=-500, moved_s=-1)
    assert watermark([busy], now=NOON, wall=NOON, speed=100).at == NOON - timedelta(seconds=500)


def test_idle_replay_follows_the_scaled_clock_at_a_distance() -> None:
    idle = mark(event_s=-5000, moved_s=-REPLAY_IDLE_S - 1)
    assert watermark([idle], now=NOON, wall=NOON, speed=100).at == NOON - timedelta(seconds=REPLAY_IDLE_S * 100)
