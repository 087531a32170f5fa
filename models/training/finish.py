"""From trained weights to a model directory: temperatures and the embedding's map on rows kept back, scores on rows nothing was fitted on, the card."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from models import encoder_files
from models.adapters import Tensors, adapters_bytes, merged_directory
from models.backends.base import Floats
from models.cards import ADAPTERS, CARD, HEADS
from models.features import GROUPS, HEAD_NAMES, group_of, groups_of, widths_of
from models.heads import Head, heads_bytes, heads_from, with_register
from models.passes import Passes
from models.reader import Reader
from models.training.card import card_of
from models.training.fit import FEWEST_FOR_TEMPERATURE, Labels, fit_embedding, fit_temperatures
from models.training.measure import quality
from models.training.rows import Row, rows_sha256
from models.training.split import OWN_SPLIT, Part

log = structlog.get_logger()

EMBEDDING_ROWS = 14_000
"""Rows on which the embedding's map is fitted: 1,152 columns; 6,000 gave a mean cosine of .944."""


class Pooling(msgspec.Struct, frozen=True):
    """What the encoder gives for some rows, in their order."""

    features: Floats  # (N, features)
    groups: Labels  # (N,)
    named: Floats  # (K, span features): one row per name
    named_rows: Labels  # (K,): row of each name
    named_labels: Labels  # (K,)


def pooling_of(reader: Passes, rows: Sequence[Row]) -> Pooling:
    """The rows read."""
    inputs = [row.input for row in rows]
    widths = widths_of(reader.hidden)
    features = np.zeros((len(rows), widths["sentiment"]), np.float32)
    named, named_rows, named_labels = [np.zeros((0, widths["entity"] - widths["sentiment"]), np.float32)], [], []
    for reading in reader.read(inputs):
        features[reading.indices] = reading.pooled.features
        named.append(reading.pooled.spans)
        for row, which in reading.names:
            named_rows.append(reading.indices[row])
            named_labels.append(rows[reading.indices[row]].entities[which][2])
    return Pooling(features, groups_of(inputs), np.concatenate(named), np.array(named_rows, np.int64), np.array(named_labels, np.int64))


def finish(
    *,
    adapters: Tensors,
    heads: dict[str, Head],
    rows: Sequence[Row],
    parts: Sequence[Part],
    base: Path,
    out: Path,
    name: str,
    max_tokens: int,
    eight_bits: bool = False,
    mean_of: Sequence[str] = (),
    taught_by: str = "",
) -> dict[str, Any]:
    """Write adapters, calibrated heads and the card into `out`; returns the card.

    `eight_bits` keeps the adapters in those; `mean_of` names the models whose mean the weights are, `taught_by` the one whose answers they learnt from.

    Errors:
        ModelLoadError: `out` cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    blob = adapters_bytes(adapters, eight_bits=eight_bits)
    (out / ADAPTERS).write_bytes(blob)
    sha256 = hashlib.sha256(blob).hexdigest()
    reader = Reader(merged_directory(base, out / ADAPTERS, sha256=sha256, models_dir=base.parent), max_tokens=max_tokens)
    kept = [index for index, part in enumerate(parts) if part is not Part.TRAIN]
    chosen = [rows[index] for index in kept]
    log.info("reading the rows kept back", rows=len(chosen))
    pooling = pooling_of(reader, chosen)
    calibrates = np.array([parts[index] is Part.CALIBRATE for index in kept])
    calibrated = {
        head: _calibrated(heads[head], *_labelled(head, chosen, pooling), calibrates=calibrates, strange=np.array([is_strange(row) for row in chosen])) for head in HEAD_NAMES
    }
    log.info("fitting the embedding")
    embedding, cosine = embedding_of(reader, Reader(base, max_tokens=max_tokens), [row for row, part in zip(rows, parts, strict=True) if part is Part.TRAIN])
    data = heads_bytes(calibrated, embedding)
    (out / HEADS).write_bytes(data)
    stored = heads_from(data, hidden=reader.hidden)
    scores = {head: _scores(getattr(stored, head), *_labelled(head, chosen, pooling), rows=chosen, measures=~calibrates) for head in HEAD_NAMES}
    card = card_of(
        stored,
        name=name,
        hashes=(sha256, hashlib.sha256(data).hexdigest()),
        encoder=(encoder_files.NAME, encoder_files.SHA256),
        trained=[row for row, part in zip(rows, parts, strict=True) if part is Part.TRAIN],
        trained_at=datetime.now(UTC),
        mean_of=mean_of,
        taught_by=taught_by,
        scores={**scores, "embedding": {"cosine to the untuned encoder, held out": cosine}},
    )
    (out / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n")
    return card


def _labelled(head: str, rows: Sequence[Row], pooling: Pooling) -> tuple[Floats, Labels, Labels, Labels]:
    """What a head reads, what it should answer (-1: not labelled), the group, and the row of each."""
    features = with_register(pooling.features, pooling.groups)
    if head == "entity":
        at = pooling.named_rows
        return np.concatenate([pooling.named, features[at]], axis=1), pooling.named_labels, pooling.groups[at], at
    labels = [row.sentiment if head == "sentiment" else row.topic for row in rows]
    return features, np.array([-1 if label is None else label for label in labels], np.int64), pooling.groups, np.arange(len(rows))


def _calibrated(head: Head, features: Floats, labels: Labels, groups: Labels, at: Labels, *, calibrates: NDArray[np.bool_], strange: NDArray[np.bool_]) -> Head:
    """The head with temperatures: of rows by writers it never read where a group has enough of them (what it will meet is no kin of its training), else of all rows kept back."""
    known = calibrates[at] & (labels >= 0)
    chosen = known.copy()
    for group in range(len(GROUPS)):
        theirs = known & strange[at] & (groups == group)
        if int(theirs.sum()) >= FEWEST_FOR_TEMPERATURE:
            chosen &= (groups != group) | strange[at]
    return msgspec.structs.replace(head, temperatures=fit_temperatures(head.logits(features[chosen]), labels[chosen], groups=groups[chosen]))


def _scores(head: Head, features: Floats, labels: Labels, groups: Labels, at: Labels, *, rows: Sequence[Row], measures: NDArray[np.bool_]) -> dict[str, Any]:
    """Per set: rows, accuracy, macro F1, calibration error with the temperatures and without, and the digest of its rows."""
    untempered = msgspec.structs.replace(head, temperatures=np.ones_like(head.temperatures))
    after, before = head.probabilities(features, groups), untempered.probabilities(features, groups)
    found: dict[str, Any] = {}
    known = measures[at] & (labels >= 0)
    sets = np.array([set_of(rows[row]) for row in at])
    for name in sorted(set(sets[known])):
        chosen = known & (sets == name)
        with_temperature = quality(after[chosen], labels[chosen])
        found[str(name)] = {
            **msgspec.structs.asdict(with_temperature),
            "ece_uncalibrated": quality(before[chosen], labels[chosen]).ece,
            "rows_sha256": rows_sha256([rows[row] for row in at[chosen]], labels[chosen].tolist()),
        }
    return found


def is_strange(row: Row) -> bool:
    """Whether a row is of a writer that no training row is of (see rows.apart)."""
    return row.dataset not in {"sentfin", "synthetic", *OWN_SPLIT}


def set_of(row: Row) -> str:
    """The set that a row's score counts in."""
    if row.evaluation:
        return f"{row.dataset}, published validation split"
    if row.dataset == "sentfin":
        return "sentfin, entities differ, held out" if row.sentiment is None else "sentfin, held out"
    lang = "zh" if row.lang.startswith("zh") else "en"
    kind = GROUPS[group_of(row.input)][1].value
    conflict = " (entities differ)" if row.sentiment is None and row.entities else ""
    return f"{row.dataset} {lang} {kind}{conflict}, held out" if row.dataset == "synthetic" else f"{row.dataset}, other writers"


def embedding_of(tuned: Passes, untuned: Passes, rows: Sequence[Row]) -> tuple[Floats, float]:
    """The map from the tuned encoder's means to the untuned one's last mean, and its mean cosine on a tenth that it was not fitted on."""
    some = rows[:: max(1, len(rows) // EMBEDDING_ROWS)]
    wide = tuned.hidden
    means = pooling_of(tuned, some).features[:, : 3 * wide]
    target = _unit(pooling_of(untuned, some).features[:, 2 * wide : 3 * wide])
    held = np.arange(len(some)) % 10 == 0
    mapped = fit_embedding(means[~held], target[~held])
    guess = _unit(means[held] @ mapped[:, :-1].T + mapped[:, -1])
    return mapped, round(float((guess * target[held]).sum(1).mean()), 4)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
