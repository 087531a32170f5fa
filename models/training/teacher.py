"""What a finished model says of the rows that have no label for a head, so that a training learns from them too.

Source: Hinton et al. 2015, arXiv:1503.02531 (answers as probabilities, not as labels); Xie et al. 2020, arXiv:1911.04252 (a student that is disturbed where its teacher is not).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace

from models.adapters import merged_directory
from models.backends.base import Floats
from models.cards import ADAPTERS, HEADS, checked
from models.encoder import Encoder
from models.heads import load_heads, with_register
from models.reader import dtype_of, pooled
from models.training.examples import UNLABELLED, Example

ROWS = 64
"""Of one pass."""


def taught(examples: Sequence[Example], directory: Path, *, base: Path, device: torch.device) -> tuple[list[Example], str]:
    """The examples, in order, with the calibrated answers of the model in `directory` where a label is missing; and that model's revision.

    Errors:
        ModelLoadError: no model of this encoder there, or what it holds is not what its card says.
    """
    card = checked(directory)
    encoder = Encoder(merged_directory(base, directory / ADAPTERS, sha256=card.adapters_sha256, models_dir=base.parent), device=device, dtype=dtype_of(device))
    heads = load_heads(directory / HEADS, sha256=card.heads_sha256, hidden=encoder.shape.hidden)
    answered = list(examples)
    asked = sorted((at for at, one in enumerate(examples) if UNLABELLED in (one.sentiment, one.topic)), key=lambda at: len(examples[at].ids))
    for begin in range(0, len(asked), ROWS):
        chosen = asked[begin : begin + ROWS]
        groups = np.array([examples[at].group for at in chosen])
        features = with_register(_read(encoder, [examples[at] for at in chosen]), groups)
        for at, sentiment, topic in zip(chosen, heads.sentiment.probabilities(features, groups).tolist(), heads.topics.probabilities(features, groups).tolist(), strict=True):
            one = examples[at]
            answered[at] = replace(one, said_sentiment=tuple(sentiment) if one.sentiment == UNLABELLED else (), said_topic=tuple(topic) if one.topic == UNLABELLED else ())
    return answered, card.revision


def _read(encoder: Encoder, examples: Sequence[Example]) -> Floats:
    with torch.inference_mode():
        ids, real = encoder.padded([one.ids for one in examples])
        kinds = torch.tensor([one.kind for one in examples], device=ids.device)
        return np.asarray(pooled(encoder.layers(ids, real, kinds), real)[0].cpu().numpy(), np.float32)
