"""Alerts on what feeds us: a source that fell silent, and a language of which no source is left. Pure.

Calm is never to be taken for blind: who is told of surges is told when there can be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field
from msgspec.structs import replace

from opinion.metrics import WAITING
from opinion.names import alert_id_of
from opinion.records import Alert, AlertLinks, AlertStatus, AlertWindow, Instant, Lane, Severity, TransitionReason

LOST = frozenset({"silent", "broken", "walled", "stale"})
"""States of a source (scrapers/health.py) in which nothing can be expected of it; each was found by two polls in a row."""
MUTE = LOST | {WAITING}
"""With a source that has not answered yet nothing is seen either, though nobody is told that it is lost."""
SPOKEN_WITHIN = timedelta(days=7)
"""A source counts for a language that it told something in within this."""
LAST_FOR = timedelta(minutes=2)
"""A language, or everything, must be lost for so long: a restart of all scrapers is no blindness."""
LANGUAGES = {"en": ("English", "英文"), "zh": ("Chinese", "中文")}
ALL = "all"
_STATES_ZH = {"silent": "沉默", "broken": "失效", "walled": "被拒", "stale": "停更"}


class SourceHealth(Struct, frozen=True, kw_only=True):
    """What the scrapers say of one source; of their record, what matters here."""

    state: str = "ok"
    last_error: str = ""
    last_good_at: Instant | None = None
    last_document_at: Instant | None = None
    langs: dict[str, Instant] = field(default_factory=dict)


class SourceAlert(Struct, frozen=True, kw_only=True):
    """An alert on a source or a language that is on."""

    alert_id: str
    sequence: int
    started_at: Instant


class Watching(Struct, frozen=True, kw_only=True):
    """All that a restart needs."""

    on: dict[str, SourceAlert] = field(default_factory=dict)  # by subject
    since: dict[str, Instant] = field(default_factory=dict)  # lost, but not for long enough yet


class Lost(Struct, frozen=True, kw_only=True):
    """Something that is lost."""

    name: str
    severity: Severity
    summary: str
    summary_zh: str


def lost_of(sources: Mapping[str, SourceHealth], *, at: datetime) -> dict[str, Lost]:
    """Subject -> what is lost of it: `source:NAME`, `language:en`, `language:zh`, and `language:all` where no source is left at all."""
    lost = {f"source:{name}": _source(name, health) for name, health in sources.items() if health.state in LOST}
    for language in LANGUAGES:
        speakers = {name: health for name, health in sources.items() if language in health.langs and at - health.langs[language] <= SPOKEN_WITHIN}
        if speakers and all(health.state in MUTE for health in speakers.values()):
            lost[f"language:{language}"] = _language(language, speakers)
    if sources and all(health.state in MUTE for health in sources.values()):
        lost[f"language:{ALL}"] = _language(ALL, sources)
    return lost


def step(watching: Watching, sources: Mapping[str, SourceHealth], *, at: datetime, links: str) -> tuple[Watching, list[Alert]]:
    """What is known after a look, and the transitions to tell."""
    lost = lost_of(sources, at=at)
    since = {subject: watching.since.get(subject, at) for subject in lost if subject not in watching.on}
    told: list[Alert] = []
    on = dict(watching.on)
    for subject, started_at in sorted(since.items()):
        if subject.startswith("source:") or at - started_at >= LAST_FOR:
            on[subject] = SourceAlert(alert_id=alert_id_of(subject, Lane.SOURCE.value, int(started_at.timestamp())), sequence=1, started_at=started_at)
            told.append(_alert(subject, on[subject], lost[subject], at=at, links=links))
    undecided = {f"source:{name}" for name, health in sources.items() if health.state == WAITING}  # its scraper began anew
    for subject in sorted(set(watching.on) - set(lost) - undecided):
        ended = replace(on.pop(subject), sequence=watching.on[subject].sequence + 1)
        told.append(_alert(subject, ended, _back(subject, at - ended.started_at), at=at, links=links, over=True))
    return Watching(on=on, since={subject: began for subject, began in since.items() if subject not in on}), told


def acted_on(watching: Watching, alert_id: str) -> tuple[Watching, int | None]:
    """What is known with the sequence of the transition that tells what was done to an alert; None where it is none of these."""
    found = next((subject for subject, alert in watching.on.items() if alert.alert_id == alert_id), None)
    if found is None:
        return watching, None
    alert = replace(watching.on[found], sequence=watching.on[found].sequence + 1)
    return replace(watching, on=watching.on | {found: alert}), alert.sequence


def _source(name: str, health: SourceHealth) -> Lost:
    heard = f"{health.last_document_at:%Y-%m-%d %H:%M} UTC" if health.last_document_at else ""
    why = f" ({health.last_error})" if health.last_error else ""
    return Lost(
        name=name,
        severity=Severity.WARNING,
        summary=f"Source {name} is {health.state}{why}: {f'its last document came {heard}' if heard else 'it has brought nothing yet'}.",
        summary_zh=f"信息源{name}{_STATES_ZH[health.state]}{why}：{f'最后一条内容于{heard}收到' if heard else '尚未收到任何内容'}。",
    )


def _language(language: str, sources: Mapping[str, SourceHealth]) -> Lost:
    english, chinese = LANGUAGES.get(language, ("", ""))
    names = ", ".join(sorted(sources)[:5]) + (f" and {len(sources) - 5} more" if len(sources) > 5 else "")
    blind = f"Blind{' for ' * bool(english)}{english}: none of {len(sources)} {english + ' ' if english else ''}sources brings anything ({names}); calm means nothing."
    return Lost(
        name=english or "all sources",
        severity=Severity.CRITICAL,
        summary=blind,
        summary_zh=f"{chinese}信息源全部中断（共{len(sources)}个）：此时没有告警不代表平静。",
    )


def _back(subject: str, length: timedelta) -> Lost:
    kind, _, name = subject.partition(":")
    minutes = round(length.total_seconds() / 60)
    english, chinese = LANGUAGES.get(name, ("all sources", "全部"))
    if kind == "source":
        return Lost(name=name, severity=Severity.WARNING, summary=f"Source {name} is back after {minutes} min.", summary_zh=f"信息源{name}已恢复，中断{minutes}分钟。")
    said = f"{english}{' sources' * (name != ALL)}"
    return Lost(
        name=english,
        severity=Severity.CRITICAL,
        summary=f"No longer blind: {said} bring documents again after {minutes} min.",
        summary_zh=f"{chinese}信息源已恢复，中断{minutes}分钟。",
    )


def _alert(subject: str, alert: SourceAlert, lost: Lost, *, at: datetime, links: str, over: bool = False) -> Alert:
    nothing = AlertWindow(
        start_at=alert.started_at, width_s=int((at - alert.started_at).total_seconds()), total=0, negative=0, ratio=0.0, baseline_ratio=0.0, expected_negative=0.0,
        lift=0.0, p_value=1.0, score=0.0, stories=0, publishers=0, authors=0,
    )  # fmt: skip
    return Alert(
        alert_id=alert.alert_id,
        sequence=alert.sequence,
        subject=subject,
        subject_name=lost.name,
        severity=lost.severity,
        status=AlertStatus.RESOLVED if over else AlertStatus.FIRING,
        reason=TransitionReason.SOURCE_BACK if over else TransitionReason.SOURCE_LOST,
        lane=Lane.SOURCE,
        started_at=alert.started_at,
        updated_at=at,
        ended_at=at if over else None,
        window=nothing,
        summary=lost.summary,
        summary_zh=lost.summary_zh,
        links=AlertLinks(console=f"{links}/alerts/{alert.alert_id}", api=f"{links}/api/v1/alerts/{alert.alert_id}"),
    )
