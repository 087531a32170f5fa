"""The labelled rows in `models/datasets`, in one form."""

from __future__ import annotations

import csv
import gzip
import hashlib
import html
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from models.backends.base import SENTIMENTS, ModelInput
from opinion.records import TOPICS, DocumentKind

DATASETS = Path(__file__).parents[1] / "datasets"
TWITTER_SENTIMENTS = ("negative", "positive", "neutral")
"""Label order of twitter-financial-news-sentiment: 0 bearish, 1 bullish, 2 neutral."""

_DECISION = re.compile(r"""['"]([^{}]+?)['"]: ['"](positive|neutral|negative)['"](?:, |\})""")


class Row(Struct, frozen=True):
    """One text with what its writer or labeller says of it."""

    dataset: str
    text: str
    kind: DocumentKind
    lang: str
    sentiment: int | None = None  # index into SENTIMENTS; None where not labelled
    topic: int | None = None  # index into records.TOPICS; None where not labelled
    evaluation: bool = False  # of a published validation split: never trained on
    entities: tuple[tuple[int, int, int], ...] = ()  # start, end of a name in the text, and what is said of it: index into SENTIMENTS

    @property
    def input(self) -> ModelInput:
        """The row as the model sees it."""
        return ModelInput("", self.text, self.kind, self.lang, tuple((start, end) for start, end, _ in self.entities))


def rows_sha256(rows: Sequence[Row], labels: Sequence[int]) -> str:
    """The first 16 digits of the sha256 of rows and what should be answered for each, whatever their order: equal where two models were asked the same.

    >>> one, two = (Row("x", text, DocumentKind.NEWS, "en") for text in "ab")
    >>> rows_sha256([one, two], [0, 1]) == rows_sha256([two, one], [1, 0]) != rows_sha256([one, two], [1, 0])
    True
    """
    asked = sorted(msgspec.json.encode((row.text, row.kind, row.lang, label)) for row, label in zip(rows, labels, strict=True))
    return hashlib.sha256(b"\n".join(asked)).hexdigest()[:16]


def all_rows() -> list[Row]:
    """Every row we have, in a fixed order."""
    return [*twitter_sentiment(), *twitter_topics(), *sentfin(), *synthetic()]


def twitter_sentiment() -> Iterator[Row]:
    """Rows of twitter-financial-news-sentiment, both splits."""
    for split in ("train", "valid"):
        for number, record in enumerate(_csv(DATASETS / "twitter-financial-sentiment" / f"sent_{split}.csv.gz")):
            sentiment = SENTIMENTS.index(TWITTER_SENTIMENTS[int(record["label"])])
            yield Row("twitter-financial-sentiment", _plain(record["text"]), _register(number, split), "en", sentiment=sentiment, evaluation=split == "valid")


def twitter_topics() -> Iterator[Row]:
    """Rows of twitter-financial-news-topic, both splits."""
    for split in ("train", "valid"):
        for number, record in enumerate(_csv(DATASETS / "twitter-financial-topic" / f"topic_{split}.csv.gz")):
            yield Row("twitter-financial-topic", _plain(record["text"]), _register(number, split), "en", topic=int(record["label"]), evaluation=split == "valid")


def _register(number: int, split: str) -> DocumentKind:
    """These tweets are headlines of news desks: half of them train each register, so that neither depends on being told which it is."""
    return DocumentKind.NEWS if split == "train" and number % 2 else DocumentKind.SOCIAL


def sentfin() -> Iterator[Row]:
    """Headlines of SEntFiN with the sentiment of each entity; one for the whole where all agree."""
    for record in _csv(DATASETS / "sentfin" / "SEntFiN.csv.gz"):
        text = _plain(record["Title"])
        found = decisions(record["Decisions"])
        labels = {label for _, label in found}
        whole = SENTIMENTS.index(next(iter(labels))) if len(labels) == 1 else None
        yield Row("sentfin", text, DocumentKind.NEWS, "en", sentiment=whole, entities=placed(text, [(_plain(name), SENTIMENTS.index(label)) for name, label in found]))


def decisions(field: str) -> list[tuple[str, str]]:
    r"""The names and labels in a `Decisions` field: a dict literal whose names may hold any quote, so that only a pattern reads them all.

    >>> decisions("{'Osian's Art Fund': 'negative', \"Moody's\": 'neutral'}")
    [("Osian's Art Fund", 'negative'), ("Moody's", 'neutral')]
    """
    return _DECISION.findall(field)


def placed(text: str, entities: Iterable[tuple[str, int]]) -> tuple[tuple[int, int, int], ...]:
    """Where each name stands in the text (its first place, in any case of letters), with its label; names that do not occur are left out.

    >>> placed("Bank of Bank", [("bank", 2), ("Other", 0)])
    ((0, 4, 2),)
    """
    found = []
    for name, label in entities:
        match = re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", text, re.IGNORECASE) or re.search(re.escape(name), text, re.IGNORECASE)
        if match:
            found.append((*match.span(), label))
    return tuple(found)


def synthetic() -> Iterator[Row]:
    """Rows written for this project."""
    for path in sorted((DATASETS / "synthetic").glob("*.jsonl")):
        yield from written(path)


def apart() -> Iterator[Row]:
    """Rows written for this project that no model is trained on, each with its file's name as data set."""
    for path in sorted((DATASETS / "synthetic" / "apart").glob("*.jsonl")):
        yield from written(path, dataset=path.stem)


def written(path: Path, *, dataset: str = "synthetic") -> Iterator[Row]:
    """The rows of one JSON Lines file: `text`, `kind`, `lang`, and `sentiment` and `topic`, or `entities` with a sentiment each."""
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        entities = [(one["name"], SENTIMENTS.index(one["sentiment"])) for one in record.get("entities", ())]
        labels = {label for _, label in entities} if entities else {SENTIMENTS.index(record["sentiment"])}
        topic = TOPICS.index(record["topic"]) if record.get("topic") else None
        whole = labels.pop() if len(labels) == 1 else None
        yield Row(dataset, record["text"], DocumentKind(record["kind"]), record["lang"], whole, topic, entities=placed(record["text"], entities))


def _plain(text: str) -> str:
    """Tweets and headlines come with HTML entities; documents do not."""
    return html.unescape(text)


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rb") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
