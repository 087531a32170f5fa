from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from alerts.detect.rules import Rules
from alerts.detector import Detector
from alerts.usual import last_hours, usual_ratios
from opinion.names import Names
from opinion.redis_client import connect
from opinion.windows import Applied, WindowStore
from tests.support.console import SUBJECT, past
from tests.support.records import NOON

pytestmark = pytest.mark.integration

HOURS = 24 * 8


@pytest.fixture
async def windows(redis_url: str, names: Names) -> AsyncIterator[WindowStore]:
    redis = connect(redis_url)
    store = WindowStore(redis, names)
    documents = past(SUBJECT, now=NOON, hours=HOURS, surge_h=3)
    await store.apply("scored-0", [Applied(offset, item) for offset, item in enumerate(documents)])
    yield store
    await redis.aclose()


async def test_what_is_drawn_as_usual_is_what_the_detection_holds_windows_against(windows: WindowStore) -> None:
    detector, rules = Detector(Rules()), Rules()
    for subject in (SUBJECT, "topic:Macro"):
        for start_s, total, negative, clear in (await windows.counts_of([subject], since=None))[subject]:
            detector.put(subject, start_s, total=total, negative=negative, clear=clear)
    detector.spikes(NOON)
    widest = timedelta(seconds=rules.windows[-1].width_s)
    instants = [NOON - timedelta(hours=hours) for hours in (48, 24, 4, 2, 1, 0)]
    drawn = await usual_ratios(windows, SUBJECT, begins=[at - widest for at in instants], now=NOON, rules=rules)
    held = [detector.snapshot(SUBJECT, at=at, window_s=3600).baseline_ratio for at in instants]
    assert drawn == pytest.approx(held, abs=0.005)


async def test_a_surge_is_not_usual_before_it_began_and_nothing_known_is_the_share_of_all(windows: WindowStore) -> None:
    begins = [NOON - timedelta(hours=hours) for hours in (24, 3, 0)]
    before, at_its_beginning, after = await usual_ratios(windows, SUBJECT, begins=begins, now=NOON, rules=Rules())
    assert before == pytest.approx(0.2, abs=0.02)
    assert at_its_beginning == pytest.approx(before, abs=0.02)
    assert after > at_its_beginning + 0.05
    unheard = await usual_ratios(windows, "entity:XDEM:NONE", begins=begins, now=NOON, rules=Rules())
    assert unheard == pytest.approx([0.2] * 3, abs=0.03)


async def test_the_last_hours_are_counted_with_the_one_that_runs(windows: WindowStore) -> None:
    now: datetime = NOON - timedelta(minutes=30)
    found = await last_hours(windows, [SUBJECT, "entity:XDEM:NONE"], hours=24, now=now)
    assert [total for total, _ in found[SUBJECT]] == [12] * 25
    assert found["entity:XDEM:NONE"] == [(0, 0)] * 25
