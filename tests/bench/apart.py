"""The shipped model on the rows kept apart from its training: `python -m tests.bench.apart`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from models.backends.base import SENTIMENTS
from models.registry import load_judge
from models.training.measure import calibration_error, macro_f1
from models.training.rows import DATASETS
from opinion.errors import PoisonText
from opinion.records import Document, DocumentKind
from opinion.settings import load_settings
from tests.bench.report import say

APART = DATASETS / "synthetic" / "apart"


class Row(msgspec.Struct):
    """A text with what its writer says of it."""

    text: str
    sentiment: str
    topic: str | None
    kind: DocumentKind
    lang: str

    def as_document(self) -> Document:
        """The row as a source would give it."""
        lang = "zh-Hans" if self.lang == "zh" else self.lang
        return Document(doc_id="apart:1", source="apart", publisher="", kind=self.kind, native_id="1", text=self.text, lang=lang, fetched_at=datetime.now(UTC))


def measured(path: Path) -> str:
    """One line of scores for one file."""
    rows = [msgspec.json.decode(line, type=Row) for line in path.read_bytes().splitlines()]
    answers = [answer for answer in load_judge(load_settings()).judge([row.as_document() for row in rows]) if not isinstance(answer, PoisonText)]
    given = np.array([[getattr(answer.sentiment, name) for name in SENTIMENTS] for answer in answers], np.float32)
    wanted = np.array([SENTIMENTS.index(row.sentiment) for row in rows])
    right = given.argmax(1) == wanted
    topics = [answer.topic == row.topic for answer, row in zip(answers, rows, strict=True) if row.topic]
    error = calibration_error(given.max(1), right)
    scores = f"accuracy {right.mean():.3f}, macro F1 {macro_f1(given.argmax(1), wanted):.3f}, ECE {error:.3f}"
    return f"{path.stem}: n {len(rows)}, {scores}; topics {np.mean(topics):.3f} (n {len(topics)})"


if __name__ == "__main__":
    for file in sorted(APART.glob("*.jsonl")):
        say(measured(file))
