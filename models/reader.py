"""The encoder in torch: texts to what the heads read of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from models.backends.base import ModelInput
from models.encoder import Encoder
from models.features import MEAN_LAYERS, SPAN_LAYERS, Pooled, Span, groups_of, kinds_of
from models.passes import NoRoom, Passes, Read
from opinion.errors import InferenceError, ModelLoadError


def device_of(wanted: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`.

    Errors:
        ModelLoadError: `cuda` was asked for and there is none.
    """
    able = wanted != "cpu" and torch.cuda.is_available()
    if wanted == "cuda" and not able:
        msg = "device `cuda` was asked for, but no GPU is usable"
        raise ModelLoadError(msg)
    return torch.device("cuda" if able else "cpu")


def dtype_of(device: torch.device) -> torch.dtype:
    """The number form that is fast and exact enough there: bfloat16 keeps cosines to float32 above .9999 and is 3 times as fast (measured)."""
    if device.type == "cuda":
        return torch.bfloat16
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


class Reader(Passes):
    """The encoder and tokenizer in `directory`.

    Errors:
        ModelLoadError: they cannot be loaded, or the device is not there.
    """

    def __init__(self, directory: Path, *, device: str = "auto", threads: int = 0, max_tokens: int = 256, batch_tokens: int = 1024) -> None:
        where = device_of(device)
        self.device = where.type
        if threads:
            torch.set_num_threads(threads)
        self._encoder = Encoder(directory, device=where, dtype=dtype_of(where))
        shape = self._encoder.shape
        super().__init__(directory, hidden=shape.hidden, positions=shape.positions, max_tokens=max_tokens, batch_tokens=batch_tokens)

    def _pass(self, rows: Sequence[Read], inputs: Sequence[ModelInput], names: Sequence[Span]) -> Pooled:
        try:
            with torch.inference_mode():
                ids, real = self._encoder.padded([row.ids for row in rows])
                kinds = torch.from_numpy(kinds_of(groups_of(inputs))).to(ids.device)
                features, spans = pooled(self._encoder.layers(ids, real, kinds), real, names)
                return Pooled(features.cpu().numpy(), spans.cpu().numpy())
        except torch.OutOfMemoryError as error:
            raise NoRoom from error
        except (RuntimeError, IndexError) as error:
            msg = f"the forward pass of {len(rows)} texts failed: {error}"
            raise InferenceError(msg.splitlines()[0]) from error


def pooled(layers: Iterable[torch.Tensor], real: torch.Tensor, names: Sequence[Span] = ()) -> tuple[torch.Tensor, torch.Tensor]:
    """What the heads read (features.Pooled, as tensors), from the encoder's `layers` (rows, tokens, hidden) and the mask of tokens that are not padding."""
    weights = real[..., None]
    counts = weights.sum(1)
    means: list[torch.Tensor] = []
    spans: list[torch.Tensor] = []
    hidden = torch.empty(0)
    for number, hidden in enumerate(layers, 1):
        if number in MEAN_LAYERS:
            means.append((hidden * weights).sum(1, dtype=torch.float32) / counts)
        if names and number in SPAN_LAYERS:
            spans.append(torch.stack([hidden[name.row, name.start : name.end].float().mean(0) for name in names]))
    width = hidden.shape[-1] * len(SPAN_LAYERS)
    return torch.cat([*means, hidden[:, 0].float()], dim=1), torch.cat(spans, dim=1) if spans else torch.zeros(0, width, device=real.device)
