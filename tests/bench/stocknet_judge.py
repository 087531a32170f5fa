"""Judges the StockNet tweets with the shipped model: `python -m tests.bench.stocknet_judge ARCHIVE [--out FILE]`; makes tests/data/stocknet/judged.npz.

Only what detection needs is kept of a tweet: when, of which ticker, by whom (renumbered), which story (renumbered), and how likely negative.
Beside them, how likely negative are the tweets that people labelled so in the published validation split of Twitter financial sentiment.
"""

from __future__ import annotations

import argparse
import json
import re
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np

from models.backends.base import SENTIMENTS, ModelInput
from models.registry import load_backend
from models.story_text import story_id_of
from models.training.rows import twitter_sentiment
from opinion.records import Document, DocumentKind
from opinion.settings import load_settings
from tests.bench.report import say

OUT = Path(__file__).parent.parent / "data" / "stocknet" / "judged.npz"
PERMILLE = 1000
BATCH = 512
MASKS = {"AT_USER", "URL", "rt", "\u200b"}
BEFORE = re.compile(r" (?=[.,:;!?%)\]'’])")
AFTER = re.compile(r"(?<=[$(\[@#]) ")


class Tweet(NamedTuple):
    """One tweet as the archive has it."""

    at_s: int
    ticker: str
    author: str
    text: str


def tweets(archive: Path) -> Iterator[Tweet]:
    """Every tweet of the archive, in its order: going back in it means unpacking it again."""
    with tarfile.open(archive) as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            for line in file or ():
                row = json.loads(line)
                at = datetime.strptime(row["created_at"], "%a %b %d %H:%M:%S %z %Y").astimezone(UTC)
                ticker = Path(member.name).parent.name
                yield Tweet(int(at.timestamp()), ticker, row["user_id_str"], readable(row["text"]))


def readable(tokens: list[str]) -> str:
    """The text that the tokens were made of, as nearly as can be told.

    >>> readable(["rt", "AT_USER", "$", "aapl", "falls", ",", "again", "!", "URL"])
    '$AAPL falls, again!'
    """
    text = AFTER.sub("", BEFORE.sub("", " ".join(token for token in tokens if token not in MASKS)))
    return re.sub(r"\$[a-z]+", lambda found: found[0].upper(), text)


def story_of(tweet: Tweet, *, number: int) -> str:
    """The story that the worker would say this tells."""
    document = Document(
        doc_id=f"stocknet:{number}",
        source="stocknet",
        publisher="x.com",
        kind=DocumentKind.SOCIAL,
        native_id=str(number),
        text=tweet.text,
        lang="en",
        fetched_at=datetime.fromtimestamp(tweet.at_s, UTC),
    )
    return story_id_of(document)


def input_of(tweet: Tweet) -> ModelInput:
    """The text with its ticker as the name to judge by itself, where it occurs."""
    found = re.search(rf"\${re.escape(tweet.ticker)}\b", tweet.text)
    names = ((found.start() + 1, found.end() + 1),) if found else ()
    return ModelInput("", tweet.text, DocumentKind.SOCIAL, "en", names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    rows = sorted(tweets(asked.archive))
    backend = load_backend(load_settings())
    inputs = {(row.ticker, row.text): input_of(row) for row in rows}
    keys = sorted(inputs, key=lambda key: len(key[1]))
    negative: dict[tuple[str, str], float] = {}
    for start in range(0, len(keys), BATCH):
        batch = keys[start : start + BATCH]
        scores = backend.score([inputs[key] for key in batch])
        for key, whole, own in zip(batch, scores.sentiment, scores.entities, strict=True):
            told = own[0] if len(own) and not np.isnan(own[0]).any() else whole
            negative[key] = float(told[0])
        if start // BATCH % 10 == 0:
            say(f"{start} of {len(keys)}")
    labelled = [row.input for row in twitter_sentiment() if row.evaluation and row.sentiment == SENTIMENTS.index("negative")]
    tickers = sorted({row.ticker for row in rows})
    authors, stories = [row.author for row in rows], [story_of(row, number=number) for number, row in enumerate(rows)]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        asked.out,
        at_s=np.array([row.at_s for row in rows], np.int32),
        ticker=np.array([tickers.index(row.ticker) for row in rows], np.uint8),
        negative=np.array([round(PERMILLE * negative[row.ticker, row.text]) for row in rows], np.int16),
        labelled_negative=np.array(np.rint(PERMILLE * backend.score(labelled).sentiment[:, 0]), np.int16),
        tickers=np.array(tickers),
        model=np.array(f"{backend.model}@{backend.revision}"),
        author=np.unique(authors, return_inverse=True)[1].astype(np.int32),
        story=np.unique(stories, return_inverse=True)[1].astype(np.int32),
    )
    say(f"{len(rows)} tweets, {len(keys)} texts judged by {backend.model}@{backend.revision}: {asked.out}")


if __name__ == "__main__":
    main()
