"""A tiny model of the real form (12 layers of 16, 200 pieces, random weights), and where the real one is unpacked for tests."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np

from models import encoder_files
from models.adapters import adapters_bytes
from models.backends.base import Floats
from models.cards import ADAPTERS, CARD, HEADS, Card, Encoder, Origin, Score
from models.encoder_files import prepare_model
from models.features import GROUPS, HEAD_NAMES, widths_of
from models.heads import Head, Heads, heads_bytes, heads_from
from models.reader import Reader

UNPACKED = Path(__file__).parents[2] / "build" / "models"
HIDDEN, LAYERS, ATTENTION_HEADS, INNER, POSITIONS = 16, 12, 2, 32, 128
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    *(chr(code) for code in range(33, 127)),
    *"涨跌停利润增长公司亏损，。股",
    *(f"▁{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
]
VOCABULARY = len(PIECES) + 3


def packed_bytes(*, magic: bytes = b"E5S1", version: int = 1, hidden: int = HIDDEN, seed: int = 1) -> bytes:
    """A file of the form that `models.unpack` reads."""
    random = np.random.default_rng(seed)
    blob, offsets = b"", [0]
    for piece in PIECES:
        blob += piece.encode()
        offsets.append(len(blob))
    head = magic + struct.pack("<i7ifi5iQ", version, hidden, LAYERS, ATTENTION_HEADS, INNER, VOCABULARY, POSITIONS, 2, 1e-12, 32, len(PIECES), 0, 2, 1, 3, len(blob))
    scores = [0.0] * 4 + [-5.0] * (len(PIECES) - 4)
    head += struct.pack(f"<{len(offsets)}I", *offsets) + struct.pack(f"<{len(scores)}f", *scores) + blob + struct.pack("<iI", 0, 3) + b"map"
    return _with_tensors(head, random)


def _with_tensors(head: bytes, random: np.random.Generator) -> bytes:
    tensors = [
        ("emb.word", True, VOCABULARY * HIDDEN),
        ("emb.pos", False, POSITIONS * HIDDEN),
        ("emb.type", False, 2 * HIDDEN),
        ("emb.ln.w", False, HIDDEN),
        ("emb.ln.b", False, HIDDEN),
    ]
    for layer in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            tensors += [(f"l{layer}.{name}.w", True, HIDDEN * HIDDEN), (f"l{layer}.{name}.b", False, HIDDEN)]
        tensors += [(f"l{layer}.fi.w", True, INNER * HIDDEN), (f"l{layer}.fi.b", False, INNER), (f"l{layer}.fo.w", True, INNER * HIDDEN), (f"l{layer}.fo.b", False, HIDDEN)]
        tensors += [(f"l{layer}.{name}.{part}", False, HIDDEN) for name in ("aln", "oln") for part in "wb"]
    at = len(head) + 4 + sum(2 + len(name) + 21 for name, _, _ in tensors)
    directory, body = struct.pack("<i", len(tensors)), b""
    for name, packed, count in tensors:
        data = _blocks(count, random) if packed else _floats(name, count, random)
        directory += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", int(packed), count, at + len(body), len(data))
        body += data
    return head + directory + body


def _blocks(count: int, random: np.random.Generator) -> bytes:
    blocks = np.zeros(count // 32, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]))
    blocks["scale"] = random.uniform(0.02, 0.05, count // 32)
    blocks["nibbles"] = random.integers(0, 256, (count // 32, 16))
    return blocks.tobytes()


def _floats(name: str, count: int, random: np.random.Generator) -> bytes:
    values = np.ones(count) if name.endswith("ln.w") else random.normal(0, 0.1, count)
    return values.astype("<f4").tobytes()


def tiny_directory(into: Path) -> Path:
    """The tiny model, unpacked under `into`."""
    into.mkdir(parents=True, exist_ok=True)
    packed = into / "tiny.bin"
    if not packed.exists():
        packed.write_bytes(packed_bytes())
    return prepare_model(into, packed=packed, sha256=hashlib.sha256(packed.read_bytes()).hexdigest())


def random_heads(hidden: int, *, inner: int = 8) -> Heads:
    """Heads of random weights, temperatures 1, for an encoder of that width."""
    return heads_from(random_heads_bytes(hidden, inner=inner), hidden=hidden)


def random_heads_bytes(hidden: int, *, inner: int = 8, seed: int = 3) -> bytes:
    """The file of `random_heads`."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> Floats:
        return random.standard_normal(shape).astype(np.float32)

    def head(name: str) -> Head:
        width, labels = widths_of(hidden)[name], 20 if name == "topics" else 3
        zeros = np.zeros(max(inner, labels), np.float32)
        return Head(normal(inner, width + 1) * width**-0.5, zeros[:inner], normal(labels, inner) * inner**-0.5, zeros[:labels], np.ones(len(GROUPS), np.float32))

    return heads_bytes({name: head(name) for name in HEAD_NAMES}, normal(hidden, 3 * hidden + 1))


def random_adapters(*, rank: int = 2, seed: int = 4) -> dict[str, Floats]:
    """Small random adapters for the tiny model."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> Floats:
        return (random.standard_normal(shape) * 0.1).astype(np.float32)

    found = {"embeddings.kinds": normal(2, HIDDEN)}
    for layer in range(LAYERS):
        for name, n_out, n_in in (("qkv", 3 * HIDDEN, HIDDEN), ("attention", HIDDEN, HIDDEN), ("inner", INNER, HIDDEN), ("outer", HIDDEN, INNER)):
            found[f"layers.{layer}.{name}.down"] = normal(rank, n_in)
            found[f"layers.{layer}.{name}.up"] = normal(n_out, rank)
        found[f"layers.{layer}.outer_norm.weight"] = 1 + normal(HIDDEN)
    return found


def trained_directory(into: Path, *, seed: int = 4, scores: Mapping[str, Mapping[str, Score | float]] | None = None) -> Path:
    """`into`, a folder as `yuqing train` writes it, of random weights for the tiny model, with these scores in its card."""
    into.mkdir(parents=True)
    adapters, heads = adapters_bytes(random_adapters(seed=seed)), random_heads_bytes(HIDDEN, seed=seed)
    (into / ADAPTERS).write_bytes(adapters)
    (into / HEADS).write_bytes(heads)
    (into / "config.toml").write_text(f"seed = {seed}\n")
    card = Card(
        name=f"tiny-{seed}",
        adapters_sha256=hashlib.sha256(adapters).hexdigest(),
        heads_sha256=hashlib.sha256(heads).hexdigest(),
        encoder=Encoder(encoder_files.NAME, encoder_files.SHA256),
        trained_at=datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        licence="Apache-2.0",
        limits=["Knows nothing."],
        trained_on={"synthetic": Origin(75, "written for this project; Apache-2.0")},
        temperatures={"sentiment": {"en news": 1.25}},
        scores={head: dict(sets) for head, sets in (scores or {}).items()},
    )
    (into / CARD).write_bytes(msgspec.json.encode(card))
    return into


def real_directory() -> Path:
    """The default encoder, unpacked once for all test runs of this checkout."""
    return prepare_model(UNPACKED)


def tiny_reader(into: Path, *, max_tokens: int = 64, batch_tokens: int = 512) -> Reader:
    """A reader of the tiny model."""
    return Reader(tiny_directory(into), device="cpu", threads=1, max_tokens=max_tokens, batch_tokens=batch_tokens)
