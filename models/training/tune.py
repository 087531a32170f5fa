"""The training loop: adapters and heads together, one pass of the encoder for all labels. Seeded."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn
from torch.nn import functional

from models.adapters import Tensors
from models.features import Span
from models.reader import pooled
from models.training.config import TrainConfig
from models.training.examples import UNLABELLED, Batch, Example, batch_of, batches, in_register, long_ones, masked
from models.training.lora import TunableEncoder
from models.training.modules import MeaningMap, Seen, TrainedHeads, last_means

STEPS_APART = 1_000_003
"""Between the random numbers of two orders: more than a training has steps."""
SCALING_ROWS = 1024
"""Rows whose spread scales the heads' features."""


class Progress(Struct, frozen=True):
    """How far a training is."""

    step: int
    steps: int
    epoch: float
    loss: float  # mean since the last report
    rows_per_s: float
    learning_rate: float


class Tuned(Struct, frozen=True):
    """What a training leaves: the averaged weights."""

    adapters: Tensors
    heads: TrainedHeads
    steps: int
    seconds: float


class Tuning:
    """One training of adapters over the encoder in `directory` on `examples`.

    run() once; `on_progress` hears of every `report_steps` steps.
    """

    def __init__(self, directory: Path, examples: Sequence[Example], config: TrainConfig, *, device: torch.device, dtype: torch.dtype) -> None:
        torch.manual_seed(config.seed)
        self._examples, self._config, self._device = list(examples), config, device
        self._drawn = config.seed + config.order * STEPS_APART
        self.encoder = TunableEncoder(directory, device=device, dtype=dtype, rank=config.rank, dropout=config.dropout, seed=config.seed)
        self.heads = TrainedHeads(self._before(self._examples[:: max(1, len(self._examples) // SCALING_ROWS)])[1], hidden=config.head_hidden, dropout=config.head_dropout)
        self.meaning = self._meaning(config.embedding_every) if config.embedding_weight else None
        self._averages: list[torch.Tensor] = []

    def run(self, on_progress: Callable[[Progress], None], *, report_steps: int = 50) -> Tuned:
        """Train; the averaged weights at the end."""
        config, began = self._config, time.perf_counter()
        torch.manual_seed(self._drawn)
        optimiser = torch.optim.AdamW(
            [
                {"params": self.encoder.parameters(), "lr": config.learning_rate, "weight_decay": 0.0},
                {"params": [*self.heads.parameters(), *(self.meaning.parameters() if self.meaning else ())], "lr": config.head_learning_rate, "weight_decay": config.weight_decay},
            ]
        )
        epochs = [self._epoch(number) for number in range(config.epochs)]
        steps, step = sum(map(len, epochs)), 0
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda at: _rate(at, steps=steps, warm_up=config.warm_up))
        losses: list[float] = []
        rows, since = 0, began
        self._averages = [parameter.detach().clone() for parameter in self._parameters()]
        for number, epoch in enumerate(epochs):
            for index, batch in enumerate(epoch):
                losses.append(self._step(batch, optimiser, seed=self._drawn + step))
                schedule.step()
                step += 1
                rows += len(batch.examples)
                self._average(step)
                if step % report_steps == 0 or step == steps:
                    now = time.perf_counter()
                    on_progress(Progress(step, steps, number + (index + 1) / len(epoch), sum(losses) / len(losses), rows / (now - since), float(schedule.get_last_lr()[0])))
                    losses, rows, since = [], 0, now
        self._take_averages()
        return Tuned(self.encoder.tensors(), copy.deepcopy(self.heads).eval(), steps, time.perf_counter() - began)

    def _epoch(self, number: int) -> list[Batch]:
        config = self._config
        long = long_ones(self._examples, share=config.long_share, most_tokens=config.max_tokens, seed=self._drawn + 1000 + number)
        seen = [in_register(one, epoch=number) for one in self._examples]
        return list(batches([*seen, *long], most_tokens=config.batch_tokens, most_rows=config.batch_rows, seed=self._drawn + 2000 + number))

    def _step(self, batch: Batch, optimiser: torch.optim.Optimizer, *, seed: int) -> float:
        self.encoder.training = True
        self.heads.train()
        ids = masked(batch, share=self._config.masked_share, unknown=self.encoder.shape.unk, seed=seed)
        loss = self._loss(batch, ids)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._parameters(), self._config.clip)
        optimiser.step()
        return float(loss.detach())

    def _loss(self, batch: Batch, ids: list[list[int]]) -> torch.Tensor:
        """The mean over the rows of what each label costs; a text's names share one row's weight."""
        config, device = self._config, self._device
        names = _names(batch.examples)
        seen = self._pooled(batch, ids, names)
        scores = self.heads(seen, batch.groups.to(device), torch.tensor([name.row for name in names], dtype=torch.long, device=device))
        weights = batch.weights.to(device)
        total = torch.zeros((), device=device)
        for name, labels, said, weight in (
            ("sentiment", batch.sentiments, batch.said_sentiments, config.sentiment_weight),
            ("topics", batch.topics, batch.said_topics, config.topic_weight),
        ):
            if bool((labels != UNLABELLED).any()):
                losses = functional.cross_entropy(scores[name], labels.to(device), reduction="none", ignore_index=UNLABELLED, label_smoothing=config.label_smoothing)
                total = total + weight * (losses * weights).sum()
            if bool(said.any()):
                total = total - weight * config.teacher_weight * (said.to(device) * functional.log_softmax(scores[name], dim=1)).sum()
        if names:
            labels = torch.tensor([target.sentiment for one in batch.examples for target in one.targets], device=device)
            shares = torch.tensor([1 / math.sqrt(len(one.targets)) for one in batch.examples for _ in one.targets], device=device)
            losses = functional.cross_entropy(scores["entity"], labels, reduction="none", label_smoothing=config.label_smoothing)
            total = total + config.entity_weight * (losses * shares).sum()
        if self.meaning and bool((batch.meanings >= 0).any()):
            kept = torch.nonzero(batch.meanings >= 0)[:, 0].to(device)
            total = total + config.embedding_weight * self.meaning(seen.features[kept], batch.meanings.to(device)[kept]).sum()
        return total / len(batch.examples)

    def _pooled(self, batch: Batch, ids: list[list[int]], names: list[Span]) -> Seen:
        padded, real = self.encoder.padded(ids)
        return Seen(*pooled(self.encoder.layers(padded, real, batch.kinds.to(self._device)), real, names))

    def _before(self, examples: Sequence[Example]) -> tuple[list[Example], list[Seen]]:
        """The examples in another order, and their poolings by the encoder as it is now."""
        order: list[Example] = []
        seen = []
        with torch.inference_mode():
            for batch in batches(examples, most_tokens=self._config.batch_tokens, most_rows=self._config.batch_rows, seed=0):
                order += batch.examples
                seen.append(self._pooled(batch, [one.ids for one in batch.examples], _names(batch.examples)))
        return order, seen

    def _meaning(self, every: int) -> MeaningMap:
        """The map to the embeddings of every so-manieth example, which are told their row in its table."""
        numbered = [replace(one, meaning=at // every) if at % every == 0 else one for at, one in enumerate(self._examples)]
        order, seen = self._before([one for one in numbered if one.meaning >= 0])
        self._examples = numbered
        place = torch.argsort(torch.tensor([one.meaning for one in order])).to(self._device)
        return MeaningMap(last_means(seen)[place].clone())

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.encoder.parameters(), *self.heads.parameters()]

    def _average(self, step: int) -> None:
        """Exponential averages of the weights, quick to forget at first. Source: Polyak and Juditsky 1992, in the form of Tarvainen and Valpola 2017."""
        keep = min(self._config.average, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(self._averages, [parameter.detach() for parameter in self._parameters()], 1 - keep)

    def _take_averages(self) -> None:
        with torch.no_grad():
            for parameter, average in zip(self._parameters(), self._averages, strict=True):
                parameter.copy_(average)


def _rate(at: int, *, steps: int, warm_up: float) -> float:
    """Share of the learning rate at a step: a linear climb, then half a cosine."""
    climb = max(1, int(steps * warm_up))
    if at < climb:
        return (at + 1) / climb
    return 0.5 * (1 + math.cos(math.pi * (at - climb) / max(1, steps - climb)))


def _names(examples: Sequence[Example]) -> list[Span]:
    return [Span(row, target.start, target.end) for row, one in enumerate(examples) for target in one.targets]


def one_batch(examples: Sequence[Example]) -> Batch:
    """The examples as one batch, in order."""
    return batch_of(list(examples))
