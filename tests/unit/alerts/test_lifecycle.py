from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from alerts.detect.rules import Rules
from alerts.lifecycle import Episode, Transition, bucket_of, most_telling, severity_of, step
from opinion.records import Scan, Severity, Spike
from tests.support.surges import MONDAY, THETA, spike

RULES = Rules()


def at(minutes: float) -> Any:
    return MONDAY + timedelta(minutes=minutes)


def surge(minutes: float, **changes: Any) -> Spike:
    return spike(**({"at": at(minutes), "stories": 25} | changes))


def lived(*spikes: Spike, until: float | None = None) -> tuple[Episode | None, list[Transition]]:
    """The state and the transitions after these evaluations, and after calm until a minute."""
    episode: Episode | None = None
    told: list[Transition] = []
    for item in spikes:
        episode, transition = step(episode, item, at=item.at, rules=RULES)
        told += [transition] if transition else []
    if until is not None:
        episode, transition = step(episode, None, at=at(until), rules=RULES)
        told += [transition] if transition else []
    return episode, told


def fires(item: Spike) -> bool:
    return bool(lived(item)[1])


def test_a_surge_fires() -> None:
    episode, told = lived(surge(0))
    assert [(item.status, item.reason, item.sequence) for item in told] == [("firing", "threshold_passed", 1)]
    assert episode is not None
    assert (told[0].alert_id, told[0].started_at, told[0].spike) == (episode.alert_id, at(0), surge(0))


def test_a_score_below_theta_does_not_fire() -> None:
    assert not fires(surge(0, score=THETA - 0.01))
    assert fires(surge(0, score=THETA))


@pytest.mark.parametrize("breadth", [{"stories": 1}, {"stories": 2}, {"stories": 30, "publishers": 1, "authors": 1}])
def test_narrow_evidence_does_not_fire(breadth: dict[str, int]) -> None:
    assert not fires(surge(0, score=20.0, **breadth))


def test_it_is_told_again_only_when_the_score_grew_by_a_step() -> None:
    _, told = lived(surge(0, score=4.5), surge(1, score=5.4), surge(2, score=7.4, stories=4, negative=8, total=9), surge(3, score=7.5, stories=4, negative=8, total=9))
    assert [(item.status, item.reason, item.spike.score) for item in told] == [("firing", "threshold_passed", 4.5), ("updated", "score_grew", 7.5)]
    assert [item.sequence for item in told] == [1, 2]


def test_it_is_told_again_when_it_grew_worse_and_severity_never_falls() -> None:
    _, told = lived(surge(0, score=4.5), surge(1, score=6.1), surge(2, score=4.5), surge(3, score=6.1))
    assert [(item.severity, item.reason) for item in told] == [("warning", "threshold_passed"), ("high", "severity_rose")]


def test_a_lasting_surge_is_high() -> None:
    _, told = lived(*[surge(minute, score=4.5) for minute in range(0, 181, 30)])
    assert [(item.severity, item.at) for item in told] == [("warning", at(0)), ("high", at(180))]


def test_severity_needs_score_and_breadth() -> None:
    none = timedelta()
    assert severity_of(surge(0, stories=4), RULES, over=46, lasted=none) == Severity.WARNING
    assert severity_of(surge(0, stories=5), RULES, over=46, lasted=none) == Severity.HIGH
    assert severity_of(surge(0, stories=10), RULES, over=46, lasted=none) == Severity.CRITICAL
    assert severity_of(surge(0, stories=10), RULES, over=0, lasted=none) == Severity.WARNING
    assert severity_of(surge(0, stories=0), RULES, over=46, lasted=none) == Severity.CRITICAL


def test_it_resolves_after_an_hour_of_calm_with_the_numbers_of_its_height() -> None:
    height = surge(5, score=5.0)
    episode, told = lived(surge(0, score=4.5), height, surge(10, score=2.0), until=70)
    assert [(item.status, item.reason, item.spike) for item in told][-1] == ("resolved", "calm_again", height)
    assert told[-1].at == at(70)
    assert episode is not None
    assert episode.ended_at == at(70)


def test_a_break_in_the_calm_begins_the_hour_anew() -> None:
    warm = THETA - RULES.resolve_margin
    _, told = lived(surge(0), surge(59, score=warm), until=118)
    assert [item.status for item in told] == ["firing"]
    _, told = lived(surge(0), surge(59, score=warm - 0.01), until=60)
    assert [item.status for item in told] == ["firing", "resolved"]


def test_an_alert_lasts_while_the_level_stands_out_but_the_level_never_fires() -> None:
    high = surge(59, score=0.0, level=THETA)
    assert not fires(high)
    _, told = lived(surge(0), high, until=118)
    assert [item.status for item in told] == ["firing"]
    _, told = lived(surge(0), high, until=119)
    assert [item.status for item in told] == ["firing", "resolved"]


def test_it_fires_again_only_when_armed() -> None:
    episode, _ = lived(surge(0), until=60)
    episode, told = step(episode, surge(359), at=at(359), rules=RULES)
    assert told is None
    _, told = step(episode, surge(360), at=at(360), rules=RULES)
    assert told is not None
    assert told.sequence == 1


def test_what_is_worse_than_the_last_alert_by_a_step_need_not_wait() -> None:
    last, before = lived(surge(0, score=4.5), surge(1, score=5.4), until=120)
    assert last is not None
    strong = before[0].spike.score + RULES.update_step
    assert step(last, surge(121, score=strong - 0.01), at=at(121), rules=RULES) == (last, None)
    assert step(last, surge(121, score=20.0, stories=1), at=at(121), rules=RULES) == (last, None)
    episode, told = step(last, surge(121, score=strong), at=at(121), rules=RULES)
    assert told is not None
    assert (told.status, told.sequence, told.started_at) == ("firing", 1, at(121))
    assert told.alert_id != last.alert_id
    again, _ = step(episode, None, at=at(200), rules=RULES)
    for minutes in (121 + 359, 121 + 360):
        _, later = step(again, surge(minutes), at=at(minutes), rules=RULES)
        assert (later is not None) == (minutes == 121 + 360)
    assert later is not None
    assert later.alert_id not in {told.alert_id, last.alert_id}


def test_a_finished_episode_is_forgotten_once_no_day_holds_it() -> None:
    episode, _ = lived(surge(0), until=60)
    assert step(episode, None, at=at(1499), rules=RULES)[0] == episode
    assert step(episode, None, at=at(1500), rules=RULES)[0] is None


def test_a_day_that_held_an_alert_is_no_news() -> None:
    episode, _ = lived(surge(0), until=60)
    for minute, told in ((1499, False), (1500, True)):
        _, transition = step(episode, surge(minute, width_s=86400, scan=Scan.DAY), at=at(minute), rules=RULES)
        assert (transition is not None) == told


def test_a_surge_that_another_scan_sees_keeps_an_alert_on_but_its_warmth_does_not() -> None:
    counted = {"scan": Scan.COUNT, "dispersion": 0.2, "expected_negative": 9.0}
    _, told = lived(surge(0), surge(59, **counted), until=118)
    assert [item.status for item in told] == ["firing"]
    _, told = lived(surge(0), surge(59, **(counted | {"score": THETA - 0.1})), until=60)
    assert [item.status for item in told] == ["firing", "resolved"]


def test_a_surge_that_is_likely_to_be_by_chance_begins_nothing_but_keeps_on() -> None:
    assert not fires(surge(0, held=True))
    _, told = lived(surge(0), surge(59, held=True), until=118)
    assert [item.status for item in told] == ["firing"]


def test_alerts_that_begin_a_re_arm_period_apart_have_other_ids() -> None:
    for seconds in range(0, 6 * 3600, 17):
        first = MONDAY + timedelta(seconds=seconds)
        assert bucket_of(first + RULES.rearm, RULES, last=None) == bucket_of(first, RULES, last=None) + 1


def test_the_open_minute_and_the_closed_one_agree_on_the_id() -> None:
    closed = MONDAY + timedelta(hours=6)
    before, _ = lived(surge(60), until=120)
    for last in (None, before):
        assert bucket_of(closed - timedelta(seconds=25), RULES, last=last) == bucket_of(closed, RULES, last=last)


def test_of_several_windows_the_corroborated_one_counts() -> None:
    chain = surge(0, width_s=900, score=9.0, negative=40, total=42, stories=1)
    hour = surge(0, score=4.5)
    assert most_telling([chain, hour], RULES) == hour
    assert most_telling([hour, surge(0, width_s=10800, score=4.8)], RULES).width_s == 10800


def test_where_none_surges_the_scan_of_the_alert_counts() -> None:
    episode, _ = lived(surge(0))
    own, other = surge(5, score=2.8), surge(5, score=3.9, scan=Scan.COUNT)
    assert most_telling([own, other], RULES, episode=episode) == own
    assert most_telling([own, other], RULES) == other


def test_an_episode_survives_json() -> None:
    episode, _ = lived(surge(0), until=60)
    assert msgspec.json.decode(msgspec.json.encode(episode), type=Episode) == episode
