"""How well a model judges a labelled set, in numbers and as a person reads them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from models.backends.base import SENTIMENTS, Floats
from models.training.measure import BINS, Quality, quality

POLES = (SENTIMENTS.index("negative"), SENTIMENTS.index("positive"))
Z = 1.96
"""Half-width of a 95 % interval in standard deviations."""
MOST_MIX_UPS = 10
"""Confusions shown where the matrix is too wide to read."""
WIDEST_MATRIX = 6
"""Labels up to which a confusion matrix is shown whole."""
FEWEST_TEXTS = 20
"""Texts of a group from which its labels are shown one by one; report.json has all."""

Labels = NDArray[np.int64]


class ClassScore(Struct, frozen=True):
    """How well one label is judged."""

    label: str
    precision: float | None  # None where it is never judged
    recall: float | None  # None where it never occurs
    f1: float
    support: int


class Bin(Struct, frozen=True):
    """Texts judged with about the same confidence."""

    confidence: float  # mean
    accuracy: float
    rows: int


class Report(Struct, frozen=True):
    """The classification report of one group of texts."""

    quality: Quality
    accuracy_low: float  # of the 95 % interval (Wilson 1927, score interval)
    accuracy_high: float
    classes: list[ClassScore]  # those that occur or are judged
    labels: list[str]  # of rows and columns of the confusion matrix
    confusion: list[list[int]]  # rows: as labelled, columns: as judged
    reliability: list[Bin]


class Section(Struct, frozen=True):
    """One question (`sentiment`, `polarity`, `topic`) over all texts, and by groups of them."""

    question: str
    whole: Report
    by_language: dict[str, Report]
    by_kind: dict[str, Report]


class Failure(Struct, frozen=True):
    """A text that the model failed on."""

    line: int
    error: str


class Evaluation(Struct, frozen=True, kw_only=True):
    """Everything that is known of a model on a set."""

    dataset: str
    sha256: str  # of the file
    model: str  # `name@revision`
    backend: str
    texts: int  # judged
    failures: list[Failure]
    unlabelled: int  # rows left out
    empty: int  # rows left out: neither title nor text
    sections: list[Section]


def section_of(question: str, labels: Sequence[str], probabilities: Floats, truth: Labels, *, languages: Sequence[str], kinds: Sequence[str]) -> Section:
    """The reports on (N, labels) probabilities against N labels, the texts being of these languages and kinds."""

    def by(groups: Sequence[str]) -> dict[str, Report]:
        names, counts = np.unique(groups, return_counts=True)
        masks = {str(name): np.asarray(groups) == name for name in names[np.argsort(-counts, kind="stable")]}
        return {name: report_of(labels, probabilities[mask], truth[mask]) for name, mask in masks.items()}

    return Section(question, report_of(labels, probabilities, truth), by(languages), by(kinds))


def poles_of(probabilities: Floats) -> Floats:
    """The probabilities (N, 2) of negative and positive when neutral may not be chosen.

    >>> poles_of(np.array([[0.1, 0.6, 0.3], [0.0, 1.0, 0.0]], np.float32)).tolist()
    [[0.25, 0.75], [0.5, 0.5]]
    """
    poles = probabilities[:, POLES].astype(np.float64)
    total = poles.sum(1, keepdims=True)
    return np.where(total > 0, poles / np.where(total > 0, total, 1), 0.5).astype(np.float32)


def is_polar(truth: Labels) -> bool:
    """Whether a set knows negative and positive only.

    >>> is_polar(np.array([0, 2, 0])), is_polar(np.array([0, 1, 2])), is_polar(np.array([2, 2]))
    (True, False, False)
    """
    return tuple(np.unique(truth)) == POLES


def report_of(labels: Sequence[str], probabilities: Floats, truth: Labels) -> Report:
    """The report on (N, labels) probabilities against N labels; N is at least 1."""
    best = probabilities.argmax(1)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (truth, best), 1)
    low, high = wilson(int(np.trace(confusion)), len(truth))
    return Report(
        quality=quality(probabilities, truth),
        accuracy_low=round(low, 4),
        accuracy_high=round(high, 4),
        classes=[class_score(name, confusion, at=index) for index, name in enumerate(labels) if confusion[index].any() or confusion[:, index].any()],
        labels=list(labels),
        confusion=confusion.tolist(),
        reliability=reliability(probabilities.max(1), best == truth),
    )


def class_score(label: str, confusion: Labels, *, at: int) -> ClassScore:
    """The scores of the label whose row and column of the confusion matrix is `at`."""
    right, judged, support = int(confusion[at, at]), int(confusion[:, at].sum()), int(confusion[at].sum())
    precision, recall = (round(right / count, 4) if count else None for count in (judged, support))
    return ClassScore(label, precision, recall, round(2 * right / (judged + support), 4), support)


def wilson(right: int, count: int) -> tuple[float, float]:
    """The interval that holds the true share with 95 % confidence.

    >>> [round(bound, 3) for bound in wilson(9, 10)]
    [0.596, 0.982]
    """
    share, square = right / count, Z * Z
    middle, half = share + square / (2 * count), Z * float(np.sqrt(share * (1 - share) / count + square / (4 * count * count)))
    return (middle - half) / (1 + square / count), (middle + half) / (1 + square / count)


def reliability(confidences: Floats, right: NDArray[np.bool_]) -> list[Bin]:
    """The bins that the calibration error is made of, those that hold texts, by confidence."""
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    masks = [bins == one for one in np.unique(bins)]
    return [Bin(round(float(confidences[mask].mean()), 4), round(float(right[mask].mean()), 4), int(mask.sum())) for mask in masks]


def as_text(evaluation: Evaluation) -> str:
    """The evaluation for people."""
    lines = [f"{evaluation.dataset}: {_texts(evaluation.texts)} judged by {evaluation.model} ({evaluation.backend})"]
    left_out = {"without a label": evaluation.unlabelled, "without a text": evaluation.empty}
    lines += [f"left out, {why}: {count}" for why, count in left_out.items() if count]
    if evaluation.failures:
        first = evaluation.failures[0]
        lines.append(f"failed: {_texts(len(evaluation.failures))}, first line {first.line}: {first.error}")
    for section in evaluation.sections:
        lines += ["", *_section_lines(section)]
    return "\n".join(lines) + "\n"


def _section_lines(section: Section) -> Iterator[str]:
    name = "polarity (neutral left out of the choice)" if section.question == "polarity" else section.question
    yield from _report_lines(name.capitalize(), section.whole)
    for groups in (section.by_language, section.by_kind):
        if len(groups) > 1:
            yield from _group_lines(section.question, groups)


def _group_lines(question: str, groups: Mapping[str, Report]) -> Iterator[str]:
    """The report of each group that is large enough, where it can be read at a glance; else its main numbers."""
    for name, report in groups.items():
        title = f"{question.capitalize()}, {name} only"
        yield ""
        if report.quality.rows >= FEWEST_TEXTS and len(report.labels) <= WIDEST_MATRIX:
            yield from _report_lines(title, report)
        else:
            yield from _head_lines(title, report)


def _head_lines(title: str, report: Report) -> Iterator[str]:
    found = report.quality
    yield f"{title}: {_texts(found.rows)}"
    yield f"  accuracy {found.accuracy:.3f} ({report.accuracy_low:.3f} to {report.accuracy_high:.3f})   macro F1 {found.macro_f1:.3f}   ECE {found.ece:.3f}"


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count} texts"


def _report_lines(title: str, report: Report) -> Iterator[str]:
    yield from _head_lines(title, report)
    width = max(len(one.label) for one in report.classes)
    yield f"  {'':{width}}  precision  recall     F1  support"
    for one in report.classes:
        yield f"  {one.label:{width}}  {_share(one.precision):>9}  {_share(one.recall):>6}  {one.f1:5.3f}  {one.support:7}"
    yield from _matrix_lines(report) if len(report.labels) <= WIDEST_MATRIX else _mix_up_lines(report)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _matrix_lines(report: Report) -> Iterator[str]:
    width = max(len(name) for name in report.labels)
    yield f"  {'labelled':>{width}} | judged {'  '.join(f'{name:>{width}}' for name in report.labels)}"
    for name, row in zip(report.labels, report.confusion, strict=True):
        yield f"  {name:>{width}} |        {'  '.join(f'{count:{width}}' for count in row)}"


def _mix_up_lines(report: Report) -> Iterator[str]:
    found = mix_ups(report)
    if found:
        yield "  most often confused (labelled -> judged):"
    for (labelled, judged), count in found.items():
        yield f"  {count:5}  {labelled} -> {judged}"


def mix_ups(report: Report) -> Mapping[tuple[str, str], int]:
    """The most frequent errors, as (labelled, judged) -> texts, most frequent first."""
    errors = {
        (labelled, judged): count
        for labelled, row in zip(report.labels, report.confusion, strict=True)
        for judged, count in zip(report.labels, row, strict=True)
        if labelled != judged
    }
    ranked = sorted((pair for pair, count in errors.items() if count), key=lambda pair: -errors[pair])
    return {pair: errors[pair] for pair in ranked[:MOST_MIX_UPS]}
