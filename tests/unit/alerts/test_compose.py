from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from alerts.compose import MOST_BYTES, choose_evidence, compose, fit
from alerts.lifecycle import Transition
from opinion.codec import encode
from opinion.records import Alert, AlertEvidence, AlertLinks, AlertStatus, Lane, Scan, Severity, TransitionReason, Trend
from tests.support.surges import COMPANY, MONDAY, spike

LINKS = AlertLinks(console="http://127.0.0.1:8600/alerts/al_1", api="http://127.0.0.1:8600/api/v1/alerts/al_1")


def transition(status: AlertStatus = AlertStatus.FIRING, **changes: Any) -> Transition:
    at = MONDAY + timedelta(minutes=190 if status == AlertStatus.RESOLVED else 0)
    return Transition(
        subject=COMPANY,
        alert_id="al_1",
        sequence=1,
        status=status,
        reason=TransitionReason.THRESHOLD_PASSED,
        severity=Severity.HIGH,
        lane=Lane.SHARE,
        started_at=MONDAY,
        at=at,
        spike=spike(**changes),
    )


def composed(status: AlertStatus = AlertStatus.FIRING, *, evidence: list[AlertEvidence] | None = None, name: str = "Lanhu Foods", **changes: Any) -> Alert:
    trend = Trend(slope_per_hour=0.2, slope_low=0.1, slope_high=0.3)
    return compose(transition(status, **changes), name=name, evidence=evidence or [], trend=trend, links=LINKS, rules_version="r1")


def item(number: int, **changes: Any) -> AlertEvidence:
    fields: dict[str, Any] = {
        "doc_id": f"feed:{number}",
        "title": f"Headline {number}",
        "url": f"https://news.example/{number}",
        "publisher": f"p{number}.example",
        "published_at": MONDAY,
        "lang": "en",
        "negative": 0.9,
        "story_size": 1,
        "story_id": f"st_{number}",
    }
    return AlertEvidence(**(fields | changes))


def test_the_summary_is_one_sentence_of_the_numbers() -> None:
    assert composed().summary == (
        "Negative opinion on Lanhu Foods surged: 41 of 58 texts in the last 60 min were negative (71%, usual 22%, 3.2x), told by 14 publishers in 19 stories."
    )
    assert composed(name="蓝湖食品").summary_zh == "蓝湖食品的负面舆情激增：最近60分钟的58条文本中有41条为负面（占71%，平时22%，为平时的3.2倍），涉及14家发布方、19个独立报道。"


def test_the_summary_tells_of_clear_negatives_where_they_stand_out_more() -> None:
    led = composed(clear=30, expected_clear=2.04)
    assert "were negative (71%, usual 22%, 3.2x), 30 of them clearly (usual 2.0), told by" in led.summary
    assert "为平时的3.2倍），其中30条明确为负面（平时约2.0条），涉及" in led.summary_zh
    assert (led.window.clear, led.window.expected_clear) == (30, 2.04)
    assert "clearly" not in composed(clear=12, expected_clear=9.0).summary


def test_the_summary_of_a_new_subject_says_what_it_is_held_against() -> None:
    assert "(71%, usual of all subjects 22%, this one is new, 3.2x)" in composed(new=True).summary
    assert "（占71%，全体对象平时22%，该对象尚新，为平时的3.2倍）" in composed(new=True).summary_zh


def test_the_summary_of_a_count_names_numbers() -> None:
    counted: dict[str, Any] = {"scan": Scan.COUNT, "expected_negative": 12.76, "lift": 3.2, "dispersion": 0.2}
    assert composed(**counted).summary == (
        "Negative opinion on Lanhu Foods surged: 41 negative texts in the last 60 min stand against a usual 12.8 (3.2x), told by 14 publishers in 19 stories."
    )
    assert composed(**counted).summary_zh == "Lanhu Foods的负面舆情激增：最近60分钟的41条负面文本（平时约12.8条，为平时的3.2倍），涉及14家发布方、19个独立报道。"


def test_the_threshold_stands_beside_the_score() -> None:
    assert composed(theta=3.71).window.theta == 3.71


def test_the_summary_of_an_update_says_that_it_went_on() -> None:
    alert = composed(AlertStatus.UPDATED)
    assert alert.summary.startswith("Negative opinion on Lanhu Foods surged further: 41 of 58")
    assert "进一步升高" in alert.summary_zh


def test_the_summary_of_a_resolution_says_how_it_was_at_its_height() -> None:
    alert = composed(AlertStatus.RESOLVED)
    assert alert.summary.startswith("Negative opinion on Lanhu Foods has calmed after 3 h 10 min: at its height (2026-11-16 00:00 UTC), 41 of 58 texts in 60 min were negative")
    assert "历时3小时10分钟后已平息" in alert.summary_zh
    assert "last" not in alert.summary
    assert alert.ended_at == alert.updated_at == MONDAY + timedelta(minutes=190)


def test_what_was_not_counted_is_not_said() -> None:
    assert composed(stories=0, publishers=0).summary.endswith("3.2x).")
    assert composed(stories=4, publishers=0).summary.endswith("3.2x), in 4 stories.")
    assert composed(stories=4, publishers=1).summary.endswith("told by 1 publisher in 4 stories.")


def test_the_window_is_that_of_the_spike() -> None:
    window = composed().window
    assert window.start_at == MONDAY - timedelta(hours=1)
    assert (window.total, window.negative, window.stories) == (58, 41, 19)
    assert composed().ended_at is None


def test_a_story_is_shown_once_by_its_most_negative_telling() -> None:
    chosen = choose_evidence([item(1, story_id="s"), item(2, story_id="s", negative=0.95), item(3)])
    assert [shown.doc_id for shown in chosen] == ["feed:2", "feed:3"]


def test_widely_told_stories_come_first() -> None:
    assert [shown.doc_id for shown in choose_evidence([item(1), item(2, story_size=9), item(3, negative=0.99)])] == ["feed:2", "feed:3", "feed:1"]


def test_other_publishers_come_before_more_of_the_same() -> None:
    house = [item(number, publisher="house", negative=0.99) for number in range(1, 6)]
    chosen = choose_evidence([*house, item(8, negative=0.6), item(9, negative=0.6)], most=3)
    assert [shown.doc_id for shown in chosen] == ["feed:1", "feed:8", "feed:9"]
    assert len(choose_evidence(house)) == 5


def test_both_languages_are_shown_where_both_were_told() -> None:
    english = [item(number, negative=0.99) for number in range(9)]
    chosen = choose_evidence([*english, item(20, lang="zh-Hans", negative=0.6)])
    assert [shown.lang for shown in chosen].count("zh-Hans") == 1
    assert len(chosen) == 5


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    candidates = [item(number, negative=0.9 - number % 3 / 10, story_size=1 + number % 4, publisher=f"p{number % 5}", story_id=f"s{number % 11}") for number in range(30)]
    assert choose_evidence(candidates) == choose_evidence(candidates[::-1])


def test_no_candidates_give_no_evidence() -> None:
    assert choose_evidence([]) == []


def test_the_largest_alert_fits_a_webhook() -> None:
    huge = [item(n, title="跌" * 3000, url="https://e.example/" + "x" * 990, why=["大" * 50] * 40) for n in range(12)]
    alert = composed(evidence=huge, name="名" * 5000)
    assert len(encode(alert)) <= MOST_BYTES
    assert len(alert.evidence) >= 5


def test_what_fits_is_left_as_it_is() -> None:
    alert = composed(evidence=[item(1), item(2)])
    assert fit(alert) == alert


def test_a_cut_address_is_left_out_whole() -> None:
    assert composed(evidence=[item(1, url="https://e.example/" + "x" * 5000)]).evidence[0].url is None


def test_documents_that_cannot_be_shortened_are_dropped_from_the_end() -> None:
    stubborn = [item(n, publisher="p" * 6000) for n in range(4)]
    alert = fit(msgspec.structs.replace(composed(), evidence=stubborn))
    assert alert.evidence == stubborn[: len(alert.evidence)]
    assert len(encode(alert)) <= MOST_BYTES
