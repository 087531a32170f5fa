"""The numbers that decide what a surge is: frozen, validated, read from YAML."""

from __future__ import annotations

import difflib
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta, Struct

from opinion.errors import ConfigError
from opinion.names import digest
from opinion.windows import PANE_S

HOUR_S = 3600
QUARTERS = 4
"""Quarter hours in an hour."""
DEFAULT_RULES = Path(__file__).parent.parent / "rules.default.yaml"
"""The built-in rules, written out and explained for operators."""

_Count = Annotated[int, Meta(ge=1)]
_Positive = Annotated[float, Meta(gt=0)]
_Share = Annotated[float, Meta(gt=0, lt=1)]


class WindowRule(Struct, frozen=True, forbid_unknown_fields=True):
    """One window that is looked at, and how much its count varies beyond chance."""

    width_s: Annotated[int, Meta(ge=PANE_S, le=86400)]
    rho: Annotated[float, Meta(gt=0, lt=1)] = 0.007  # correlation of two texts in one window, until the data say better


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every number of the detection; `rules.default.yaml` says what each is for and when to change it.

    The default `theta` holds a tenth to a half of a false alarm per subject and week, by how restless a stream is;
    `docs/experiments/005-three-memories.md` has the curves and the command.
    """

    windows: Annotated[tuple[WindowRule, ...], Meta(min_length=1, max_length=8)] = (
        WindowRule(900, 0.006),
        WindowRule(1800, 0.0065),
        WindowRule(3600, 0.007),
        WindowRule(7200, 0.008),
        WindowRule(10800, 0.0085),
    )
    rho_weight: _Positive = 200  # subject-hours that the windows' `rho` are worth against what all subjects show
    theta: _Positive = 4.2  # score that fires: -log10 of the tail probability
    min_negative: _Count = 5  # negatives in the window
    min_lift: Annotated[float, Meta(ge=1)] = 1.3  # ratio over the usual ratio
    min_breadth: _Count = 3  # distinct negative stories
    most_per_story: _Count = 2  # negatives that one story, or one author, can speak for on average
    half_life_h: _Positive = 120  # of the long memory
    history_h: Annotated[int, Meta(ge=24, le=168)] = 168  # its reach: panes are kept for nine days, and a day's window may lie between
    day_half_life_h: _Positive = 24  # of the day's memory
    day_weight: _Positive = 40  # texts that the long memory is worth against the day's
    recent_half_life_h: Annotated[float, Meta(ge=0.5, le=12)] = 3  # of the recent memory
    recent_weight: _Positive = 80  # texts that the day's memory is worth against the recent one
    level_rho: Annotated[float, Meta(gt=0, lt=1)] = 0.03  # of the newest hours held against the long memory: an alert lasts while they stand out
    prior_share: _Share = 0.2  # usual ratio where nothing is known at all
    prior_weight: _Positive = 20  # texts that a subject's prior is worth
    pool_weight: _Positive = 500  # texts that `prior_share` is worth against what all subjects show
    resolve_margin: Annotated[float, Meta(ge=0)] = 1.5  # calm is a score below theta minus this
    resolve_after_min: _Count = 60  # calm for so long ends an alert
    rearm_h: _Count = 6  # from the start of an alert until its subject may start another
    update_step: _Positive = 3.0  # growth of the score that is told again
    high_score: _Positive = 6.0
    high_stories: _Count = 5
    critical_score: _Positive = 10.0
    critical_stories: _Count = 10
    persist_h: _Positive = 3.0  # a surge that lasts so long is at least `high`

    def __post_init__(self) -> None:
        """Check what one field alone cannot say."""
        widths = [window.width_s for window in self.windows]
        if widths != sorted(set(widths)) or any(width % PANE_S for width in widths):
            raise ValueError(f"windows must grow in width_s, each a multiple of {PANE_S}")
        if self.resolve_margin >= self.theta:
            raise ValueError("resolve_margin must be less than theta")
        if self.high_score > self.critical_score or self.high_stories > self.critical_stories:
            raise ValueError("critical_score and critical_stories must not be below those of high")

    @property
    def version(self) -> str:
        """Digest of all numbers: equal rules have equal versions."""
        return digest(msgspec.json.encode(self, order="sorted").decode())

    @property
    def calm_below(self) -> float:
        """A score below this is calm."""
        return self.theta - self.resolve_margin

    @property
    def resolve_after(self) -> timedelta:
        """How long calm must last."""
        return timedelta(minutes=self.resolve_after_min)

    @property
    def rearm(self) -> timedelta:
        """From the start of an alert to the earliest start of the next."""
        return timedelta(hours=self.rearm_h)

    def rho_of(self, width_s: int) -> float:
        """The rho of a window: the rule's nearest in width; beyond the widest it grows with the width to the power 0.6 (measured from 1 to 24 hours)."""
        nearest = min(self.windows, key=lambda window: abs(window.width_s - width_s))
        beyond: float = max(1.0, width_s / self.windows[-1].width_s) ** 0.6
        return min(0.5, nearest.rho * beyond)


def load_rules(path: str | Path | None = None) -> Rules:
    """The rules in a YAML file, its gaps filled with the defaults; without a file, the defaults.

    Errors:
        ConfigError: unreadable, not a mapping, an unknown key (the message names the nearest known one), a wrong value.
    """
    if path is None:
        return Rules()
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict | None):
        raise ConfigError(f"{path}: expected a mapping of rules")
    return _convert(values or {}, path=path)


def _convert(values: dict[Any, Any], *, path: str | Path) -> Rules:
    _refuse_unknown(values, Rules.__struct_fields__, path=path)
    windows = values.get("windows")
    for window in windows if isinstance(windows, list) else []:
        if isinstance(window, dict):
            _refuse_unknown(window, WindowRule.__struct_fields__, path=path)
    try:
        return msgspec.convert(values, Rules)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}".replace("`$.", "`")) from error


def _refuse_unknown(values: dict[Any, Any], known: tuple[str, ...], *, path: str | Path) -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            raise ConfigError(f"{path}: unknown rule {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
