"""`yuqing evaluate`: a classification report of the model on a labelled set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.backends.base import SENTIMENTS
from models.entities import LinkedEntity
from models.judge import Judge
from models.registry import load_backend
from models.training.labelled import Columns, DataSet, Labelled, read_labelled
from models.training.report import POLES, Evaluation, Failure, Section, as_text, is_polar, poles_of, section_of
from opinion.errors import ConfigError, PoisonText
from opinion.names import doc_id_of
from opinion.records import TOPICS, Document, Judgement, PaneKind
from opinion.settings import Settings

CHUNK = 256
"""Texts judged together."""
REPORT, PICTURE = "report.json", "report.png"

Pair = tuple[Labelled, Judgement]


class Judging(Protocol):
    """Something that judges documents."""

    model: str

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        """One answer per document, in order."""
        ...


class _NoLinker:
    """Finds no companies: they change nothing about a whole text."""

    def link(self, document: Document) -> list[LinkedEntity]:
        _ = document
        return []


def run_evaluation(dataset: Path, *, out: Path | None, columns: Columns, limit: int | None, settings: Settings, stdout: IO[str], as_json: bool) -> None:
    """Judge the set, print the report, and write it and its picture into the folder `out`.

    Errors:
        ConfigError: no such file or column, or the folder cannot be made.
        RecordError: the file is damaged, or holds a label that is not known.
        ModelLoadError: the model cannot be loaded.
        InferenceError: the model fails on any text.
        PoisonText: it fails on each.
    """
    rows = read_labelled(dataset, columns, limit=limit)
    judge = Judge(load_backend(settings), _NoLinker())
    folder = out or Path(f"evaluation-{stem_of(dataset)}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from error
    evaluation = evaluate(rows, judge, dataset=dataset.name, sha256=hashlib.sha256(dataset.read_bytes()).hexdigest())
    _write(evaluation, folder)
    stdout.write(msgspec.json.encode(evaluation).decode() + "\n" if as_json else f"{as_text(evaluation)}\n{folder}: {REPORT}, {PICTURE}\n")


def stem_of(dataset: Path) -> str:
    """The name of a file without its endings.

    >>> stem_of(Path("sets/financial.news.csv.gz"))
    'financial.news'
    """
    return (dataset.with_suffix("") if dataset.suffix == ".gz" else dataset).stem


def evaluate(rows: DataSet, judge: Judging, *, dataset: str, sha256: str) -> Evaluation:
    """The evaluation of a judge on the rows.

    Errors:
        InferenceError: the model fails on any text.
        PoisonText: it fails on each.
    """
    pairs: list[Pair] = []
    failures: list[Failure] = []
    for row, answer in _judged(rows.rows, judge):
        if isinstance(answer, PoisonText):
            failures.append(Failure(row.line, str(answer)))
        else:
            pairs.append((row, answer))
    if not pairs:
        raise PoisonText(f"the model fails on each of {len(failures)} texts, the first of them: {failures[0].error}")
    return Evaluation(
        dataset=dataset,
        sha256=sha256,
        model=judge.model,
        backend=pairs[0][1].backend,
        texts=len(pairs),
        failures=failures,
        unlabelled=rows.unlabelled,
        empty=rows.empty,
        sections=list(_sections(pairs)),
    )


def _judged(rows: Sequence[Labelled], judge: Judging) -> Iterator[tuple[Labelled, Judgement | PoisonText]]:
    console = Console(stderr=True)
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=len(rows))
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            yield from zip(chunk, judge.judge([_document(row) for row in chunk]), strict=True)
            bar.advance(task, len(chunk))


def _document(row: Labelled) -> Document:
    native_id = str(row.line)
    return Document(
        doc_id=doc_id_of("evaluate", native_id),
        source="evaluate",
        publisher="",
        kind=row.kind,
        native_id=native_id,
        title=row.title,
        text=row.text,
        lang=row.lang,
        fetched_at=datetime.now(UTC),
    )


def _sections(pairs: Sequence[Pair]) -> Iterator[Section]:
    """Sentiment, polarity where the set knows no neutral, topics: what the set has labels for."""
    felt = [(row, answer, row.sentiment) for row, answer in pairs if row.sentiment is not None]
    if felt:
        probabilities = np.array([[answer.sentiment.negative, answer.sentiment.neutral, answer.sentiment.positive] for _, answer, _ in felt], np.float32)
        truth, groups = np.array([label for _, _, label in felt], np.int64), _groups([row for row, _, _ in felt])
        yield section_of("sentiment", SENTIMENTS, probabilities, truth, **groups)
        if is_polar(truth):
            yield section_of("polarity", [SENTIMENTS[pole] for pole in POLES], poles_of(probabilities), (truth == POLES[1]).astype(np.int64), **groups)
    about = [(row, answer, row.topic) for row, answer in pairs if row.topic is not None]
    if about:
        probabilities = np.array([[answer.topics[name] for name in TOPICS] for _, answer, _ in about], np.float32)
        yield section_of("topic", TOPICS, probabilities, np.array([label for _, _, label in about], np.int64), **_groups([row for row, _, _ in about]))


def _groups(rows: Sequence[Labelled]) -> dict[str, list[str]]:
    return {"languages": [row.lang.split("-")[0].lower() for row in rows], "kinds": [PaneKind.of(row.kind).value for row in rows]}


def _write(evaluation: Evaluation, folder: Path) -> None:
    from yuqing.report_picture import draw  # noqa: PLC0415 - matplotlib takes half a second, and memory that judging could use

    try:
        (folder / REPORT).write_bytes(msgspec.json.format(msgspec.json.encode(evaluation), indent=2) + b"\n")
        draw(evaluation, folder / PICTURE)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from error
