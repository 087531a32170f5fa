"""What a training is given: a TOML file whose fields are those of `TrainConfig`; what it leaves out has the value here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from opinion.errors import ConfigError

Share = Annotated[float, Meta(ge=0, le=1)]
Positive = Annotated[float, Meta(gt=0)]


class TrainConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Sizes and rates of one training."""

    name: str = "yuqing-e5-small"
    seed: int = 20261124  # of the first values of adapters and heads: only trainings that share it have a mean
    order: Annotated[int, Meta(ge=0, le=1000)] = 0  # which order of rows, masks and long texts: trainings for a mean differ in it
    epochs: Annotated[int, Meta(ge=1, le=50)] = 3
    rank: Annotated[int, Meta(ge=1, le=256)] = 32  # of the adapters
    max_tokens: Annotated[int, Meta(ge=16, le=512)] = 256
    batch_tokens: Annotated[int, Meta(ge=256)] = 1536  # padding counted
    batch_rows: Annotated[int, Meta(ge=1)] = 40
    learning_rate: Positive = 6e-4  # of adapters and norms
    head_learning_rate: Positive = 1e-3
    weight_decay: Annotated[float, Meta(ge=0)] = 0.05  # of the heads
    warm_up: Share = 0.06  # share of the steps
    clip: Positive = 1.0  # length of the gradient
    average: Share = 0.998  # of the weights, kept per step
    dropout: Share = 0.1  # of embedded words
    head_hidden: Annotated[int, Meta(ge=1)] = 192
    head_dropout: Share = 0.3
    masked_share: Share = 0.05  # of the pieces of a text, unknown in training
    long_share: Share = 0.03  # of the rows: long texts made of several
    label_smoothing: Share = 0.05
    sentiment_weight: Positive = 1.0
    topic_weight: Positive = 1.0
    entity_weight: Positive = 0.5
    embedding_weight: Annotated[float, Meta(ge=0)] = 0.3  # of staying near the untuned encoder's meaning, by which stories are linked
    embedding_every: Annotated[int, Meta(ge=1)] = 3  # of the rows, that is asked of one in so many
    written_repeat: Annotated[int, Meta(ge=1, le=10)] = 2  # how often an epoch sees the project's own rows
    class_power: Share = 0.0  # sentiment rows weigh (1 / share of their class) to this power
    teacher: str = ""  # directory of a finished model, whose answers a head learns from where a row has no label for it; empty: none
    teacher_weight: Positive = 0.5  # of such an answer, beside a label
    most_rows: Annotated[int, Meta(ge=0)] = 0  # train on so many only, to try something out; 0 for all


def load_config(path: Path) -> TrainConfig:
    """The configuration in a TOML file.

    Errors:
        ConfigError: no such file, no TOML, an unknown field, or a value out of range.
    """
    try:
        return msgspec.toml.decode(path.read_bytes(), type=TrainConfig)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no training configuration: {error}") from error
