"""Rows made ready for the encoder, and the batches of an epoch. Seeded: the same rows and seed give the same batches."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import torch
from msgspec import Struct
from msgspec.structs import replace

from models.backends.base import SENTIMENTS, ModelInput
from models.features import group_of
from models.tokens import Tokens, judged_text, token_span
from models.training.rows import Row
from models.training.split import OWN_SPLIT
from opinion.records import TOPICS

UNLABELLED = -100
"""What torch's cross entropy passes over."""
CHUNK_ROWS = 2048
"""Rows that are sorted by length together: enough for even batches, few enough for random ones."""


class Target(Struct, frozen=True):
    """One named company of a text: where its pieces are, and what the text says of it."""

    start: int  # token, inclusive
    end: int  # token, exclusive
    sentiment: int


class Example(Struct, frozen=True):
    """One row as token ids and labels."""

    ids: list[int]
    kind: int  # 0 news, 1 social
    group: int  # index into heads.GROUPS
    sentiment: int = UNLABELLED
    topic: int = UNLABELLED
    targets: tuple[Target, ...] = ()
    weight: float = 1.0
    meaning: int = -1  # row of Tuning's table of untuned embeddings; -1: none
    either: bool = False  # of both registers: every other epoch reads it as the other one
    said_sentiment: tuple[float, ...] = ()  # a teacher's probabilities, where there is no label; empty: none
    said_topic: tuple[float, ...] = ()


class Batch(Struct, frozen=True):
    """Examples side by side."""

    examples: list[Example]
    kinds: torch.Tensor  # (rows,)
    groups: torch.Tensor  # (rows,)
    sentiments: torch.Tensor  # (rows,), UNLABELLED where there is none
    topics: torch.Tensor  # (rows,)
    weights: torch.Tensor  # (rows,)
    meanings: torch.Tensor  # (rows,): row of the table of untuned embeddings, -1 where there is none
    said_sentiments: torch.Tensor  # (rows, sentiments): a teacher's probabilities, zeros where it was not asked
    said_topics: torch.Tensor  # (rows, topics)


def examples_of(rows: Sequence[Row], tokens: Tokens, *, weights: Sequence[float]) -> list[Example]:
    """One example per row, in order."""
    texts = [judged_text("", row.text, max_tokens=tokens.max_tokens) for row in rows]
    made = []
    for row, pieces, weight in zip(rows, tokens.all_pieces(texts), weights, strict=True):
        item: ModelInput = row.input
        targets = [(token_span(pieces.spans, start, end=end), label) for start, end, label in row.entities]
        made.append(
            Example(
                pieces.ids,
                kind_index(item),
                group_of(item),
                UNLABELLED if row.sentiment is None else row.sentiment,
                UNLABELLED if row.topic is None else row.topic,
                tuple(Target(*span, label) for span, label in targets if span is not None),
                weight,
                either=row.dataset in OWN_SPLIT,
            )
        )
    return made


def kind_index(item: ModelInput) -> int:
    """0 for news, 1 for social: index of the encoder's vectors of kinds."""
    return group_of(item) % 2


def batches(examples: Sequence[Example], *, most_tokens: int, most_rows: int, seed: int) -> Iterator[Batch]:
    """All examples once, in random order, those of a batch alike in length; a batch holds at most `most_tokens`, padding counted."""
    shuffled = list(examples)
    order = random.Random(seed)  # noqa: S311 - not a secret
    order.shuffle(shuffled)
    found: list[list[Example]] = []
    for begin in range(0, len(shuffled), CHUNK_ROWS):
        filling: list[Example] = []
        for example in sorted(shuffled[begin : begin + CHUNK_ROWS], key=lambda one: len(one.ids)):
            if filling and ((len(filling) + 1) * len(example.ids) > most_tokens or len(filling) >= most_rows):
                found.append(filling)
                filling = []
            filling.append(example)
        found.append(filling)
    order.shuffle(found)
    for chosen in found:
        yield batch_of(chosen)


def batch_of(examples: list[Example]) -> Batch:
    """The examples with their labels as tensors."""
    return Batch(
        examples,
        torch.tensor([one.kind for one in examples]),
        torch.tensor([one.group for one in examples]),
        torch.tensor([one.sentiment for one in examples]),
        torch.tensor([one.topic for one in examples]),
        torch.tensor([one.weight for one in examples]),
        torch.tensor([one.meaning for one in examples]),
        _said([one.said_sentiment for one in examples], len(SENTIMENTS)),
        _said([one.said_topic for one in examples], len(TOPICS)),
    )


def _said(answers: Sequence[tuple[float, ...]], n_labels: int) -> torch.Tensor:
    return torch.tensor([answer or (0.0,) * n_labels for answer in answers], dtype=torch.float32)


def in_register(example: Example, *, epoch: int) -> Example:
    """The example as that epoch reads it: one of either register changes it every time, so that it is not known by it."""
    return replace(example, kind=1 - example.kind, group=example.group ^ 1) if example.either and epoch % 2 else example  # see the order of features.GROUPS


def long_ones(examples: Sequence[Example], *, share: float, most_tokens: int, seed: int) -> list[Example]:
    """Long texts made of several short ones of one sentiment, kind and language, so many that they are `share` of the examples.

    What is short in training stays short otherwise, and a model that only saw headlines answers long texts with near-neutral doubt.
    """
    order = random.Random(seed)  # noqa: S311 - not a secret
    pools: dict[tuple[int, int], list[Example]] = {}
    for example in examples:
        if example.sentiment != UNLABELLED and len(example.ids) < most_tokens // 3:
            pools.setdefault((example.group, example.sentiment), []).append(example)
    several = [pool for pool in pools.values() if len(pool) > 1]
    made = []
    for _ in range(int(len(examples) * share) if several else 0):
        pool = order.choice(several)
        parts = order.sample(pool, min(len(pool), order.randint(2, 6)))
        ids = list(parts[0].ids[:-1])
        for part in parts[1:]:
            body = part.ids[len(_frame(part.ids)) : -1]
            if len(ids) + len(body) + 1 > most_tokens:
                break
            ids += body
        made.append(Example([*ids, parts[0].ids[-1]], parts[0].kind, parts[0].group, parts[0].sentiment))
    return made


def _frame(ids: Sequence[int]) -> Sequence[int]:
    """`<s>` and the pieces of the prefix."""
    return ids[:FRAME_TOKENS]


FRAME_TOKENS = 3
"""`<s>`, `query`, `:`: what stands before every text."""


def masked(batch: Batch, *, share: float, unknown: int, seed: int) -> list[list[int]]:
    """The ids of the batch with a random `share` of the text's pieces unknown, so that no single word decides; targets' pieces stay."""
    order = random.Random(seed)  # noqa: S311 - not a secret
    rows = []
    for example in batch.examples:
        kept = {index for target in example.targets for index in range(target.start, target.end)}
        last = len(example.ids) - 1
        rows.append([unknown if FRAME_TOKENS <= at < last and at not in kept and order.random() < share else piece for at, piece in enumerate(example.ids)])
    return rows
