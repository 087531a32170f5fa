from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from opinion.codec import encode
from opinion.errors import ConfigError
from tests.support.recordings import count_line, weeks_of_counts, weeks_of_documents
from tests.support.records import DOUBTFUL, NEGATIVE, NOON, scored
from tests.support.surges import COMPANY, MONDAY_S
from yuqing.planting import DAY_S, LEAST_APART_S, MOST_APART_S, SURGE_S, Plan, Span, Surge, plan_of, planted, strengths_of, usual_at
from yuqing.recorded import COUNTED, Further, Manner, read_recording

DAYS = 60
OTHER = "entity:XDEM:OTHR"
TOPIC = "topic:Macro"
NOON_S = int(NOON.timestamp())
COUNTS = read_recording([*weeks_of_counts(days=DAYS), *weeks_of_counts(days=DAYS, subject=OTHER, seed=2, spoken=True)])


@pytest.mark.parametrize(("words", "expected"), [("3", (3.0,)), ("10, 2.5 ,3,3", (2.5, 3.0, 10.0))])
def test_strengths_rise_and_come_once(words: str, expected: tuple[float, ...]) -> None:
    assert strengths_of(words) == expected


@pytest.mark.parametrize("words", ["", "x", "3,", "1", "0.5", "-3", "nan", "inf", "1001"])
def test_a_strength_that_is_none_is_a_configuration_error(words: str) -> None:
    with pytest.raises(ConfigError, match="--plant"):
        strengths_of(words)


def test_surges_lie_in_the_second_half_days_apart() -> None:
    plan = plan_of(COUNTS, seed=1)
    assert plan.spans == dict.fromkeys(sorted([COMPANY, OTHER]), Span(MONDAY_S + DAYS // 2 * DAY_S, MONDAY_S + DAYS * DAY_S))
    for subject, span in plan.spans.items():
        onsets = [surge.onset_s for surge in plan.surges if surge.subject == subject]
        assert len(onsets) >= 4
        assert span.start_s <= onsets[0] < span.start_s + 2 * DAY_S
        assert onsets[-1] + SURGE_S <= span.end_s
        assert all(LEAST_APART_S <= later - earlier <= MOST_APART_S for earlier, later in pairwise(onsets))
    assert len({surge.onset_s % DAY_S // 3600 for surge in plan.surges}) > 4, "at any hour of the day"


def test_a_seed_gives_the_same_surges_and_another_gives_others() -> None:
    plan = plan_of(COUNTS, seed=7)
    assert plan == plan_of(COUNTS, seed=7) != plan_of(COUNTS, seed=8)
    first, again, stronger = (planted(COUNTS, plan, k=k) for k in (3, 3, 5))
    assert list(first.texts) == list(again.texts) != list(stronger.texts)
    assert first.recording.tracks[COMPANY].counts.tolist() == again.recording.tracks[COMPANY].counts.tolist()


def test_short_and_coarse_records_are_left_out_and_stay_as_they_are() -> None:
    lines = [*weeks_of_counts(days=DAYS), *weeks_of_counts(days=19, subject="short"), *weeks_of_counts(days=DAYS, step_s=7200, subject="coarse")]
    recording = read_recording(lines)
    plan = plan_of(recording, seed=1)
    assert (list(plan.spans), plan.left_out) == ([COMPANY], 2)
    assert planted(recording, plan, k=5).recording.tracks["short"] is recording.tracks["short"]


@pytest.mark.parametrize("lines", [[], weeks_of_counts(days=19), weeks_of_counts(days=DAYS, step_s=7200)])
def test_a_record_with_no_room_is_a_configuration_error(lines: list[bytes]) -> None:
    with pytest.raises(ConfigError, match="twenty days"):
        plan_of(read_recording(lines), seed=1)


def test_a_surge_adds_its_texts_within_three_hours_and_nothing_elsewhere() -> None:
    plan = plan_of(COUNTS, seed=3)
    found = planted(COUNTS, plan, k=5)
    for subject in (COMPANY, OTHER):
        before, after = COUNTS.tracks[subject], found.recording.tracks[subject]
        assert before.starts_s.tolist() == after.starts_s.tolist()
        added = after.counts - before.counts
        assert added[0].tolist() == added[1].tolist()
        inside = np.zeros(len(before.starts_s), bool)
        for surge, texts in zip(plan.surges, found.texts, strict=True):
            if surge.subject == subject:
                touched = (before.starts_s > surge.onset_s - before.pane_s) & (before.starts_s < surge.onset_s + SURGE_S)
                assert added[0][touched].sum() == texts
                inside |= touched
        assert added[0][~inside].sum() == 0
    expected = sum(4 * surge.usual for surge in plan.surges)
    assert abs(sum(found.texts) - expected) < 4 * expected**0.5


def test_planted_texts_speak_for_themselves_where_rows_tell_of_stories() -> None:
    plan = plan_of(COUNTS, seed=3)
    tracks = planted(COUNTS, plan, k=5).recording.tracks
    surge = next(surge for surge in plan.surges if surge.subject == OTHER)
    start_s, end_s = surge.onset_s // 3600 * 3600, surge.onset_s // 3600 * 3600 + 4 * 3600
    panes = (tracks[OTHER].starts_s >= start_s) & (tracks[OTHER].starts_s < end_s)
    negative = tracks[OTHER].counts[1][panes].sum()
    breadth = tracks[OTHER].voices.breadth(start_s, end_s)
    assert (breadth.stories, breadth.authors) == (negative, negative)
    assert tracks[COMPANY].voices.breadth(start_s, end_s).stories == 0, "unknown stays unknown"


def test_what_is_usual_is_the_mean_of_the_same_hours_around() -> None:
    by_hour = [count_line(MONDAY_S + 3600 * hour, total=60, negative=(hour % 24) + (24 if hour // 24 == 5 else 0)) for hour in range(24 * 10)]
    track = read_recording(by_hour).tracks[COMPANY]
    assert usual_at(track, MONDAY_S + 4 * DAY_S + 6 * 3600) == pytest.approx(6 + 7 + 8 + 3 * 24 / 7)
    assert usual_at(track, MONDAY_S + 9 * DAY_S + 6 * 3600) == pytest.approx(6 + 7 + 8), "the record has no days after its last"


def test_further_texts_come_into_rows_that_are_there_and_into_gaps() -> None:
    lines = [count_line(MONDAY_S + 300 * pane, total=3, negative=1, stories=1) for pane in (0, 1, 5)]
    track = read_recording(lines).tracks[COMPANY]
    texts = [Further(MONDAY_S + at_s, f"x{at_s}", COUNTED) for at_s in (301, 599, 600, 1499, 1500)]
    found = track.with_negatives(texts)
    assert [at_s - MONDAY_S for at_s in found.starts_s.tolist()] == [0, 300, 600, 1200, 1500]
    assert found.counts.tolist() == [[3, 5, 1, 1, 4], [1, 3, 1, 1, 2], [0, 0, 0, 0, 0]]
    raised = [count_line(MONDAY_S + 300 * pane, total=n, negative=bad, stories=bad) for pane, n, bad in ((0, 3, 1), (1, 5, 3), (2, 1, 1), (4, 1, 1), (5, 4, 2))]
    voices = read_recording(raised).tracks[COMPANY].voices
    for first, last in ((0, 300), (300, 900), (600, 1500), (0, 1800)):
        assert found.voices.breadth(MONDAY_S + first, MONDAY_S + last) == voices.breadth(MONDAY_S + first, MONDAY_S + last)


def test_further_texts_count_as_documents_of_their_own_do() -> None:
    documents = weeks_of_documents(days=1)
    texts = [Further(NOON_S + 7001 + 50 * n, f"x{n}", Manner(social=n % 2 == 0, authored=n % 3 == 0, clear=n % 4 > 0)) for n in range(20)]
    alike = [
        encode(
            scored(
                7001 + 50 * n,
                sentiment=NEGATIVE if text.manner.clear else DOUBTFUL,
                story=f"x{n}",
                publisher=f"x{n}",
                kind="social" if text.manner.social else "news",
                author_hash=f"x{n}" if text.manner.authored else None,
            )
        )
        for n, text in enumerate(texts)
    ]
    found = read_recording(documents).tracks[TOPIC].with_negatives(texts)
    read = read_recording([*documents, *alike]).tracks[TOPIC]
    assert found.starts_s.tolist() == read.starts_s.tolist()
    assert found.counts.tolist() == read.counts.tolist()
    for first, last in ((0, 7200), (7200, 10_800), (7500, 8000), (0, 86_400)):
        window = NOON_S + first, NOON_S + last
        assert found.voices.breadth(*window) == read.voices.breadth(*window)
        assert found.voices.tellings_of(*window) == read.voices.tellings_of(*window)
    assert sorted(found.voices.manners()) == sorted(read.voices.manners())


def test_documents_are_planted_as_the_subjects_own_are_told() -> None:
    press, posts = weeks_of_documents(days=22), weeks_of_documents(days=22, subjects=("topic:Markets",), kind="social", author_hash="a", publisher="x.example")
    recording = read_recording([*press, *posts])
    plan = plan_of(recording, seed=1)
    tracks = planted(recording, plan, k=100).recording.tracks
    assert set(tracks[TOPIC].voices.manners()) == {Manner(social=False, authored=False, clear=True)}
    assert set(tracks["topic:Markets"].voices.manners()) == {Manner(social=True, authored=True, clear=True)}


def test_subjects_with_few_negative_texts_borrow_and_share_no_story() -> None:
    few = weeks_of_documents(days=22, negative_every=400, subjects=("topic:Few",))
    recording = read_recording([*few, *weeks_of_documents(days=22, kind="social", author_hash="a")])
    surges = [Surge(subject, NOON_S + 15 * DAY_S, 3.0) for subject in ("topic:Few", TOPIC)]
    plan = Plan(surges, dict.fromkeys(("topic:Few", TOPIC), Span(NOON_S + 11 * DAY_S, NOON_S + 22 * DAY_S)), 0, 1)
    tracks = planted(recording, plan, k=20).recording.tracks
    assert Manner(social=True, authored=True, clear=True) in tracks["topic:Few"].voices.manners()
    own, other = (tracks[subject].voices.tellings_of(NOON_S + 15 * DAY_S, NOON_S + 15 * DAY_S + SURGE_S) for subject in ("topic:Few", TOPIC))
    assert len(own) > 30
    assert not {telling for telling in own & other if telling[0].startswith("planted")}
