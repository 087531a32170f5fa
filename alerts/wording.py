"""What people are told, in the words and the language of their subscription: titles, figures, evidence. Made of an alert's fields only."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from alerts.notify.groups import Notice, NoticeReason
from alerts.subscriptions import Subscription
from opinion.records import Alert, AlertEvidence, AlertStatus, AlertWindow, Lane, Severity, TransitionReason

Language = Literal["en", "zh"]

MOST_NAMED = 3
"""Subjects that the title of several alerts names."""
ON_SCREEN = "\u200d\u200c\ufe0f"
"""Format characters that stay: they join emoji and letters, and turn no text around."""

SEVERITIES: dict[Language, dict[Severity, str]] = {
    "en": {Severity.WARNING: "WARNING", Severity.HIGH: "HIGH", Severity.CRITICAL: "CRITICAL"},
    "zh": {Severity.WARNING: "预警", Severity.HIGH: "高风险", Severity.CRITICAL: "严重"},
}
OVER: dict[Language, str] = {"en": "OVER", "zh": "已平息"}
TEST_TITLE: dict[Language, str] = {"en": "Test message", "zh": "测试消息"}
DISABLED_TITLE: dict[Language, str] = {"en": "A receiver is told no more", "zh": "一个接收端已停用"}

_TEST: dict[Language, str] = {"en": "This is a test. Nothing has happened.", "zh": "这是一条测试消息，没有发生任何事件。"}
_STILL: dict[Language, str] = {"en": "negative opinion is still high", "zh": "负面舆情仍处高位"}
_STILL_LOST: dict[Language, str] = {"en": "still no documents come in", "zh": "信息仍然中断"}
_RANK = list(Severity)
_WHAT: dict[Language, dict[TransitionReason, str]] = {
    "en": {
        TransitionReason.THRESHOLD_PASSED: "negative opinion surged",
        TransitionReason.SCORE_GREW: "negative opinion surged further",
        TransitionReason.SEVERITY_ROSE: "negative opinion grew more severe",
        TransitionReason.CALM_AGAIN: "negative opinion has calmed",
        TransitionReason.SOURCE_LOST: "no documents come in",
        TransitionReason.SOURCE_BACK: "documents come in again",
        TransitionReason.ACKNOWLEDGED: "acknowledged",
        TransitionReason.ASSIGNED: "assigned",
        TransitionReason.NOTED: "a note was added",
        TransitionReason.MUTED: "muted",
        TransitionReason.UNMUTED: "no longer muted",
    },
    "zh": {
        TransitionReason.THRESHOLD_PASSED: "负面舆情激增",
        TransitionReason.SCORE_GREW: "负面舆情进一步升高",
        TransitionReason.SEVERITY_ROSE: "负面舆情风险等级上升",
        TransitionReason.CALM_AGAIN: "负面舆情已平息",
        TransitionReason.SOURCE_LOST: "信息中断",
        TransitionReason.SOURCE_BACK: "信息已恢复",
        TransitionReason.ACKNOWLEDGED: "已确认",
        TransitionReason.ASSIGNED: "已指派",
        TransitionReason.NOTED: "有新备注",
        TransitionReason.MUTED: "已静音",
        TransitionReason.UNMUTED: "已取消静音",
    },
}


def plain(text: str, *, most: int = 300) -> str:
    r"""The text on one line of at most so many characters, without what could break a line, hide, or turn the text around it.

    >>> plain("a\nb\u202e c"), plain("longer", most=4)
    ('a b c', 'lon…')
    """
    kept = "".join(" " if character.isspace() or unicodedata.category(character) in {"Cc", "Zl", "Zp"} else character for character in text if _visible(character))
    line = " ".join(kept.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _visible(character: str) -> bool:
    category = unicodedata.category(character)
    return category not in {"Cs", "Co"} and (category != "Cf" or character in ON_SCREEN)


def languages_of(subscription: Subscription) -> tuple[Language, ...]:
    """The languages that a subscription is told in."""
    return ("en", "zh") if subscription.language == "both" else (subscription.language,)


def title_of(notice: Notice, subscription: Subscription) -> str:
    """What a message is about, on one line: `[HIGH] Huasui Dairy: negative opinion surged`."""
    languages = languages_of(subscription)
    if not notice.alerts:
        titles, name = (TEST_TITLE, subscription.name) if notice.reason is NoticeReason.TEST else (DISABLED_TITLE, notice.labels.get("subscription", ""))
        return colon(languages).join(filter(None, [" · ".join(titles[language] for language in languages), plain(name, most=80)]))
    tag = " · ".join(_tag(notice.alerts, language) for language in languages)
    return f"[{tag}] {_several(notice, languages) if len(notice.alerts) > 1 else _one(notice, languages)}"


def announcement_of(notice: Notice, languages: Iterable[Language]) -> list[str]:
    """What there is to say where there are no alerts: of a test that it is one, of another receiver's end why."""
    if notice.reason is NoticeReason.TEST:
        return [_TEST[language] for language in languages]
    return [plain(notice.summary, most=1000)] if notice.summary else []


def title_of_alert(alert: Alert, subscription: Subscription) -> str:
    """The same of one alert among several."""
    languages = languages_of(subscription)
    tag = " · ".join(_tag([alert], language) for language in languages)
    return f"[{tag}] {plain(alert.subject_name)}{colon(languages)}{' · '.join(_WHAT[language][alert.reason] for language in languages)}"


def colon(languages: Sequence[Language]) -> str:
    """What stands between a name and what is said of it."""
    return "：" if languages == ("zh",) else ": "


def _tag(alerts: Sequence[Alert], language: Language) -> str:
    on = [alert.severity for alert in alerts if alert.status != AlertStatus.RESOLVED]
    return SEVERITIES[language][max(on, key=_RANK.index)] if on else OVER[language]


def _one(notice: Notice, languages: Sequence[Language]) -> str:
    (alert,) = notice.alerts
    words = {language: _WHAT[language][alert.reason] for language in languages}
    if notice.reason is NoticeReason.REPEAT:
        words = _STILL_LOST if alert.lane is Lane.SOURCE else _STILL
    return f"{plain(alert.subject_name)}{colon(languages)}{' · '.join(words[language] for language in languages)}"


def _several(notice: Notice, languages: Sequence[Language]) -> str:
    names = list(dict.fromkeys(plain(alert.subject_name, most=40) for alert in notice.alerts))
    on = sum(alert.status != AlertStatus.RESOLVED for alert in notice.alerts)
    over = len(notice.alerts) - on
    quiet = notice.reason is NoticeReason.DIGEST
    told: dict[Language, str] = {
        "en": ", ".join([*([f"{on} on"] if on else []), *([f"{over} over"] if over else [])]) + (" after quiet hours" if quiet else ""),
        "zh": "、".join([*([f"{on}条进行中"] if on else []), *([f"{over}条已平息"] if over else [])]) + ("（免打扰时段汇总）" if quiet else ""),
    }
    more = f" +{len(names) - MOST_NAMED}" if len(names) > MOST_NAMED else ""
    return f"{' · '.join(told[language] for language in languages)}{colon(languages)}{', '.join(names[:MOST_NAMED])}{more}"


def sentences_of(alert: Alert, languages: Iterable[Language]) -> list[str]:
    """The alert's sentence in each language; where it has none in Chinese, as alerts of earlier versions, the English one."""
    said = [plain(alert.summary_zh or alert.summary if language == "zh" else alert.summary, most=1000) for language in languages]
    return list(dict.fromkeys(said))


def figures_of(alert: Alert, language: Language) -> list[tuple[str, str]]:
    """What the alert stands on, name and value; the numbers of its height where it is over."""
    window, english = alert.window, language == "en"
    rows: list[tuple[str, str]] = []
    if alert.lane is not Lane.SOURCE:
        rows.append(("Negative" if english else "负面", _negative(window, alert.lane, english=english)))
        rows.append(("Window" if english else "窗口", _window(window, english=english)))
        rows.append(("Score" if english else "显著性", _score(window, english=english)))
    if alert.trend is not None:
        slope, low, high = (100 * value for value in (alert.trend.slope_per_hour, alert.trend.slope_low, alert.trend.slope_high))
        rows.append(("Trend", f"{slope:+.1f} points/h ({low:+.1f} to {high:+.1f})") if english else ("趋势", f"每小时{slope:+.1f}个百分点（{low:+.1f}至{high:+.1f}）"))
    if alert.priority is not None:
        rows.append(("Priority" if english else "优先级", f"{alert.priority:.0%}" + (f" ({plain('; '.join(alert.priority_why))})" if alert.priority_why else "")))
    rows.append(("Since" if english else "始于", moment(alert.started_at)))
    if alert.ended_at is not None:
        rows.append(("Until" if english else "止于", moment(alert.ended_at)))
    if alert.acknowledged_by:
        rows.append(("Acknowledged by" if english else "确认人", plain(alert.acknowledged_by, most=80)))
    if alert.assigned_to:
        rows.append(("Assigned to" if english else "负责人", plain(alert.assigned_to, most=80)))
    if alert.notes:
        note = alert.notes[-1]
        rows.append(("Note" if english else "备注", f"{plain(note.text)} ({plain(note.by, most=80)})"))
    return rows


def moment(at: datetime) -> str:
    """An instant as people read it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _negative(window: AlertWindow, lane: Lane, *, english: bool) -> str:
    if lane is Lane.COUNT:
        usual = f"{window.expected_negative:.1f}"
        return f"{window.negative} (usual {usual}, {window.lift:.1f}x)" if english else f"{window.negative}条（平时{usual}条，{window.lift:.1f}倍）"
    shares = f"{window.ratio:.0%}", f"{window.baseline_ratio:.0%}"
    clear = f"{window.expected_clear:.1f}" if window.led_by_clear else ""
    if english:
        return f"{window.negative} of {window.total} ({shares[0]}, usual {shares[1]}, {window.lift:.1f}x)" + (f"; {window.clear} clearly (usual {clear})" if clear else "")
    told = f"；{window.clear}条明确为负面（平时约{clear}条）" if clear else ""
    return f"{window.total}条中{window.negative}条（{shares[0]}，平时{shares[1]}，{window.lift:.1f}倍）{told}"


def _window(window: AlertWindow, *, english: bool) -> str:
    minutes = round(window.width_s / 60)
    if english:
        return f"{minutes} min from {moment(window.start_at)}; {window.stories} stories, {window.publishers} publishers, {window.authors} authors"
    return f"自{moment(window.start_at)}起{minutes}分钟；{window.stories}个报道、{window.publishers}家发布方、{window.authors}位作者"


def _score(window: AlertWindow, *, english: bool) -> str:
    threshold = (f", fires at {window.theta:.1f}" if english else f"，阈值{window.theta:.1f}") if window.theta else ""
    return f"{window.score:.1f} (p = {window.p_value:.1e}{threshold})"


def source_of(item: AlertEvidence, language: Language) -> str:
    """Who published a document, when, and how widely its story was told."""
    parts = [plain(item.publisher, most=80)] if item.publisher else []
    parts += [moment(item.published_at)] if item.published_at else []
    if item.story_size > 1:
        parts.append(f"told {item.story_size} times" if language == "en" else f"{item.story_size}次报道")
    return ", ".join(parts)


def link_of(url: str | None) -> str:
    """The address, where it is one that may be put before people: http or https, on one line; else nothing."""
    known = url is not None and url.startswith(("http://", "https://")) and all(_visible(character) and not character.isspace() for character in url)
    return url if known and url is not None and url.isprintable() else ""
