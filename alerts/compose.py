"""What people read: an alert made of numbers and stored documents only. No text is invented."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import log2

import msgspec

from alerts.lifecycle import Transition
from opinion.codec import encode
from opinion.records import Alert, AlertEvidence, AlertLinks, AlertStatus, AlertWindow, Lane, Spike, TransitionReason, Trend

MOST_EVIDENCE = 5
"""Documents shown: enough to judge by, few enough for a chat window."""
MOST_BYTES = 19_500
"""A webhook body stays under 20 kB; 500 bytes are left for its envelope."""
MOST_NAME_CHARS = 120
MOST_URL_CHARS = 1_000
"""A longer address is left out rather than cut: half an address leads nowhere."""
TITLE_CHARS = (160, 80, 40)
"""Lengths that titles are cut to, in this order, while an alert is too large."""

_VERBS: dict[AlertStatus | TransitionReason, tuple[str, str]] = {
    AlertStatus.FIRING: ("surged", "激增"),
    AlertStatus.UPDATED: ("surged further", "进一步升高"),
    TransitionReason.FEW_VOICES: ("stands out, but few voices tell it so far", "异常，但目前声源过少"),
    TransitionReason.MAY_BE_CHANCE: ("stands out, but may do so by chance", "异常，但可能出于偶然"),
    TransitionReason.LAPSED: ("stood out and came to nothing", "曾现异常，未形成声势"),
}


def compose(transition: Transition, *, name: str, evidence: Sequence[AlertEvidence], trend: Trend | None, links: AlertLinks, rules_version: str) -> Alert:
    """The whole alert behind a transition, small enough for a webhook. `name` is what people call the subject."""
    spike, resolved = transition.spike, transition.status == AlertStatus.RESOLVED
    name = name[:MOST_NAME_CHARS]
    alert = Alert(
        alert_id=transition.alert_id,
        sequence=transition.sequence,
        subject=transition.subject,
        subject_name=name,
        severity=transition.severity,
        status=transition.status,
        reason=transition.reason,
        lane=transition.lane,
        started_at=transition.started_at,
        updated_at=transition.at,
        ended_at=transition.at if resolved else None,
        window=window_of(spike),
        trend=trend,
        summary=summary_en(name, transition),
        summary_zh=summary_zh(name, transition),
        evidence=list(evidence),
        links=links,
        rules_version=rules_version,
    )
    return fit(alert)


def window_of(spike: Spike) -> AlertWindow:
    """The numbers of a spike as an alert shows them."""
    shared = {key: getattr(spike, key) for key in AlertWindow.__struct_fields__ if key != "start_at"}
    return AlertWindow(start_at=spike.at - timedelta(seconds=spike.width_s), **shared)


def summary_en(name: str, transition: Transition) -> str:
    """One English sentence made of the numbers; of a finished alert, those of its height."""
    spike = transition.spike
    counted, numbers = _numbers_en(spike)
    told = [_many(spike.publishers, "publisher")] if spike.publishers else []
    stories = _many(spike.stories, "story", "stories")
    breadth = f", told by {' in '.join([*told, stories])}" if told and spike.stories else f", in {stories}" if spike.stories else ""
    if _said(transition) == AlertStatus.RESOLVED:
        calmed = f"Negative opinion on {name} has calmed after {_span(transition.at - transition.started_at)}"
        return f"{calmed}: at its height ({_moment(spike.at)}), {counted} in {_span_s(spike.width_s)} {numbers}{breadth}."
    return f"Negative opinion on {name} {_VERBS[_said(transition)][0]}: {counted} in the last {_span_s(spike.width_s)} {numbers}{breadth}."


def summary_zh(name: str, transition: Transition) -> str:
    """The same sentence in Chinese."""
    spike = transition.spike
    counted = _numbers_zh(spike)
    told = [f"{spike.publishers}家发布方"] if spike.publishers else []
    told += [f"{spike.stories}个独立报道"] if spike.stories else []
    breadth = f"，涉及{'、'.join(told)}" if told else ""
    width = _span_zh(timedelta(seconds=spike.width_s))
    if _said(transition) == AlertStatus.RESOLVED:
        return f"{name}的负面舆情历时{_span_zh(transition.at - transition.started_at)}后已平息：高峰时（{_moment(spike.at)}）{width}内的{counted}{breadth}。"
    return f"{name}的负面舆情{_VERBS[_said(transition)][1]}：最近{width}的{counted}{breadth}。"


def _said(transition: Transition) -> AlertStatus | TransitionReason:
    """What a sentence is chosen by: the status, or why nobody is told yet."""
    return transition.status if transition.sequence else transition.reason


def _numbers_en(spike: Spike) -> tuple[str, str]:
    """What was counted, and what of it is unusual: the share of negatives, or their number."""
    if spike.lane == Lane.COUNT:
        return _many(spike.negative, "negative text"), f"stand against a usual {spike.expected_negative:.1f} ({spike.lift:.1f}x)"
    clear = f", {spike.clear} of them clearly (usual {spike.expected_clear:.1f})" if spike.led_by_clear else ""
    usual = f"usual of all subjects {spike.baseline_ratio:.0%}, this one is new" if spike.new else f"usual {spike.baseline_ratio:.0%}"
    return f"{spike.negative} of {_many(spike.total, 'text')}", f"were negative ({spike.ratio:.0%}, {usual}, {spike.lift:.1f}x){clear}"


def _numbers_zh(spike: Spike) -> str:
    if spike.lane == Lane.COUNT:
        return f"{spike.negative}条负面文本（平时约{spike.expected_negative:.1f}条，为平时的{spike.lift:.1f}倍）"
    clear = f"，其中{spike.clear}条明确为负面（平时约{spike.expected_clear:.1f}条）" if spike.led_by_clear else ""
    usual = f"全体对象平时{spike.baseline_ratio:.0%}，该对象尚新" if spike.new else f"平时{spike.baseline_ratio:.0%}"
    return f"{spike.total}条文本中有{spike.negative}条为负面（占{spike.ratio:.0%}，{usual}，为平时的{spike.lift:.1f}倍）{clear}"


def choose_evidence(candidates: Sequence[AlertEvidence], *, most: int = MOST_EVIDENCE) -> list[AlertEvidence]:
    """The documents to show, most telling first: one per story, other publishers before more of the same, both languages where both were told.

    A document tells by how sure its negativity is and by how widely its story was told.
    """
    stories: dict[str, AlertEvidence] = {}
    for item in candidates:
        known = stories.get(item.story_id or item.doc_id)
        if known is None or (-item.negative, item.doc_id) < (-known.negative, known.doc_id):
            stories[item.story_id or item.doc_id] = item
    ranked = sorted(stories.values(), key=lambda item: (-item.negative * log2(1 + item.story_size), item.doc_id))
    heard: set[str] = set()
    fresh = [item for item in ranked if item.publisher not in heard and not heard.add(item.publisher)]  # type: ignore[func-returns-value]
    ordered = fresh + [item for item in ranked if item not in fresh]
    chosen = ordered[:most]
    missing = {_is_chinese(item) for item in ordered} - {_is_chinese(item) for item in chosen}
    if missing and most > 1:
        chosen[-1] = next(item for item in ordered if _is_chinese(item) in missing)
    return sorted(chosen, key=ranked.index)


def fit(alert: Alert) -> Alert:
    """The alert, cut to what a webhook may carry: long addresses go first, then title ends and reasons, then the last documents."""
    replace = msgspec.structs.replace
    evidence = [item if len(item.url or "") <= MOST_URL_CHARS else replace(item, url=None) for item in alert.evidence]
    alert = replace(alert, evidence=evidence)
    for chars in TITLE_CHARS:
        if len(encode(alert)) <= MOST_BYTES:
            return alert
        alert = replace(alert, evidence=[replace(item, title=item.title[:chars], why=[]) for item in alert.evidence])
    while len(encode(alert)) > MOST_BYTES and alert.evidence:
        alert = replace(alert, evidence=alert.evidence[:-1])
    return alert


def _is_chinese(item: AlertEvidence) -> bool:
    return item.lang.startswith("zh")


def _many(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _span_s(seconds: int) -> str:
    return _span(timedelta(seconds=seconds))


def _span(length: timedelta) -> str:
    """A length of time as people say it: minutes up to ninety, then hours.

    >>> _span(timedelta(hours=1)), _span(timedelta(minutes=190)), _span(timedelta(hours=3))
    ('60 min', '3 h 10 min', '3 h')
    """
    minutes = round(length.total_seconds() / 60)
    if minutes <= 90:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def _span_zh(length: timedelta) -> str:
    minutes = round(length.total_seconds() / 60)
    if minutes <= 90:
        return f"{minutes}分钟"
    return f"{minutes // 60}小时" + (f"{minutes % 60}分钟" if minutes % 60 else "")
