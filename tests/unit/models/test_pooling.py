from __future__ import annotations

import numpy as np
import torch

from models import onnx_reader, reader
from models.features import MEAN_LAYERS, Span


def test_padding_does_not_reach_the_features() -> None:
    layers = [torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(number)) for number in range(12)]
    alone, _ = reader.pooled([layer[:, :2] for layer in layers], torch.tensor([[True, True]]))
    padded, _ = reader.pooled(layers, torch.tensor([[True, True, False]]))
    assert torch.allclose(alone, padded)


def test_a_name_is_pooled_over_its_own_pieces() -> None:
    layers = [torch.full((2, 3, 4), float(number)) for number in range(1, 13)]
    layers[-1][1, 2] = 100.0
    _, spans = reader.pooled(layers, torch.ones(2, 3, dtype=torch.bool), [Span(0, 0, 2), Span(1, 1, 3)])
    assert spans.tolist() == [[9.0] * 4 + [12.0] * 4, [9.0] * 4 + [56.0] * 4]


def test_both_frameworks_pool_alike() -> None:
    layers = [torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(number)) for number in range(12)]
    real = torch.arange(5) < torch.tensor([5, 2, 3])[:, None]
    names = [Span(0, 0, 2), Span(0, 3, 5), Span(2, 1, 3)]
    for given in (names, []):
        theirs = reader.pooled(layers, real, given)
        ours = onnx_reader.pooled({number: layers[number - 1].numpy() for number in MEAN_LAYERS}, real.numpy(), given)
        for one, other in zip(ours, theirs, strict=True):
            assert np.allclose(one, other.numpy(), atol=1e-6)
