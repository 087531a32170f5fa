"""Charts as SVG: a line against what is usual, small in a list, large for a subject. Pure; the same numbers give the same bytes.

Colours and fonts are the style sheet's: marks carry classes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from math import sqrt

from markupsafe import Markup, escape
from msgspec import Struct

BAND_DEVIATIONS = 2.0
"""The band holds what 19 of 20 calm steps show."""
SPARK_WIDTH, SPARK_HEIGHT = 150, 34
WIDTH, LEFT, RIGHT = 960, 44, 8
"""Of a large chart, in its own units: a narrow screen scrolls it instead of shrinking its letters."""
RATIO_TOP, RATIO_HEIGHT, VOLUME_TOP, VOLUME_HEIGHT, HEIGHT = 12, 190, 222, 56, 304
LEAST_TOP = 0.1
"""A ratio axis never ends below this: noise of a calm subject is not to look like a surge."""

Value = float | None


class Step(Struct, frozen=True, kw_only=True):
    """One step of a subject's past."""

    at: datetime
    total: int
    negative: int
    usual: float  # ratio
    label: str  # what a pointer that rests on it says
    href: str  # the documents behind it

    @property
    def ratio(self) -> Value:
        """Share of negatives; None where nothing was told."""
        return self.negative / self.total if self.total else None


class Span(Struct, frozen=True, kw_only=True):
    """An alert on the time axis."""

    begin: datetime
    end: datetime
    severity: str
    label: str
    href: str


class Tick(Struct, frozen=True):
    """A label below the time axis."""

    at: datetime
    text: str


def share_band(usual: float, *, texts: float, rho: float) -> tuple[float, float]:
    """Between which shares a calm step of so many texts stays: binomial, with correlation `rho` between texts.

    >>> [round(edge, 2) for edge in share_band(0.2, texts=100, rho=0.0)]
    [0.12, 0.28]
    """
    texts = max(1.0, texts)
    deviation = sqrt(usual * (1 - usual) / texts * (1 + (texts - 1) * rho))
    return max(0.0, usual - BAND_DEVIATIONS * deviation), min(1.0, usual + BAND_DEVIATIONS * deviation)


def count_band(usual: float) -> tuple[float, float]:
    """Between which numbers a calm step stays: as if by chance (Poisson).

    >>> count_band(4.0)
    (0.0, 8.0)
    """
    deviation = sqrt(max(usual, 0.0))
    return max(0.0, usual - BAND_DEVIATIONS * deviation), usual + BAND_DEVIATIONS * deviation


def sparkline(values: Sequence[Value], *, band: tuple[float, float], label: str) -> Markup:
    """A line, oldest value first, on the band of what is usual; `label` says it in words."""
    top = max([band[1], *(value for value in values if value is not None), 1e-9]) * 1.08
    across = SPARK_WIDTH / max(1, len(values) - 1)

    def y(value: float) -> float:
        return SPARK_HEIGHT - 2 - (SPARK_HEIGHT - 4) * value / top

    places = [None if value is None else (index * across, y(value)) for index, value in enumerate(values)]
    last = next((place for place in reversed(places) if place is not None), None)
    dot = f'<circle class="dot" cx="{_n(min(last[0], SPARK_WIDTH - 2.0))}" cy="{_n(last[1])}" r="2"/>' if last else ""
    return Markup(  # noqa: S704 - numbers, and a label that is escaped
        f'<svg class="spark" viewBox="0 0 {SPARK_WIDTH} {SPARK_HEIGHT}" role="img"><title>{escape(label)}</title>'
        f'<rect class="band" y="{_n(y(band[1]))}" width="{SPARK_WIDTH}" height="{_n(y(band[0]) - y(band[1]))}"/>'
        f'<path class="line" d="{_path(places)}"/>{dot}</svg>'
    )


def bar(share: float, *, kind: str) -> Markup:
    """A share as a bar. Says nothing to those who listen: the number stands beside it."""
    rest = '<rect class="rest" width="60" height="8"/>'
    return Markup(f'<svg class="bar {escape(kind)}" viewBox="0 0 60 8" aria-hidden="true">{rest}<rect width="{_n(60 * share)}" height="8"/></svg>')  # noqa: S704 - as above


class _Frame(Struct, frozen=True):
    """Where instants and shares lie in a large chart."""

    steps: Sequence[Step]
    top: float  # share at the upper edge

    @property
    def across(self) -> float:
        """Width of a step."""
        return (WIDTH - LEFT - RIGHT) / len(self.steps)

    @property
    def centres(self) -> list[float]:
        """Middles of the steps."""
        return [LEFT + (index + 0.5) * self.across for index in range(len(self.steps))]

    def x(self, at: datetime) -> float:
        """Of an instant; those beyond the chart lie on its edges."""
        begin, width = self.steps[0].at, self.steps[1].at - self.steps[0].at
        return min(float(WIDTH - RIGHT), max(float(LEFT), LEFT + (at - begin) / width * self.across))

    def y(self, share: float) -> float:
        """Of a share."""
        return RATIO_TOP + RATIO_HEIGHT * (1 - share / self.top)


def chart(steps: Sequence[Step], *, spans: Iterable[Span], ticks: Iterable[Tick], rho: float, title: str, desc: str) -> Markup:
    """Ratio on the band of what is usual, texts below it, alerts behind both. `steps` are of equal width, oldest first, two at least.

    `rho` is the correlation of two texts of a step.
    """
    texts = sorted(step.total for step in steps if step.total)
    ordinary = texts[len(texts) // 2] if texts else 1
    bands = [share_band(step.usual, texts=max(step.total, ordinary), rho=rho) for step in steps]
    highest = max([LEAST_TOP, *(step.ratio or 0.0 for step in steps), *(high for _, high in bands)])
    frame = _Frame(steps, min(1.0, highest * 1.06))
    ratios = [None if step.ratio is None else (centre, frame.y(step.ratio)) for step, centre in zip(steps, frame.centres, strict=True)]
    usual = [(centre, frame.y(step.usual)) for step, centre in zip(steps, frame.centres, strict=True)]
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-labelledby="chart-title chart-desc">',
        f'<title id="chart-title">{escape(title)}</title><desc id="chart-desc">{escape(desc)}</desc>',
        *(_span(frame, span) for span in spans),
        *_grid(frame),
        _band(frame, bands),
        f'<path class="usual" d="{_path(usual)}"/><path class="line" d="{_path(ratios)}"/>',
        *_dots(ratios),
        *_bars(frame, most=max(texts, default=1)),
        *(f'<text class="axis" x="{_n(frame.x(tick.at))}" y="{HEIGHT - 8}" text-anchor="middle">{escape(tick.text)}</text>' for tick in ticks),
        *_targets(frame),
        "</svg>",
    ]
    return Markup("".join(parts))  # noqa: S704 - numbers, and texts that are escaped


def _span(frame: _Frame, span: Span) -> str:
    left = frame.x(span.begin)
    place = f'x="{_n(left)}" width="{_n(max(2.0, frame.x(span.end) - left))}"'
    return (
        f'<a href="{escape(span.href)}" tabindex="-1"><rect class="span {escape(span.severity)}" {place} y="{RATIO_TOP}" height="{VOLUME_TOP + VOLUME_HEIGHT - RATIO_TOP}">'
        f'<title>{escape(span.label)}</title></rect><rect class="flag {escape(span.severity)}" {place} y="{RATIO_TOP - 8}" height="6"/></a>'
    )


def _grid(frame: _Frame) -> Iterable[str]:
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.25) if frame.top / step <= 5)
    for number in range(int(frame.top / step) + 1):
        y = frame.y(number * step)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_n(y)}" y2="{_n(y)}"/>'
        yield f'<text class="axis" x="{LEFT - 6}" y="{_n(y + 4)}" text-anchor="end">{round(number * step * 100)}%</text>'


def _band(frame: _Frame, bands: Sequence[tuple[float, float]]) -> str:
    above = [f"{_n(centre)} {_n(frame.y(high))}" for centre, (_, high) in zip(frame.centres, bands, strict=True)]
    below = [f"{_n(centre)} {_n(frame.y(low))}" for centre, (low, _) in zip(frame.centres, bands, strict=True)]
    return f'<path class="band" d="M{"L".join([*above, *reversed(below)])}Z"/>'


def _dots(places: Sequence[tuple[float, float] | None]) -> Iterable[str]:
    """Dots where a value stands alone: a line of one point cannot be seen."""
    for before, place, after in zip([None, *places[:-1]], places, [*places[1:], None], strict=True):
        if place is not None and before is None and after is None:
            yield f'<circle class="dot" cx="{_n(place[0])}" cy="{_n(place[1])}" r="2"/>'


def _bars(frame: _Frame, *, most: int) -> Iterable[str]:
    bottom, width = VOLUME_TOP + VOLUME_HEIGHT, max(1.0, frame.across * 0.8)
    yield f'<text class="axis" x="{LEFT - 6}" y="{VOLUME_TOP + 10}" text-anchor="end">{most}</text>'
    for step, centre in zip(frame.steps, frame.centres, strict=True):
        for kind, number in (("all", step.total), ("negative", step.negative)):
            height = VOLUME_HEIGHT * number / most
            if number:
                yield f'<rect class="volume {kind}" x="{_n(centre - width / 2)}" y="{_n(bottom - height)}" width="{_n(width)}" height="{_n(height)}"/>'


def _targets(frame: _Frame) -> Iterable[str]:
    """What a pointer hits. Keys reach the same by the table below the chart."""
    shape = f'y="{RATIO_TOP}" width="{_n(frame.across)}" height="{VOLUME_TOP + VOLUME_HEIGHT - RATIO_TOP}"'
    for step, centre in zip(frame.steps, frame.centres, strict=True):
        if step.total:
            target = f'<rect class="target" x="{_n(centre - frame.across / 2)}" {shape}><title>{escape(step.label)}</title></rect>'
            yield f'<a href="{escape(step.href)}" tabindex="-1">{target}</a>'


def _path(places: Iterable[tuple[float, float] | None]) -> str:
    """Lines through places, broken where there is none.

    >>> _path([(0, 1), (2, 3), None, (4, 5.25)])
    'M0 1L2 3M4 5.2'
    """
    runs = [list(run) for known, run in groupby(places, key=lambda place: place is not None) if known]
    return "".join("M" + "L".join(f"{_n(place[0])} {_n(place[1])}" for place in run if place) for run in runs)


def _n(number: float) -> str:
    """A coordinate, to a tenth.

    >>> _n(3.0), _n(3.14)
    ('3', '3.1')
    """
    return f"{number:.1f}".removesuffix(".0")
