"""Rules as an operator writes them: one set for all, and what differs for the subjects that a pattern names. Read from YAML."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct

from alerts.detect.rules import Budgets, Rules, WindowRule
from opinion.errors import ConfigError
from opinion.names import digest

DEFAULT_RULES = Path(__file__).parent.parent / "rules.default.yaml"
"""The built-in rules, written out and explained for operators."""
OF_ALL = frozenset(
    [
        *("half_life_h", "history_h", "day_half_life_h", "day_weight", "recent_half_life_h", "recent_weight", "rho_weight", "day_rho", "day_rho_weight"),
        *("prior_share", "prior_weight", "pool_weight", "prior_clear", "clear_weight", "false_discoveries"),
    ]
)
"""Rules that are the same for every subject: what is usual of one is learned beside all others."""


class Exemption(Struct, frozen=True):
    """The rules of the subjects that a pattern names."""

    match: str
    rules: Rules


class RuleBook:
    """The rules of every subject: those of the first pattern that its name fits, else those of all."""

    def __init__(self, rules: Rules | None = None, exemptions: Sequence[Exemption] = ()) -> None:
        self.all = rules or Rules()
        self.exemptions = tuple(exemptions)
        self._known: dict[str, Rules] = {}

    def __iter__(self) -> Iterator[Rules]:
        """All rules, those of all subjects first."""
        return iter([self.all, *(one.rules for one in self.exemptions)])

    def of(self, subject: str) -> Rules:
        """The rules of one subject."""
        found = self._known.get(subject)
        if found is None:
            found = self._known[subject] = next((one.rules for one in self.exemptions if fnmatchcase(subject, one.match)), self.all)
        return found

    def only(self, lane: str) -> RuleBook:
        """The same with one lane (`share`, `count`) looked at, or `both`."""
        if lane == "both":
            return self
        return RuleBook(_only(self.all, lane), [Exemption(one.match, _only(one.rules, lane)) for one in self.exemptions])

    @property
    def version(self) -> str:
        """Digest of all numbers: equal rules have equal versions."""
        return digest(msgspec.json.encode([self.all, self.exemptions], order="sorted").decode())


def load_rules(path: str | Path | None = None) -> RuleBook:
    """The rules in a YAML file, its gaps filled with the defaults; without a file, the defaults.

    Errors:
        ConfigError: unreadable, not a mapping, an unknown key (the message names the nearest known one), a wrong value.
    """
    if path is None:
        return RuleBook()
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict | None):
        raise ConfigError(f"{path}: expected a mapping of rules")
    values = dict(values or {})
    subjects = values.pop("subjects", None) or []
    _refuse_unknown(values, (*Rules.__struct_fields__, "subjects"), where=str(path))
    rules = _convert({}, values, where=str(path))
    if not isinstance(subjects, list):
        raise ConfigError(f"{path}: `subjects` is a list, of a `match` and the rules that differ each")
    return RuleBook(rules, [_exemption(one, values, where=f"{path}: subjects[{number}]") for number, one in enumerate(subjects)])


def _only(rules: Rules, lane: str) -> Rules:
    budgets = rules.false_alarms
    kept = Budgets(share=0.0, day=0.0, count=budgets.count) if lane == "count" else msgspec.structs.replace(budgets, count=0.0)
    return msgspec.structs.replace(rules, false_alarms=kept)


def _exemption(values: Any, base: dict[str, Any], *, where: str) -> Exemption:
    if not isinstance(values, dict) or not isinstance(values.get("match"), str):
        raise ConfigError(f'{where}: expected a `match`, such as "topic:*", and the rules that differ')
    changes = {key: value for key, value in values.items() if key != "match"}
    _refuse_unknown(changes, [name for name in Rules.__struct_fields__ if name not in OF_ALL], where=where, why="unknown, or the same for all subjects")
    return Exemption(values["match"], _convert(base, changes, where=where))


def _convert(base: dict[str, Any], changes: dict[str, Any], *, where: str) -> Rules:
    if isinstance(changes.get("false_alarms"), dict):
        _refuse_unknown(changes["false_alarms"], Budgets.__struct_fields__, where=where)
        changes = changes | {"false_alarms": base.get("false_alarms", {}) | changes["false_alarms"]}
    windows = changes.get("windows")
    for window in windows if isinstance(windows, list) else []:
        if isinstance(window, dict):
            _refuse_unknown(window, WindowRule.__struct_fields__, where=where)
    try:
        return msgspec.convert(base | changes, Rules)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}".replace("`$.", "`")) from error


def _refuse_unknown(values: dict[Any, Any], known: Sequence[str], *, where: str, why: str = "unknown") -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            what = "rule" if why == "unknown" else "rule here"
            raise ConfigError(f"{where}: {why} {what} {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
