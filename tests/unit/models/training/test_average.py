from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.adapters import SCALE, Array, merged_tensors
from models.features import GROUPS
from models.heads import Head
from models.training.average import is_kin, mean_adapters, mean_head
from opinion.errors import ModelLoadError

RANDOM = np.random.default_rng(1)
BASE: dict[str, Array] = {"a.weight": RANDOM.normal(size=(6, 8)).astype(np.float32), "norm.weight": np.ones(8, np.float32)}


def adapters(*, rank: int, width: int = 8) -> dict[str, Array]:
    return {
        "a.up": RANDOM.normal(size=(6, rank)).astype(np.float16),
        "a.down": RANDOM.normal(size=(rank, width)).astype(np.float16),
        "norm.weight": RANDOM.normal(size=8).astype(np.float16),
    }


def head() -> Head:
    fields = [RANDOM.normal(size=shape).astype(np.float32) for shape in ((4, 9), (4,), (3, 4), (3,), (len(GROUPS),))]
    return Head(*fields)


def test_merged_the_mean_is_the_mean_of_what_each_gives_merged() -> None:
    trainings = [adapters(rank=2), adapters(rank=3)]
    expected = {name: np.mean([merged_tensors(BASE, one)[name] for one in trainings], axis=0) for name in BASE}
    merged = merged_tensors(BASE, mean_adapters(trainings, rank=5))
    for name, tensor in expected.items():
        np.testing.assert_allclose(merged[name], tensor, atol=1e-4)


def test_a_smaller_rank_keeps_most_of_it() -> None:
    trainings = [adapters(rank=3), adapters(rank=3)]
    whole = np.mean([one["a.up"].astype(np.float32) @ one["a.down"].astype(np.float32) for one in trainings], axis=0)
    found = mean_adapters(trainings, rank=4)
    assert (found["a.up"].shape, found["a.down"].shape) == ((6, 4), (4, 8))
    lost = np.linalg.norm(found["a.up"] @ found["a.down"] - whole)
    assert lost == pytest.approx(np.linalg.norm(np.linalg.svd(whole, compute_uv=False)[4:]), abs=1e-4)
    assert SCALE * lost < np.linalg.norm(whole)


def test_the_mean_of_one_training_is_that_training() -> None:
    one = adapters(rank=2)
    merged, expected = merged_tensors(BASE, mean_adapters([one, one], rank=2)), merged_tensors(BASE, one)
    for name in BASE:
        np.testing.assert_allclose(merged[name], expected[name], atol=1e-4)


def test_adapters_of_other_shapes_have_no_mean() -> None:
    with pytest.raises(ModelLoadError, match="different shapes"):
        mean_adapters([adapters(rank=2), adapters(rank=2, width=9)], rank=2)


def test_heads_are_averaged_value_by_value() -> None:
    first, second = head(), head()
    mean = mean_head([first, second])
    np.testing.assert_allclose(mean.inner, (first.inner + second.inner) / 2)
    np.testing.assert_allclose(mean.outer_bias, (first.outer_bias + second.outer_bias) / 2)


def test_heads_that_began_apart_are_no_kin_and_those_that_moved_apart_are() -> None:
    first, moved = head(), RANDOM.normal(size=(3, 4)).astype(np.float32) / 3
    assert is_kin(first, msgspec.structs.replace(first, outer=first.outer + moved))
    assert not is_kin(first, msgspec.structs.replace(first, outer=-first.outer))
