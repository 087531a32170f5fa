"""One contender of `tests.bench.models` in a process of its own: `python -m tests.bench.models_one ours|bare|pipelines COUNT SEED`; prints one JSON object.

All three run the same encoder on the same texts. What loads and what warms up is not timed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from models.registry import load_backend
from models.tuning import make_ready
from opinion.settings import load_settings
from tests.bench.corpus import documents
from tests.bench.report import say

make_ready()

BATCH_SIZES = (1, 8, 32)
"""Tried by the pipelines on a part of the texts; the best is timed."""
WARM_UP = 64


def ours(texts: Sequence[str]) -> dict[str, Any]:
    """Our backend: tokens, one pass, all heads, embedding."""
    from models.backends.base import ModelInput  # noqa: PLC0415

    backend = load_backend(load_settings())
    inputs = [ModelInput("", text) for text in texts]
    size = load_settings().batch_documents

    def judge(some: Sequence[ModelInput]) -> None:
        for begin in range(0, len(some), size):
            backend.score(some[begin : begin + size])

    return {"per_s": rate(judge, inputs), "backend": backend.name, "device": backend.device}


def bare(texts: Sequence[str]) -> dict[str, Any]:
    """The encoder's forward pass alone, on batches planned, tokenised and padded before."""
    from models.backends.scorer import Scorer  # noqa: PLC0415
    from models.batching import plan  # noqa: PLC0415
    from models.tokens import judged_text  # noqa: PLC0415

    settings = load_settings()
    backend = load_backend(settings)
    assert isinstance(backend, Scorer)
    reader, size = backend._reader, settings.batch_documents
    batches = []
    for begin in range(0, len(texts), size):
        rows = reader._tokens.ids([judged_text("", text, max_tokens=settings.max_tokens) for text in texts[begin : begin + size]])
        batches += [[rows[index] for index in batch] for batch in plan([len(row) for row in rows], most_tokens=settings.batch_tokens, most_documents=256)]
    run = _torch_forward(reader, batches) if backend.name == "torch" else _onnx_forward(reader, batches)

    def forward(some: Sequence[int]) -> None:
        for batch in some:
            run(batch)

    forward(range(4))
    began = time.perf_counter()
    forward(range(len(batches)))
    return {"per_s": len(texts) / (time.perf_counter() - began)}


def _torch_forward(reader: Any, batches: Sequence[Sequence[list[int]]]) -> Callable[[int], None]:
    import torch  # noqa: PLC0415

    padded = [reader._encoder.padded(rows) for rows in batches]

    def run(number: int) -> None:
        ids, real = padded[number]
        with torch.inference_mode():
            for _ in reader._encoder.layers(ids, real, torch.zeros(len(ids), dtype=torch.long, device=ids.device)):
                pass

    return run


def _onnx_forward(reader: Any, batches: Sequence[Sequence[list[int]]]) -> Callable[[int], None]:
    import numpy as np  # noqa: PLC0415

    given = []
    for rows in batches:
        ids, real = reader._padded(rows)
        embedded = reader._words[ids].astype(np.float32) + reader._positions[: ids.shape[1]]
        given.append({"embedded": embedded, "bias": np.where(real, np.float32(0), np.float32(-1e4))[:, None, None, :]})

    def run(number: int) -> None:
        reader._session.run(None, given[number])

    return run


def pipelines(texts: Sequence[str]) -> dict[str, Any]:
    """Two `transformers` pipelines, one per head, as people run them: float32, texts in the order they come, at their best batch size."""
    best = max(BATCH_SIZES, key=lambda size: _pipelines_rate(texts[: max(WARM_UP, len(texts) // 8)], batch_size=size))
    return {"per_s": _pipelines_rate(texts, batch_size=best), "batch_size": best}


def _pipelines_rate(texts: Sequence[str], *, batch_size: int) -> float:
    both = [_pipeline(labels) for labels in (3, 20)]

    def judge(some: Sequence[str]) -> None:
        for pipeline in both:
            pipeline(list(some), batch_size=batch_size, truncation=True)

    return rate(judge, texts)


def _pipeline(labels: int) -> Any:
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, TextClassificationPipeline  # noqa: PLC0415

    from models.encoder_files import ENCODER_FILE, TOKENIZER_FILE, WORDS_FILE, prepare_model  # noqa: PLC0415

    directory = prepare_model(load_settings().models_dir)
    tensors = load_file(directory / ENCODER_FILE) | load_file(directory / WORDS_FILE)
    words, positions = tensors["embeddings.words"], tensors["embeddings.positions"]
    sizes: dict[str, Any] = {"vocab_size": len(words), "hidden_size": words.shape[1], "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 1536}
    model: Any = BertForSequenceClassification(BertConfig(**sizes, max_position_embeddings=len(positions), num_labels=labels))  # type: ignore[no-untyped-call, call-arg]
    model.bert.embeddings.word_embeddings.weight = torch.nn.Parameter(words.float())
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_file=str(directory / TOKENIZER_FILE), pad_token="<pad>", model_max_length=load_settings().max_tokens)  # type: ignore[no-untyped-call]
    return TextClassificationPipeline(model=model.eval(), tokenizer=tokenizer, device="cpu")  # type: ignore[no-untyped-call]


def rate(judge: Callable[[Sequence[Any]], None], items: Sequence[Any]) -> float:
    """Items a second, after a warm-up."""
    judge(items[:WARM_UP])
    began = time.perf_counter()
    judge(items)
    return len(items) / (time.perf_counter() - began)


def main() -> None:
    """Entry point."""
    which, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    warnings.simplefilter("ignore")  # of the library measured against, about itself
    texts = [item.text for item in documents(count, seed=seed)]
    found = {"ours": ours, "bare": bare, "pipelines": pipelines}[which](texts)
    say(json.dumps({**found, "rss_mb": round(_most_mb()), "rows": len(texts)}))


def _most_mb() -> float:
    """The most memory this process had. Linux counts in kibibytes; pages mapped from a file and shared are among them."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
