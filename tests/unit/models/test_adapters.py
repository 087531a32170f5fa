from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.adapters import Tensors, adapters_bytes, adapters_from, merged_directory
from models.encoder import Encoder
from models.encoder_files import WORDS_FILE
from models.training.lora import TunableEncoder
from opinion.errors import ModelLoadError
from tests.support.model import random_adapters, tiny_directory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_directory(tmp_path_factory.mktemp("model"))


def merge(base: Path, adapters: Tensors | bytes, into: Path) -> Path:
    data = adapters if isinstance(adapters, bytes) else adapters_bytes(adapters)
    file = into / "adapters.safetensors"
    file.write_bytes(data)
    return merged_directory(base, file, sha256=hashlib.sha256(data).hexdigest(), models_dir=into)


def last_layer(encoder: Encoder) -> torch.Tensor:
    ids, real = encoder.padded([[0, 40, 41, 42, 2], [0, 50, 2]])
    *_, hidden = encoder.layers(ids, real, torch.tensor([0, 1]))
    return hidden[real].detach()


def test_the_merged_encoder_answers_as_the_one_that_was_trained(base: Path, tmp_path: Path) -> None:
    trained = TunableEncoder(base, device=CPU, dtype=torch.float32, rank=2, dropout=0.1, seed=1)
    untuned = last_layer(trained)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    merged = Encoder(merge(base, trained.tensors(), tmp_path), device=CPU, dtype=torch.float32)
    assert torch.allclose(last_layer(merged), last_layer(trained), atol=2e-2)  # adapters are stored in float16
    assert not torch.allclose(last_layer(merged), untuned, atol=0.2)


def test_fresh_adapters_change_nothing(base: Path) -> None:
    trained = TunableEncoder(base, device=CPU, dtype=torch.float32, rank=2, dropout=0.1, seed=1)
    assert torch.allclose(last_layer(trained), last_layer(Encoder(base, device=CPU, dtype=torch.float32)), atol=1e-5)


def test_merging_is_done_once_and_by_one(base: Path, tmp_path: Path) -> None:
    data = adapters_bytes(random_adapters())
    file = tmp_path / "adapters.safetensors"
    file.write_bytes(data)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: merged_directory(base, file, sha256=hashlib.sha256(data).hexdigest(), models_dir=tmp_path), range(4)))
    (directory,) = found
    assert (directory / WORDS_FILE).stat().st_ino == (base / WORDS_FILE).stat().st_ino
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [directory.name]


def test_what_lies_beside_the_base_is_taken_and_the_rest_made_elsewhere(base: Path, tmp_path: Path) -> None:
    """The cache of an image may be read-only."""
    own = tmp_path / "own"
    own.mkdir()
    adapters = random_adapters()
    shipped = merge(base, adapters, base.parent)
    assert merge(base, adapters, own) == shipped
    assert [path for path in own.iterdir() if path.is_dir()] == []
    other = merge(base, {name: tensor * 2 for name, tensor in adapters.items()}, own)
    assert other.parent == own


def test_the_same_adapters_are_the_same_bytes() -> None:
    adapters = random_adapters()
    assert adapters_bytes(adapters) == adapters_bytes(dict(reversed(adapters.items())))


@given(st.integers(1, 5), st.floats(1e-6, 1e3), st.integers(0, 2**32 - 1))
def test_eight_bits_keep_each_vector_within_a_step_of_its_own(rank: int, size: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    adapters = {"a.up": random.normal(size=(6, rank)).astype(np.float32) * size, "a.down": random.normal(size=(rank, 8)).astype(np.float32), "norm.weight": np.ones(8, np.float32)}
    adapters["a.down"][0] = 0  # a rank that a training never used
    found = adapters_from(adapters_bytes(adapters, eight_bits=True))
    assert found.keys() == adapters.keys()
    assert (np.abs(found["a.up"] - adapters["a.up"]) <= np.abs(adapters["a.up"]).max(0) / 253).all()
    assert (np.abs(found["a.down"] - adapters["a.down"]) <= np.abs(adapters["a.down"]).max(1, keepdims=True) / 253).all()


def test_eight_bits_hide_no_values_that_are_no_numbers(base: Path, tmp_path: Path) -> None:
    adapters = random_adapters()
    name = next(name for name in adapters if name.endswith(".up"))
    for wrong in (np.nan, np.inf):
        changed = adapters | {name: np.full_like(adapters[name], wrong)}
        with pytest.raises(ModelLoadError, match="no numbers"):
            merge(base, adapters_bytes(changed, eight_bits=True), tmp_path)


def test_another_hash_is_refused(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "adapters.safetensors"
    file.write_bytes(adapters_bytes(random_adapters())[:-1] + b"\x01")
    with pytest.raises(ModelLoadError, match="its card says"):
        merged_directory(base, file, sha256="0" * 64, models_dir=tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layers.0.qkv.up": np.full((48, 2), np.nan, np.float32)}, "no numbers"),
        ({"layers.0.qkv.up": np.zeros((7, 2))}, "does not fit"),
        ({"layers.99.outer.up": np.zeros((16, 2)), "layers.99.outer.down": np.zeros((2, 32))}, "does not fit"),
        ({"layers.0.outer_norm.weight": np.ones(5)}, "does not fit"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(base: Path, tmp_path: Path, change: Tensors, says: str) -> None:
    with pytest.raises(ModelLoadError, match=says):
        merge(base, {**random_adapters(), **change}, tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_bytes_that_are_no_adapters_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="not a file of adapters"):
        merge(base, b"\x00" * 64, tmp_path)


def test_a_missing_file_is_a_clear_error(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="No such file"):
        merged_directory(base, tmp_path / "none", sha256="0" * 64, models_dir=tmp_path)
