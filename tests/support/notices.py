"""Notices as channels get them, of every reason; with texts that try to be more than text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from alerts.notify.groups import Notice, NoticeReason
from opinion.records import Alert, AlertEvidence, AlertLinks, AlertStatus, Lane, Severity, TransitionReason, Trend
from tests.support.records import NOON, alert

SUMMARY = "Negative opinion on Huasui Dairy surged: 41 of 58 texts in the last 60 min were negative (71%, usual 22%, 3.2x), told by 14 publishers in 19 stories."
SUMMARY_ZH = "Huasui Dairy的负面舆情激增：最近60分钟的58条文本中有41条为负面（占71%，平时22%，为平时的3.2倍），涉及14家发布方、19个独立报道。"

HOSTILE = (
    "<script>alert(1)</script> <b>bold</b> & \"quoted\" 'too'",
    "a line\r\nBcc: everyone@desk.example\r\n\r\nand a body",
    "@everyone <!channel> <@U123> [press](https://evil.example) ![x](https://evil.example/x.png) *a* _b_ `c` # d",
    "turned \u202eback\u2066wards\u200b and \x00\x1b[31mred\x07",
    "هبوط حاد في أسهم الشركة בורסה",
    "😱🏴‍☠️👨‍👩‍👧‍👦 𝕏 crashes",
    "华穗乳业召回婴幼儿配方奶粉" * 40,
    "{{ 7 * 7 }} ${HOME} %(x)s {title}",
)
"""Titles that could break a line, a header or a markup, call people, hide, or turn the text around them."""


def evidence(number: int, **changes: Any) -> AlertEvidence:
    """Document number N."""
    fields: dict[str, Any] = {
        "doc_id": f"feed:{number}",
        "title": f"Huasui Dairy recalls product {number}",
        "url": f"https://news.example/{number}?a=1&b=2",
        "publisher": "news.example",
        "published_at": NOON - timedelta(minutes=5 * number),
        "lang": "en",
        "negative": 0.9,
        "story_size": 1,
        "story_id": f"st_{number}",
        "kind": "news",
    }
    return AlertEvidence(**(fields | changes))


def whole_alert(sequence: int = 1, **changes: Any) -> Alert:
    """The alert on the dairy with all that an alert can have."""
    fields: dict[str, Any] = {
        "summary": SUMMARY,
        "summary_zh": SUMMARY_ZH,
        "trend": Trend(slope_per_hour=0.12, slope_low=0.05, slope_high=0.19),
        "links": AlertLinks(console="https://yuqing.example/alerts/al_1", api="https://yuqing.example/api/v1/alerts/al_1"),
        "evidence": [evidence(1, story_size=7), evidence(2, title="华穗乳业召回婴幼儿配方奶粉", lang="zh-Hans"), *(evidence(number) for number in (3, 4, 5))],
    }
    return alert(sequence, **(fields | changes))


def ended_alert(sequence: int = 3, **changes: Any) -> Alert:
    """Its end."""
    ended_at = NOON + timedelta(hours=2)
    fields: dict[str, Any] = {
        "status": AlertStatus.RESOLVED,
        "reason": TransitionReason.CALM_AGAIN,
        "updated_at": ended_at,
        "ended_at": ended_at,
        "summary": "Negative opinion on Huasui Dairy has calmed after 2 h.",
        "summary_zh": "Huasui Dairy的负面舆情历时2小时后已平息。",
    }
    return whole_alert(sequence, **(fields | changes))


def many_alerts(count: int, **changes: Any) -> list[Alert]:
    """Alerts on as many companies."""
    return [whole_alert(alert_id=f"al_{number}", subject=f"entity:XDEM:{number:04}", subject_name=f"Company {number}", **changes) for number in range(count)]


def source_alert(sequence: int = 1, *, over: bool = False) -> Alert:
    """The alert on a language of which no source is left, or its end."""
    fields: dict[str, Any] = {"subject": "language:zh", "subject_name": "Chinese", "lane": Lane.SOURCE, "severity": Severity.CRITICAL, "trend": None, "evidence": []}
    if over:
        return ended_alert(sequence, reason=TransitionReason.SOURCE_BACK, summary="No longer blind.", summary_zh="中文信息源已恢复。", **fields)
    return whole_alert(sequence, reason=TransitionReason.SOURCE_LOST, summary="Blind for Chinese.", summary_zh="中文信息源全部中断。", **fields)


def notice(*alerts: Alert, reason: NoticeReason = NoticeReason.FIRST, **changes: Any) -> Notice:
    """A notice of these alerts, a minute after the newest transition."""
    at = max([one.updated_at for one in alerts], default=NOON) + timedelta(minutes=1)
    fields: dict[str, Any] = {"subscription_id": "sub_desk", "labels": {}, "reason": reason, "alerts": list(alerts), "at": at}
    return Notice(**(fields | changes))


TEST = notice(reason=NoticeReason.TEST)
DISABLED = notice(
    reason=NoticeReason.DISABLED,
    labels={"subscription_id": "sub_other", "subscription": "other"},
    summary="The subscription other is told no more: the receiver answered 410.",
)

NOTICES = {
    "first": notice(whole_alert()),
    "updated": notice(whole_alert(2, status=AlertStatus.UPDATED, reason=TransitionReason.SEVERITY_ROSE), reason=NoticeReason.NEW_ALERTS),
    "acknowledged": notice(whole_alert(2, status=AlertStatus.UPDATED, reason=TransitionReason.ACKNOWLEDGED, acknowledged_by="Li Na"), reason=NoticeReason.NEW_ALERTS),
    "repeat": notice(whole_alert(), reason=NoticeReason.REPEAT, repeats=1),
    "resolved": notice(ended_alert(), reason=NoticeReason.ALL_RESOLVED),
    "bare": notice(alert()),
    "hostile": notice(whole_alert(subject_name=HOSTILE[0], evidence=[evidence(number, title=title, publisher=title) for number, title in enumerate(HOSTILE)])),
    "hostile name": notice(whole_alert(subject_name=HOSTILE[1], acknowledged_by=HOSTILE[1], evidence=[evidence(1, url="javascript:alert(1)", title="")])),
    "test": TEST,
    "disabled": DISABLED,
    "blind": notice(source_alert()),
    "seeing": notice(source_alert(2, over=True), reason=NoticeReason.ALL_RESOLVED),
    "ranked": notice(whole_alert(priority=0.82, priority_why=["severity high", HOSTILE[1]], evidence=[evidence(1, why=["recalls", HOSTILE[0]])])),
    "group": notice(*many_alerts(5), ended_alert(alert_id="al_9"), reason=NoticeReason.RESOLVED, labels={"market": "XDEM"}),
    "digest": notice(*many_alerts(3), reason=NoticeReason.DIGEST),
    "crowd": notice(*many_alerts(500), reason=NoticeReason.DIGEST, labels={"market": "XDEM"}),
}
"""One of each sort that a channel that combines may be given."""
