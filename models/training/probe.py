"""`python -m models.training.probe`: make `models/weights` anew from `models/datasets`, in about five minutes on two cores.

The encoder stays as it is; one small head for sentiment and one for topics are fitted on what it gives. Rows are split by near-duplicate
cluster: 85 % train, 7.5 % set the temperatures, 7.5 % are only measured. Published validation splits are only measured, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
import torch

from models import encoder
from models.backends.base import SENTIMENTS
from models.heads import GROUPS, Head, Heads, groups_of, heads_bytes, heads_from, with_register
from models.reader import Reader
from models.registry import CARD, HEADS, NAME, WEIGHTS
from models.training.card import card_of
from models.training.clusters import clusters_of, position
from models.training.fit import fit_head, fit_temperatures
from models.training.measure import Quality, quality
from models.training.rows import Row, all_rows
from opinion.records import TOPICS
from opinion.settings import load_settings

log = structlog.get_logger()

SEED = 20261124
MEASURED_BELOW, CALIBRATED_BELOW = 0.075, 0.15
"""Clusters by their place in [0, 1): measured, then for temperatures, the rest for training."""
SYNTHETIC_TOPIC_WEIGHT = 2.0
"""The topic rows of the tweets outnumber those of Chinese and of posts by six."""
CLASS_POWER = 0.5
"""Sentiment rows weigh (1 / share of their class) to this power: tweets are 65 % neutral. Topics are left as they are: weights cost accuracy and gain no F1."""


class Material(msgspec.Struct, frozen=True):
    """The rows, what the encoder gives for them, and which may be used for what."""

    rows: list[Row]
    features: torch.Tensor
    groups: torch.Tensor
    place: np.ndarray[Any, np.dtype[np.float64]]  # of the row's cluster, in [0, 1)
    published: np.ndarray[Any, np.dtype[np.bool_]]

    @property
    def trains(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Rows that heads are fitted on."""
        return ~self.published & (self.place >= CALIBRATED_BELOW)

    @property
    def calibrates(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Rows that temperatures are fitted on."""
        return ~self.published & (self.place >= MEASURED_BELOW) & (self.place < CALIBRATED_BELOW)

    @property
    def measures(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Rows that nothing was fitted on."""
        return self.published | (self.place < MEASURED_BELOW)


def material(rows: list[Row], reader: Reader) -> Material:
    """The rows made ready: encoded, clustered, split."""
    inputs = [row.input for row in rows]
    features = torch.zeros(len(rows), reader.width)
    for reading in reader.read(inputs):
        features[reading.indices] = reading.pooled.features.cpu()
    groups = groups_of(inputs, torch.device("cpu"))
    clusters = clusters_of([row.text for row in rows], openings=[index for index, row in enumerate(rows) if row.dataset == "synthetic" and row.lang == "zh"])
    place = np.array([position(rows[cluster].text) for cluster in clusters])
    return Material(rows, with_register(features, groups), groups, place, np.array([row.evaluation for row in rows]))


def fit(data: Material, labels: Sequence[int | None], *, weights: torch.Tensor, n_labels: int) -> Head:
    """A calibrated head for one set of labels; None is not labelled."""
    known = np.array([label is not None for label in labels])
    target = torch.tensor([-1 if label is None else label for label in labels])
    train, held = (torch.from_numpy(np.flatnonzero(known & part)) for part in (data.trains, data.calibrates))
    head = fit_head(data.features[train], target[train], weights=weights[train], n_labels=n_labels, seed=SEED)
    temperatures = fit_temperatures(head.logits(data.features[held]), target[held], groups=data.groups[held])
    return msgspec.structs.replace(head, temperatures=temperatures)


def sentiment_weights(data: Material) -> torch.Tensor:
    """What each row counts in fitting sentiment."""
    labels = np.array([-1 if row.sentiment is None else row.sentiment for row in data.rows])
    counts = np.bincount(labels[data.trains & (labels >= 0)], minlength=len(SENTIMENTS))
    return torch.from_numpy(((counts.sum() / counts) ** CLASS_POWER)[labels].astype(np.float32))


def topic_weights(data: Material) -> torch.Tensor:
    """What each row counts in fitting topics."""
    return torch.tensor([SYNTHETIC_TOPIC_WEIGHT if row.dataset == "synthetic" else 1.0 for row in data.rows])


def scores_of(data: Material, heads: Heads) -> dict[str, dict[str, Any]]:
    """Per head and per set, language and register of rows that nothing was fitted on: the quality, and the calibration error without temperatures."""
    found: dict[str, dict[str, Any]] = {}
    for name, head, field in (("sentiment", heads.sentiment, "sentiment"), ("topics", heads.topics, "topic")):
        labels = np.array([-1 if (label := getattr(row, field)) is None else label for row in data.rows])
        with torch.inference_mode():
            after = head.probabilities(data.features, data.groups).numpy()
            before = torch.softmax(head.logits(data.features), dim=1).numpy()
        found[name] = {}
        for where, chosen in _sets(data):
            rows = chosen & (labels >= 0)
            if rows.any():
                calibrated: Quality = quality(after[rows], labels[rows])
                found[name][where] = {**msgspec.structs.asdict(calibrated), "ece_uncalibrated": quality(before[rows], labels[rows]).ece}
    return found


def _sets(data: Material) -> list[tuple[str, np.ndarray[Any, np.dtype[np.bool_]]]]:
    datasets = np.array([row.dataset for row in data.rows])
    groups = data.groups.numpy()
    sets = [(f"{name}, published validation split", (datasets == name) & data.published) for name in ("twitter-financial-sentiment", "twitter-financial-topic")]
    sets.append(("sentfin, held out", (datasets == "sentfin") & data.measures))
    for index, (lang, register) in enumerate(GROUPS):
        sets.append((f"synthetic {lang} {register}, held out", (datasets == "synthetic") & data.measures & (groups == index)))
    return sets


def train(reader: Reader, out: Path) -> dict[str, Any]:
    """Fit both heads and write them with their card into `out`; returns the card."""
    rows = all_rows()
    log.info("encoding", rows=len(rows))
    data = material(rows, reader)
    log.info("fitting", sentiment_rows=int((data.trains & [row.sentiment is not None for row in rows]).sum()))
    sentiment = fit(data, [row.sentiment for row in rows], weights=sentiment_weights(data), n_labels=len(SENTIMENTS))
    topics = fit(data, [row.topic for row in rows], weights=topic_weights(data), n_labels=len(TOPICS))
    blob = heads_bytes(sentiment, topics)
    heads = heads_from(blob, device=torch.device("cpu"), width=reader.width)
    card = card_of(heads, encoder=(encoder.NAME, encoder.SHA256), trained=[row for row, used in zip(rows, data.trains, strict=True) if used], scores=scores_of(data, heads))
    out.mkdir(parents=True, exist_ok=True)
    (out / HEADS).write_bytes(blob)
    (out / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    return card


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="directory to write into")
    arguments = parser.parse_args()
    settings = load_settings()
    reader = Reader(encoder.prepare_model(settings.models_dir), device=settings.device, threads=settings.threads)
    card = train(reader, arguments.out)
    log.info("written", model=f"{NAME}@{card['revision']}", scores=card["scores"])


if __name__ == "__main__":
    main()
