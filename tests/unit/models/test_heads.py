from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.backends.base import ModelInput
from models.cards import CARD, HEADS, WEIGHTS, read_card, revision_of
from models.features import GROUPS, HEAD_NAMES, group_of
from models.heads import Head, heads_bytes, heads_from, load_heads, with_register
from models.registry import load_backend
from opinion.errors import ModelLoadError
from opinion.records import DocumentKind
from opinion.settings import Settings
from tests.support.model import random_heads, random_heads_bytes

WIDTH = 8


def test_a_file_with_another_hash_than_the_card_is_refused(tmp_path: Path) -> None:
    (tmp_path / HEADS).write_bytes((WEIGHTS / HEADS).read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelLoadError, match="its card says"):
        load_heads(tmp_path / HEADS, sha256=read_card(WEIGHTS).heads_sha256, hidden=384)


def test_the_shipped_heads_are_those_of_the_shipped_card() -> None:
    heads = load_heads(WEIGHTS / HEADS, sha256=read_card(WEIGHTS).heads_sha256, hidden=384)
    card = msgspec.json.decode((WEIGHTS / CARD).read_bytes())
    assert card["revision"] == revision_of(card["adapters_sha256"], card["heads_sha256"])
    assert [round(float(value), 4) for value in heads.sentiment.temperatures.tolist()] == list(card["temperatures"]["sentiment"].values())
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 10_000_000


def test_heads_of_another_shape_are_refused() -> None:
    heads = random_heads(WIDTH)
    with pytest.raises(ModelLoadError, match="does not fit"):
        heads_from(random_heads_bytes(WIDTH), hidden=WIDTH + 1)
    swapped = {"sentiment": heads.topics, "topics": heads.sentiment, "entity": heads.entity}
    with pytest.raises(ModelLoadError, match=r"the head sentiment .* does not fit"):
        heads_from(heads_bytes(swapped, heads.embedding), hidden=WIDTH)
    with pytest.raises(ModelLoadError, match="an embedding of shape"):
        heads_from(heads_bytes({name: getattr(heads, name) for name in HEAD_NAMES}, heads.embedding[:, :-1]), hidden=WIDTH)


def test_heads_that_are_no_numbers_are_refused() -> None:
    heads = random_heads(WIDTH)
    broken = msgspec.structs.replace(heads.topics, outer_bias=np.full_like(heads.topics.outer_bias, np.nan))
    with pytest.raises(ModelLoadError, match=r"no numbers: topics\.outer_bias"):
        heads_from(heads_bytes({"sentiment": heads.sentiment, "topics": broken, "entity": heads.entity}, heads.embedding), hidden=WIDTH)


def test_bytes_that_are_no_heads_are_refused() -> None:
    with pytest.raises(ModelLoadError, match="not a file of heads"):
        heads_from(b"\x00" * 64, hidden=WIDTH)


@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), (b"{", "no model card"), (b'{"name": "x"}', "no model card")])
def test_a_directory_without_a_card_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / CARD).write_bytes(content)
    with pytest.raises(ModelLoadError, match=says):
        load_backend(Settings(model=str(tmp_path)))


def test_heads_of_another_encoder_are_refused(tmp_path: Path) -> None:
    card = msgspec.json.decode((WEIGHTS / CARD).read_bytes())
    card["encoder"]["sha256"] = "0" * 64
    (tmp_path / CARD).write_bytes(msgspec.json.encode(card))
    with pytest.raises(ModelLoadError, match="was made for the encoder"):
        load_backend(Settings(model=str(tmp_path)))


@pytest.mark.parametrize(
    ("lang", "kind", "group"),
    [("en", DocumentKind.NEWS, 0), ("und", DocumentKind.QA, 1), ("zh-Hans", DocumentKind.FLASH, 2), ("zh-Hant", DocumentKind.SOCIAL, 3)],
)
def test_language_and_register_choose_the_temperature(lang: str, kind: DocumentKind, group: int) -> None:
    assert group_of(ModelInput("", "x", kind, lang)) == group


def test_a_higher_temperature_is_less_sure_and_keeps_the_label() -> None:
    head: Head = msgspec.structs.replace(random_heads(WIDTH).sentiment, temperatures=np.array([1.0, 3.0, 1.0, 1.0], np.float32))
    features = np.random.default_rng(1).standard_normal((1, 4 * WIDTH + 1)).astype(np.float32).repeat(2, axis=0)
    sure, unsure = head.probabilities(features, np.array([0, 1]))
    assert sure.argmax() == unsure.argmax()
    assert sure.max() > unsure.max()


def test_the_register_is_the_last_feature() -> None:
    features = with_register(np.zeros((len(GROUPS), WIDTH), np.float32), np.arange(len(GROUPS)))
    assert features[:, -1].tolist() == [-1, 1, -1, 1]
