"""An evaluation as a picture: for each question how far confidence can be trusted, and what is taken for what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from models.training.report import Evaluation, Report, Section
from yuqing.pictures import BLUE, DPI, GREY, INK, RED, WIDTH_IN, plain

FEW_LABELS = 6
"""Labels up to which the matrix is small and its counts are large."""
SMALL_IN, LARGE_IN = 5.6, 9.4
"""Heights of a row of the picture, by the size of its matrix."""
MOST_TITLE_CHARS = 70
DARK_FROM = 0.62
"""Share from which the colour of a cell is too dark for dark text."""


def draw(evaluation: Evaluation, path: Path) -> None:
    """Write the picture (PNG) of an evaluation. Drawn without a window system, by the Agg canvas that a bare figure has."""
    heights = [SMALL_IN if len(section.whole.labels) <= FEW_LABELS else LARGE_IN for section in evaluation.sections]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 0.6), layout=ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.12, wspace=0.03))
    figure.suptitle(_title(evaluation), fontsize=13, color=INK)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights, width_ratios=(1, 1.25))
    for row, section in enumerate(evaluation.sections):
        inner = grid[row, 0].subgridspec(3, 1, height_ratios=(0.8 * SMALL_IN, 0.2 * SMALL_IN, max(heights[row] - SMALL_IN, 0.01)))
        upper = figure.add_subplot(inner[0])
        _reliability(upper, section)
        _confidences(figure.add_subplot(inner[1], sharex=upper), section.whole)
        _confusion(figure.add_subplot(grid[row, 1]), section)
    figure.savefig(path, dpi=DPI, facecolor="white", format="png")


def _title(evaluation: Evaluation) -> str:
    """In ASCII: the font that comes with matplotlib has no Chinese."""
    words = f"{evaluation.dataset}, judged by {evaluation.model}".encode("ascii", "replace").decode()
    return words if len(words) <= MOST_TITLE_CHARS else "\njudged by ".join(words.split(", judged by ", 1))


def _reliability(axes: Axes, section: Section) -> None:
    bins = section.whole.reliability
    found = section.whole.quality
    confidence, accuracy, rows = (np.array(column) for column in zip(*((one.confidence, one.accuracy, one.rows) for one in bins), strict=True))
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated", zorder=1)
    axes.vlines(confidence, np.minimum(confidence, accuracy), np.maximum(confidence, accuracy), color=RED, linewidth=2, alpha=0.6, label="gap", zorder=2)
    axes.plot(confidence, accuracy, color=BLUE, linewidth=1, alpha=0.5, zorder=3)
    axes.scatter(confidence, accuracy, s=25 + 200 * rows / rows.max(), color=BLUE, edgecolor="white", label="texts of like confidence", zorder=4)
    axes.set(xlim=(0, 1.02), ylim=(-0.02, 1.04), ylabel="accuracy")
    scores = f"accuracy {found.accuracy:.3f}   macro F1 {found.macro_f1:.3f}   ECE {found.ece:.3f}"
    axes.set_title(f"{section.question.capitalize()}: can its confidence be trusted?\n{scores}", fontsize=11, color=INK)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(labelbottom=False)
    legend = axes.legend(loc="best", fontsize=9, framealpha=0.9, edgecolor="none")
    for handle in legend.legend_handles:
        if handle is not None and hasattr(handle, "set_sizes"):
            handle.set_sizes([60])
    plain(axes)


def _confidences(axes: Axes, report: Report) -> None:
    rows = [one.rows for one in report.reliability]
    axes.bar([one.confidence for one in report.reliability], rows, width=0.035, color=BLUE, alpha=0.6)
    axes.set(xlabel="confidence in the answer", ylabel="texts", ylim=(0, max(rows) * 1.15))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    plain(axes)


def _confusion(axes: Axes, section: Section) -> None:
    """Counts, coloured by the share of the label's own texts, so that rare labels are seen too."""
    labels, counts = section.whole.labels, np.array(section.whole.confusion)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    few = len(labels) <= FEW_LABELS
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    axes.set_anchor("N")
    for (row, column), count in np.ndenumerate(counts):
        if few or count:
            words = f"{count:,}\n{shares[row, column]:.0%}" if few else f"{count}"
            axes.text(column, row, words, ha="center", va="center", fontsize=12 if few else 7.5, color="white" if shares[row, column] > DARK_FROM else INK)
    ticks = range(len(labels))
    axes.set_xticks(ticks, labels, rotation=0 if few else 60, ha="center" if few else "right", rotation_mode="anchor", fontsize=10 if few else 8.5)
    axes.set_yticks(ticks, labels, fontsize=10 if few else 8.5)
    if few:
        axes.tick_params(axis="x", pad=10)
    axes.set_xlabel("judged", fontsize=11)
    axes.set_ylabel("labelled", fontsize=11)
    axes.set_title(f"{section.question.capitalize()}: what is taken for what\n(colour: share of the label's texts)", fontsize=11, color=INK)
    axes.set_xticks(np.arange(-0.5, len(labels)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(labels)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="both", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
