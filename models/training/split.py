"""Which rows train, which set temperatures, which are only measured: by near-duplicate cluster, the same for ever whatever rows are added."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from models.training.clusters import clusters_of, position
from models.training.rows import Row

MEASURED_BELOW, CALIBRATED_BELOW = 0.075, 0.125
"""Clusters by their place in [0, 1): measured, then for temperatures, the rest for training."""
OWN_SPLIT = ("twitter-financial-sentiment", "twitter-financial-topic")
"""Sets with a published validation split: that is measured, so that no training row of theirs need be kept back for it."""


class Part(StrEnum):
    """What a row is for."""

    TRAIN = "train"
    CALIBRATE = "calibrate"
    MEASURE = "measure"


def parts_of(rows: Sequence[Row]) -> list[Part]:
    """The part of each row. Near-duplicates of a row that is measured never train, but for those within a published split."""
    clusters = clusters_of([row.text for row in rows], openings=[index for index, row in enumerate(rows) if row.dataset == "synthetic" and row.lang == "zh"])
    shared = {cluster for cluster, row in zip(clusters, rows, strict=True) if row.dataset not in OWN_SPLIT}
    return [_part(row, position(rows[cluster].text), measures=cluster in shared) for row, cluster in zip(rows, clusters, strict=True)]


def _part(row: Row, place: float, *, measures: bool) -> Part:
    if row.evaluation or (place < MEASURED_BELOW and measures):
        return Part.MEASURE
    return Part.CALIBRATE if place < CALIBRATED_BELOW and (measures or place >= MEASURED_BELOW) else Part.TRAIN


def half_of(row: Row) -> Part:
    """For rows that never train: one half sets temperatures, the other is measured."""
    return Part.CALIBRATE if position(row.text) < 0.5 else Part.MEASURE
