"""What an alert is called in matchers: labels, and conditions on them in Alertmanager's notation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from opinion.errors import ConfigError
from opinion.records import Alert, Lane

NAME = "NegativeOpinion"
"""The `alertname` of every alert on a subject's opinion."""
LOST = "SourceLost"
"""The same of an alert on what feeds us."""
IDENTITY = ("alertname", "subject", "subject_kind", "market")
"""Labels that never change over the life of an alert: they follow from its subject."""
MOST_PATTERN_CHARS = 200

_FORM = re.compile(r"\s*(?P<label>[A-Za-z_][A-Za-z0-9_]*)\s*(?P<sign>=~|!~|!=|=)\s*(?P<value>\"(?:[^\"\\]|\\.)*\"|(?![=~])[^\"\s]*)\s*", re.DOTALL)
_NESTED = re.compile(r"[*+}][^)]*\)\s*[*+{]")


class Matcher(Struct, frozen=True):
    """A condition on one label; a label that is not there counts as empty."""

    label: str
    sign: str  # =, !=, =~ or !~; patterns match the whole value
    value: str

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.label}{self.sign}"{value}"'

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether labels fulfil it."""
        found = labels.get(self.label, "")
        alike = re.fullmatch(self.value, found) is not None if self.sign.endswith("~") else found == self.value
        return alike != self.sign.startswith("!")


def matcher_of(text: str) -> Matcher:
    """The condition that a text like `severity="critical"` or `subject=~"entity:.*"` states; quotes may be left out where nothing needs them.

    Errors:
        ConfigError: of another form, or a pattern that is none or could take for ever.

    >>> str(matcher_of('subject =~ entity:XNAS:.*'))
    'subject=~"entity:XNAS:.*"'
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ConfigError(f'matcher {text[:100]!r} is not of the form label="value", with =, !=, =~ or !~')
    value = match["value"]
    if value.startswith('"'):
        value = re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1] if found[1] in '"\\' else found[0]), value[1:-1])
    found = Matcher(match["label"], match["sign"], value)
    if found.sign.endswith("~"):
        _check(value)
    return found


def fits(matchers: Iterable[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether labels fulfil all conditions."""
    return all(matcher.fits(labels) for matcher in matchers)


def labels_of(alert: Alert) -> dict[str, str]:
    """The labels of an alert. `story` is that of its most telling document; empty ones are left out."""
    subject_kind, _, rest = alert.subject.partition(":")
    labels = {
        "alertname": LOST if alert.lane is Lane.SOURCE else NAME,
        "alert_id": alert.alert_id,
        "subject": alert.subject,
        "subject_kind": subject_kind,
        "subject_name": alert.subject_name,
        "market": rest.partition(":")[0] if subject_kind == "entity" else "",
        "severity": alert.severity.value,
        "lane": alert.lane.value,
        "story": next((item.story_id for item in alert.evidence if item.story_id), ""),
    }
    return {label: value for label, value in labels.items() if value}


def identity_of(alert: Alert) -> dict[str, str]:
    """The labels that name what an alert is about: the same from its first transition to its last, and of every alert on the subject.

    Receivers that know alerts by their labels take an alert whose labels change for two, of which the first never ends; so severity, lane and story,
    which change, are left out, and with them the alert's id, so that a silence or a route is of the subject.
    """
    return {label: value for label, value in labels_of(alert).items() if label in IDENTITY}


def fingerprint_of(labels: Mapping[str, str]) -> int:
    """The number that Prometheus' programs know a set of labels by: 64-bit FNV-1a over names and values, each ended by a byte 0xff, by name.

    Source: prometheus/common, `model/fingerprinting.go` and `model/fnv.go`.

    >>> fingerprint_of({"name": "garland, briggs", "fear": "love is not enough"})
    5799056148416392346
    """
    found = 14695981039346656037
    for byte in b"".join(part.encode() + b"\xff" for label in sorted(labels) for part in (label, labels[label])):
        found = (found ^ byte) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return found


def _check(pattern: str) -> None:
    if len(pattern) > MOST_PATTERN_CHARS or _NESTED.search(pattern):
        raise ConfigError(f"pattern {pattern[:100]!r} is too long or repeats a repetition")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(f"pattern {pattern[:100]!r} is none: {error}") from error
