"""The labelled rows in `models/datasets`, in one form."""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from models.backends.base import SENTIMENTS, ModelInput
from opinion.records import TOPICS, DocumentKind

DATASETS = Path(__file__).parents[1] / "datasets"
TWITTER_SENTIMENTS = ("negative", "positive", "neutral")
"""Label order of twitter-financial-news-sentiment: 0 bearish, 1 bullish, 2 neutral."""

_DECISION = re.compile(r""": ['"](positive|neutral|negative)['"]""")


class Row(Struct, frozen=True):
    """One text with what its writer or labeller says of it."""

    dataset: str
    text: str
    kind: DocumentKind
    lang: str
    sentiment: int | None = None  # index into SENTIMENTS; None where not labelled
    topic: int | None = None  # index into records.TOPICS; None where not labelled
    evaluation: bool = False  # of a published validation split: never trained on

    @property
    def input(self) -> ModelInput:
        """The row as the model sees it."""
        return ModelInput("", self.text, self.kind, self.lang)


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
    """Headlines of SEntFiN whose entities all have the same label."""
    for record in _csv(DATASETS / "sentfin" / "SEntFiN.csv.gz"):
        labels = decisions(record["Decisions"])
        if len(labels) == 1:
            yield Row("sentfin", _plain(record["Title"]), DocumentKind.NEWS, "en", sentiment=SENTIMENTS.index(labels.pop()))


def decisions(field: str) -> set[str]:
    r"""The labels in a `Decisions` field: a dict literal whose entity names may hold any quote, so that only a pattern reads them all.

    >>> sorted(decisions("{'Osian's Art Fund': 'negative', \"Moody's\": 'neutral'}"))
    ['negative', 'neutral']
    """
    return set(_DECISION.findall(field))


def synthetic() -> Iterator[Row]:
    """Rows written for this project."""
    for path in sorted((DATASETS / "synthetic").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            topic = TOPICS.index(record["topic"]) if record["topic"] else None
            yield Row("synthetic", record["text"], DocumentKind(record["kind"]), record["lang"], sentiment=SENTIMENTS.index(record["sentiment"]), topic=topic)


def _plain(text: str) -> str:
    """Tweets and headlines come with HTML entities; documents do not."""
    return html.unescape(text)


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rb") as file:
        yield from csv.DictReader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
