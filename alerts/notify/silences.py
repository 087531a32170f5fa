"""Alerts that nobody is to be told of for a while, and alerts that another one makes superfluous. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from msgspec import Struct, field

from alerts.notify.labels import Matcher, fits, labels_of, matcher_of
from opinion.errors import ConfigError
from opinion.names import digest
from opinion.records import Alert, AlertStatus, Instant
from opinion.settings import Settings

MOST_MATCHERS = 20
MOST_COMMENT_CHARS = 1_000

State = Literal["pending", "active", "expired"]


class Silence(Struct, frozen=True, kw_only=True):
    """Nobody is told of matching alerts between two instants [starts_at, ends_at)."""

    id: str
    matchers: list[str]  # all must hold
    starts_at: Instant
    ends_at: Instant
    author: str
    comment: str
    created_at: Instant

    def state(self, at: datetime) -> State:
        """Whether it is on."""
        return "expired" if at >= self.ends_at else "pending" if at < self.starts_at else "active"


class Inhibition(Struct, frozen=True, kw_only=True):
    """While an alert that fits `source` is on, those that fit `target` and have the same values of the labels `equal` are not told."""

    source: list[Matcher]
    target: list[Matcher]
    equal: list[str] = field(default_factory=list)


def silence_of(*, matchers: list[str], starts_at: datetime, ends_at: datetime, author: str, comment: str, now: datetime) -> Silence:
    """A new silence; the same request at the same instant gives the same id.

    Errors:
        ConfigError: no matcher or a wrong one, one that matches everything, an end that is past or before the start, no author.
    """
    found = [matcher_of(text) for text in matchers]
    if not found or len(found) > MOST_MATCHERS:
        raise ConfigError(f"a silence needs 1 to {MOST_MATCHERS} matchers")
    if fits(found, {}):
        raise ConfigError("these matchers match alerts that have no label at all; at least one must ask for something")
    if ends_at <= starts_at or ends_at <= now:
        raise ConfigError("a silence must end after it begins, and not in the past")
    if not author.strip():
        raise ConfigError("a silence needs its author")
    texts = [str(matcher) for matcher in found]
    key = digest("\n".join([*sorted(texts), starts_at.isoformat(), ends_at.isoformat(), author, comment, now.isoformat()]), chars=16)
    return Silence(id=f"sil_{key}", matchers=texts, starts_at=starts_at, ends_at=ends_at, author=author.strip(), comment=comment[:MOST_COMMENT_CHARS], created_at=now)


def inhibitions_of(settings: Settings) -> list[Inhibition]:
    """The rules of inhibition that are configured.

    Errors:
        ConfigError: a matcher of another form.
    """
    return [Inhibition(source=[matcher_of(text) for text in rule.source], target=[matcher_of(text) for text in rule.target], equal=list(rule.equal)) for rule in settings.inhibit]


def silencing(alert: Alert, silences: Iterable[Silence], *, at: datetime) -> Silence | None:
    """The silence that keeps an alert from being told, if one does."""
    labels = labels_of(alert)
    return next((silence for silence in silences if silence.state(at) == "active" and fits(map(matcher_of, silence.matchers), labels)), None)


def inhibiting(alert: Alert, firing: Iterable[Alert], rules: Iterable[Inhibition]) -> Alert | None:
    """The alert that makes this one superfluous, if there is one.

    As Alertmanager has it, an alert that fits both sides of a rule is not inhibited by one that does so too.
    """
    labels = labels_of(alert)
    fitting = [rule for rule in rules if fits(rule.target, labels)]
    if not fitting:
        return None
    alive = [(other, labels_of(other)) for other in firing if other.alert_id != alert.alert_id and other.status != AlertStatus.RESOLVED]
    for rule in fitting:
        both = fits(rule.source, labels)
        for other, others in alive:
            same = all(others.get(label, "") == labels.get(label, "") for label in rule.equal)
            if same and fits(rule.source, others) and not (both and fits(rule.target, others)):
                return other
    return None
