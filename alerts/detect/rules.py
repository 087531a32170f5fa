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
DEFAULT_RULES = Path(__file__).parent.parent / "rules.default.yaml"
"""The built-in rules, written out and explained for operators."""

_Count = Annotated[int, Meta(ge=1)]
_Positive = Annotated[float, Meta(gt=0)]
_Share = Annotated[float, Meta(gt=0, lt=1)]


class WindowRule(Struct, frozen=True, forbid_unknown_fields=True):
    """One window that is looked at, and how much its count varies beyond chance."""

    width_s: Annotated[int, Meta(ge=PANE_S, le=86400)]
    rho: Annotated[float, Meta(ge=0, lt=1)] = 0.03  # correlation of two texts in one window; 0: a plain binomial


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every number of the detection; `rules.default.yaml` says what each is for and when to change it.

    The default `theta` holds about a quarter of a false alarm per subject and week on simulated bursty streams of 5 to
    320 texts an hour; `docs/experiments/001-share-lane.md` has the curve and the command.
    """

    windows: Annotated[tuple[WindowRule, ...], Meta(min_length=1, max_length=8)] = (WindowRule(900), WindowRule(3600), WindowRule(10800))
    theta: _Positive = 3.5  # score that fires: -log10 of the tail probability
    min_negative: _Count = 5  # negatives in the window
    min_lift: Annotated[float, Meta(ge=1)] = 1.3  # ratio over the usual ratio
    min_breadth: _Count = 3  # distinct negative stories
    most_per_story: _Count = 2  # negatives that one story, or one author, can speak for on average
    half_life_h: _Positive = 120  # of what the baseline remembers
    history_h: Annotated[int, Meta(ge=24, le=192)] = 192  # panes are kept for nine days
    guard_h: Annotated[int, Meta(ge=0, le=12)] = 3  # the newest hours the baseline does not learn from
    prior_share: _Share = 0.2  # usual ratio where nothing is known at all
    prior_weight: _Positive = 20  # texts that a subject's prior is worth
    pool_weight: _Positive = 500  # texts that `prior_share` is worth against what all subjects show
    resolve_margin: Annotated[float, Meta(ge=0)] = 1.5  # calm is a score below theta minus this
    resolve_after_min: _Count = 60  # calm for so long ends an alert
    rearm_h: _Count = 6  # from the start of an alert until its subject may start another
    update_step: _Positive = 3.0  # growth of the score that is told again
    high_score: _Positive = 5.5
    high_stories: _Count = 5
    critical_score: _Positive = 9.0
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
        """The rho of the window nearest in width: in a backtest panes may be too wide for the exact one."""
        return min(self.windows, key=lambda window: abs(window.width_s - width_s)).rho


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
