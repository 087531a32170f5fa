"""A tiny classifier of the form that transformers saves, with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *(chr(code) for code in range(33, 127)), *"涨跌停利润增长公司亏损，。股", *(f"##{chr(code)}" for code in range(97, 123)))


def tiny_classifier(into: Path, *, labels: Sequence[str] | None = ("bearish", "neutral", "bullish"), seed: int = 5) -> Path:
    """`into`, with a BertForSequenceClassification of these labels; None: without names, as many a model is published."""
    transformers = import_module("transformers")  # seconds, in tests that need it
    torch.manual_seed(seed)
    names = {} if labels is None else {"id2label": dict(enumerate(labels)), "label2id": {name: index for index, name in enumerate(labels)}}
    config = transformers.BertConfig(
        vocab_size=len(PIECES), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_position_embeddings=64, initializer_range=0.5, **names
    )
    transformers.BertForSequenceClassification(config).save_pretrained(into)
    tokenizer = Tokenizer(models.WordPiece({piece: index for index, piece in enumerate(PIECES)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]").save_pretrained(into)
    return into
