"""A backtest as a picture: for each subject the share of negatives, what was usual, how much was said, and the alerts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alerts.detect.rules import Rules
from alerts.detect.series import Ints
from opinion.records import Severity
from yuqing.backtest_strips import DAY_S, Scene, Strip, strips_of
from yuqing.pictures import BLUE, DPI, GREY, INK, RED, WIDTH_IN, plain, printable
from yuqing.plant_report import Alarm, Alarms, delay_s
from yuqing.planting import Surge

HEAD_IN, FOOT_IN, LEFT_IN, RIGHT_IN = 0.65, 0.85, 0.75, 0.3
"""Margins: for the title, the dates and the legend, the numbers, and the last date."""
SHARES_IN, TEXTS_IN, BETWEEN_IN, NAME_IN = 1.55, 0.5, 0.14, 0.68
"""Heights of a subject's shares and texts, of the gap between them, and of what its name takes above."""
EMPTY_IN = 0.3
COLOURS = {Severity.WARNING: "#d9a514", Severity.HIGH: "#dd6b20", Severity.CRITICAL: "#9b1c1c"}
VIOLET = "#6b46c1"
MOST_NAME_CHARS = 60
ALERT_HEIGHT, SURGE_HEIGHT = 1.06, -0.045
"""Where marks stand, as parts of the height of the axes: just outside, where no line runs."""
MOST_IN_LEGEND_ROW = 9


def draw(scene: Scene, path: Path, *, rules: Rules) -> None:
    """Write the picture (PNG); up to six subjects, each by bins that suit the length of the record.

    Errors:
        OSError: the file cannot be written.
    """
    strips = strips_of(scene, rules=rules)
    row_in = NAME_IN + SHARES_IN + BETWEEN_IN + TEXTS_IN
    figure = Figure(figsize=(WIDTH_IN, HEAD_IN + FOOT_IN + row_in * len(strips) if strips else HEAD_IN + EMPTY_IN))
    figure.text(0.5, 1 - 0.2 / figure.get_figheight(), _title(scene, shown=len(strips)), ha="center", va="top", fontsize=13, linespacing=1.4, color=INK, parse_math=False)
    for row, strip in enumerate(strips):
        top_in = HEAD_IN + row * row_in + NAME_IN
        upper = _axes(figure, top_in=top_in, height_in=SHARES_IN)
        lower = _axes(figure, top_in=top_in + SHARES_IN + BETWEEN_IN, height_in=TEXTS_IN)
        _subject(upper, lower, strip, scene)
    if strips:
        _legend(figure, scene)
    figure.savefig(path, dpi=DPI, facecolor="white", format="png")


def _title(scene: Scene, *, shown: int) -> str:
    tracks = scene.recording.tracks
    name = f"Backtest of {_short(Path(scene.name).name or 'a record')}"
    if not tracks:
        return f"{name}\nThe record holds no rows: there is nothing to show."
    first, last = (datetime.fromtimestamp(at_s, UTC) for at_s in _extent(scene))
    alerts = _many(sum(map(len, scene.alarms.values())), "alert")
    chosen = f"; shown: {shown} subjects, those with the most alerts first" if shown < len(tracks) else ""
    planted = f"; {_many(len(scene.surges), 'surge')} of {scene.k:g} times the usual negatives planted" if scene.k else ""
    return f"{name}: {_many(len(tracks), 'subject')}, {first:%Y-%m-%d} to {last:%Y-%m-%d} (UTC)\n{alerts}{planted}{chosen}"


def _extent(scene: Scene) -> tuple[int, int]:
    tracks = scene.recording.tracks.values()
    return min(track.first_s for track in tracks), max(track.end_s for track in tracks)


def _axes(figure: Figure, *, top_in: float, height_in: float) -> Axes:
    width, height = figure.get_size_inches()
    return figure.add_axes((LEFT_IN / width, 1 - (top_in + height_in) / height, (width - LEFT_IN - RIGHT_IN) / width, height_in / height))


def _subject(upper: Axes, lower: Axes, strip: Strip, scene: Scene) -> None:
    alarms, extent = scene.alarms.get(strip.subject, ()), _extent(scene)
    _shares(upper, strip, alarms)
    _alerts(upper, alarms, end_s=extent[1])
    _surges(upper, [surge for surge in scene.surges if surge.subject == strip.subject], scene.alarms)
    _texts(lower, strip)
    words = f"{_short(strip.subject)}   {_many(len(alarms), 'alert')}, {_many(int(strip.total.sum()), 'text')}, by {_width(strip.bin_s)}"
    upper.set_title(words, loc="left", fontsize=10.5, color=INK, pad=14, parse_math=False)
    for axes in (upper, lower):
        axes.set_xlim(*map(_days, extent))
        locator = AutoDateLocator(minticks=5, maxticks=12)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))  # type: ignore[no-untyped-call]
        axes.tick_params(labelsize=9)
    upper.tick_params(labelbottom=False)


def _shares(axes: Axes, strip: Strip, alarms: Sequence[Alarm]) -> None:
    middles = _days(strip.starts_s + strip.bin_s // 2)
    share, above = strip.share, strip.share > strip.high
    axes.stairs(strip.high, _edges(strip), baseline=strip.low, fill=True, color=BLUE, alpha=0.13, linewidth=0, zorder=1)
    axes.plot(middles, strip.usual, color=INK, linewidth=1.4, zorder=3)
    axes.plot(middles, share, color=BLUE, linewidth=0.8, alpha=0.6, marker="o", markersize=2.2, zorder=4)
    axes.plot(middles[above], share[above], color=RED, linestyle="", marker="o", markersize=3.2, zorder=5)
    axes.set_ylim(0, min(1.02, 1.12 * max(0.05, *np.nan_to_num(share), *strip.usual, *(alarm.ratio for alarm in alarms))))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylabel("negative", fontsize=9)
    plain(axes)


def _texts(axes: Axes, strip: Strip) -> None:
    edges = _edges(strip)
    axes.stairs(strip.total, edges, fill=True, color=GREY, alpha=0.55)
    axes.stairs(strip.negative, edges, fill=True, color=INK, alpha=0.55)
    axes.set_ylim(0, 1.1 * max(1, int(strip.total.max())))
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    axes.set_ylabel("texts", fontsize=9)
    plain(axes)


def _alerts(axes: Axes, alarms: Sequence[Alarm], *, end_s: int) -> None:
    """Shaded from beginning to end, with a mark above, as that may be narrower than a pixel, and the share that the alert saw, as bins may hide it."""
    for alarm in alarms:
        begin, colour = _days(alarm.begin_s), COLOURS[alarm.severity]
        axes.axvspan(begin, _days(end_s if alarm.end_s is None else alarm.end_s), color=colour, alpha=0.25, linewidth=0.8, zorder=0)
        axes.plot(begin, ALERT_HEIGHT, marker="v", markersize=6, color=colour, transform=axes.get_xaxis_transform(), clip_on=False, zorder=6)
        axes.vlines(begin, alarm.usual, alarm.ratio, color=colour, linewidth=1.2, zorder=6)
        axes.plot(begin, alarm.ratio, marker="D", markersize=4.5, color=colour, markeredgecolor="white", markeredgewidth=0.6, zorder=7)


def _surges(axes: Axes, surges: Sequence[Surge], alarms: Alarms) -> None:
    for surge in surges:
        caught = delay_s(surge, alarms) is not None
        axes.plot(_days(surge.onset_s), SURGE_HEIGHT, transform=axes.get_xaxis_transform(), clip_on=False, zorder=6, **_surge_mark(caught=caught))


def _surge_mark(*, caught: bool) -> dict[str, Any]:
    return {"marker": "^", "markersize": 5.5, "color": VIOLET, "markerfacecolor": VIOLET if caught else "white", "linestyle": ""}


def _legend(figure: Figure, scene: Scene) -> None:
    handles: list[Artist] = [
        Line2D([], [], color=BLUE, linewidth=0.8, marker="o", markersize=3, label="share of negatives"),
        Line2D([], [], color=RED, linestyle="", marker="o", markersize=4, label="above the band"),
        Line2D([], [], color=INK, linewidth=1.4, label="usual share"),
        Patch(color=BLUE, alpha=0.13, label="95 % of chance"),
        Patch(color=GREY, alpha=0.55, label="texts"),
        Patch(color=INK, alpha=0.55, label="negative texts"),
    ]
    seen = {alarm.severity for alarms in scene.alarms.values() for alarm in alarms}
    handles += [Line2D([], [], color=COLOURS[severity], linestyle="", marker="v", label=f"alert: {severity}") for severity in Severity if severity in seen]
    if seen:
        handles.append(Line2D([], [], color=GREY, linewidth=1.2, marker="D", markersize=4.5, label="share that fired it"))
    if scene.surges:
        handles += [Line2D([], [], label=f"planted, {word}", **_surge_mark(caught=caught)) for word, caught in (("caught", True), ("missed", False))]
    columns = len(handles) if len(handles) <= MOST_IN_LEGEND_ROW else -(-len(handles) // 2)
    figure.legend(handles=handles, loc="lower center", ncols=columns, fontsize=9, frameon=False, columnspacing=1.4, handletextpad=0.5)


def _edges(strip: Strip) -> Any:
    return _days(np.append(strip.starts_s, strip.starts_s[-1] + strip.bin_s))


def _days(at_s: Ints | int) -> Any:
    """Since 1970: what matplotlib takes for dates."""
    return np.asarray(at_s) / DAY_S


def _short(name: str) -> str:
    words = printable(name)
    return words if len(words) <= MOST_NAME_CHARS else words[: MOST_NAME_CHARS - 3] + "..."


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _width(bin_s: int) -> str:
    """In the largest unit that fits.

    >>> _width(10800)
    '3 h'
    """
    for unit, size_s in (("d", DAY_S), ("h", 3600)):
        if bin_s % size_s == 0:
            return f"{bin_s // size_s} {unit}"
    return f"{bin_s / 60:g} min"
