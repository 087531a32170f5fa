"""Sentiment from any `AutoModelForSequenceClassification`, for the languages that are set to it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from safetensors import SafetensorError

from models.backends.base import SENTIMENTS, Backend, BatchStats, Floats, ModelInput, OnBatch, Scores
from models.batching import plan
from models.classifier_files import WEIGHT_FILES, directory_of, hub_id_of, weight_files
from models.labels import columns_of
from models.passes import MOST_ROWS
from models.reader import device_of, dtype_of
from models.tokens import judged_text
from opinion.errors import InferenceError, ModelLoadError

log = structlog.get_logger()

READ_FROM_HUB = ("*.json", "*.txt", "*.model", WEIGHT_FILES)
"""What is fetched of a repository: no pickles, no code."""
SPARE_POSITIONS = 2
"""Positions that RoBERTa and its kin count but do not use (transformers, `create_position_ids_from_input_ids`)."""
ANY = "*"
"""Stands for every language that is not set by itself."""


class SentimentClassifier:
    """The model in a directory, or of the Hugging Face hub (`owner/name`, or `owner/name@revision`, which stays the same for ever).

    Weights are read from safetensors only, and no code is run that comes with a model. A directory is never looked up on the network.

    Errors:
        ModelLoadError: it is missing or damaged, is no classifier of one sentiment per text, has labels that are not known, or the device is not there.
    """

    def __init__(self, name_or_directory: str, *, device: str = "auto", threads: int = 0, max_tokens: int = 256, batch_tokens: int = 1024, on_batch: OnBatch | None = None) -> None:
        self._device, self._batch_tokens, self._on_batch = device_of(device), batch_tokens, on_batch
        if threads:
            torch.set_num_threads(threads)
        self.name, directory = _found(name_or_directory)
        self.revision = _revision_of(directory)
        try:
            self._tokenizer, self._model = _loaded(directory, self._device)
            labels: Mapping[int, str] = self._model.config.id2label
            self._columns = torch.tensor(columns_of([labels[index] for index in sorted(labels)]), device=self._device)
        except ModelLoadError as error:
            msg = f"{name_or_directory}: {error}"
            raise ModelLoadError(msg) from error
        self._max_tokens = min(max_tokens, _most_tokens(self._tokenizer, self._model.config))

    def sentiment(self, inputs: Sequence[ModelInput]) -> Floats:
        """The probabilities of SENTIMENTS of each input, (N, 3), in order; rows sum to 1. Neutral is 0 where the model has no such label.

        Errors:
            InferenceError: the pass failed (retryable).
        """
        answer = np.zeros((len(inputs), len(SENTIMENTS)), np.float32)
        if not inputs:
            return answer
        started = time.perf_counter()
        rows = self._tokenised(inputs)
        tokenise_s = (time.perf_counter() - started) / len(rows)
        for batch in plan([len(row) for row in rows], most_tokens=self._batch_tokens, most_documents=MOST_ROWS):
            for part, probabilities, forward_s in self._passes(batch, rows):
                answer[part] = probabilities
                if self._on_batch is not None:
                    self._on_batch(BatchStats(len(part), len(part) * len(rows[part[-1]]), tokenise_s * len(part), forward_s))
        return answer

    def _tokenised(self, inputs: Sequence[ModelInput]) -> list[list[int]]:
        texts = [judged_text(item.title, item.text, max_tokens=self._max_tokens) for item in inputs]
        try:
            found: list[list[int]] = self._tokenizer(texts, truncation=True, max_length=self._max_tokens)["input_ids"]
        except (TypeError, ValueError) as error:
            msg = f"the tokenizer of {self.name} refused a text: {error}"
            raise InferenceError(msg.splitlines()[0]) from error
        return [ids or [self._tokenizer.pad_token_id] for ids in found]  # a tokenizer without a frame makes nothing of an empty text

    def _passes(self, batch: list[int], rows: Sequence[list[int]]) -> Iterator[tuple[list[int], Floats, float]]:
        """The pass over a batch; two over its halves where memory does not suffice."""
        began = time.perf_counter()
        try:
            yield batch, self._probabilities([rows[index] for index in batch]), time.perf_counter() - began
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                msg = f"one text of {len(rows[batch[0]])} tokens does not fit the memory"
                raise InferenceError(msg) from error
            log.warning("out of memory, halving the batch", texts=len(batch), model=self.name)
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                yield from self._passes(half, rows)

    def _probabilities(self, rows: Sequence[list[int]]) -> Floats:
        """(rows, 3), of texts in order of their lengths."""
        longest = len(rows[-1])
        ids = torch.tensor([[*row, *[self._tokenizer.pad_token_id] * (longest - len(row))] for row in rows], device=self._device)
        real = torch.arange(longest, device=self._device) < torch.tensor([len(row) for row in rows], device=self._device)[:, None]
        try:
            with torch.inference_mode():
                labels = torch.softmax(self._model(input_ids=ids, attention_mask=real.long()).logits.float(), dim=1)
                sentiments = torch.zeros(len(rows), len(SENTIMENTS), device=self._device).index_add_(1, self._columns, labels)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError) as error:
            msg = f"the forward pass of {len(rows)} texts through {self.name} failed: {error}"
            raise InferenceError(msg.splitlines()[0]) from error
        answer: Floats = sentiments.cpu().numpy()
        if not np.isfinite(answer).all():
            msg = f"the forward pass of {len(rows)} texts through {self.name} gave no finite numbers"
            raise InferenceError(msg)
        return answer


class RoutedBackend:
    """`base`, with the sentiment of whole texts from the classifier of their language (`en`, `zh`, or `*` for all others).

    Topics, embedding, the scores of companies and the pieces are the base's. `model` and `revision` name all that take part.
    """

    def __init__(self, base: Backend, by_language: Mapping[str, SentimentClassifier]) -> None:
        self._base, self._by_language = base, dict(sorted(by_language.items()))
        self.name, self.device = base.name, base.device
        self.model = "+".join([base.model, *dict.fromkeys(one.name for one in self._by_language.values())])
        self.revision = "+".join([base.revision, *(f"{'any' if language == ANY else language}-{one.revision}" for language, one in self._by_language.items())])

    def score(self, inputs: Sequence[ModelInput]) -> Scores:
        """The scores of each input, in order.

        Errors:
            InferenceError: a pass failed (retryable).
        """
        scores = self._base.score(inputs)
        sentiment = scores.sentiment.copy()
        languages = [self._language_of(item) for item in inputs]
        for language, classifier in self._by_language.items():
            rows = [row for row, found in enumerate(languages) if found == language]
            sentiment[rows] = classifier.sentiment([inputs[row] for row in rows])
        return scores._replace(sentiment=sentiment)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the pieces that the base reads lie in `text`: [start, end), in order, blanks left out."""
        return self._base.spans(text)

    def _language_of(self, item: ModelInput) -> str:
        primary = item.lang.split("-")[0].lower()
        return primary if primary in self._by_language else ANY


def _found(name: str) -> tuple[str, Path]:
    """What to call the model, and where it is; fetched from the hub where `name` is no directory here.

    Errors:
        ModelLoadError: no such directory, or the hub does not give it.
    """
    directory = directory_of(name)
    if directory is not None:
        return directory.resolve().name, directory
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - not needed for a directory

    hub_id, revision = hub_id_of(name)
    log.info("fetching a model from the hub, where it is not in its cache", model=name)
    try:
        fetched = snapshot_download(hub_id, revision=revision, allow_patterns=list(READ_FROM_HUB), ignore_patterns=["*/*"])
    except Exception as error:  # of httpx, of the hub, of the file system
        msg = f"{name}: no such directory, and the hub does not give it: {_first_line(error)}"
        raise ModelLoadError(msg) from error
    return hub_id.split("/")[-1], Path(fetched)


def _revision_of(directory: Path) -> str:
    """The first 12 digits of the sha256 of the weights; of several files in the order of their names."""
    found = hashlib.sha256()
    try:
        for path in weight_files(directory):
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ModelLoadError(msg) from error
    return found.hexdigest()[:12]


def _loaded(directory: Path, device: torch.device) -> tuple[Any, Any]:
    """The tokenizer and the model in `directory`. Both are of classes that only the file names, hence Any."""
    transformers = import_module("transformers")  # seconds, which only those who set a classifier pay; half of it is typed, so none is here
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = transformers.AutoConfig.from_pretrained(directory, **where)
        if config.problem_type not in (None, "single_label_classification"):
            msg = f"it is made for {config.problem_type}, not for one label per text"
            raise ModelLoadError(msg)
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **where)
        model, told = transformers.AutoModelForSequenceClassification.from_pretrained(
            directory, config=config, dtype=dtype_of(device), use_safetensors=True, output_loading_info=True, **where
        )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError) as error:
        msg = f"no sequence classifier can be loaded from it: {_first_line(error)}"
        raise ModelLoadError(msg) from error
    if not any((directory / name).is_file() for name in tokenizer.vocab_files_names.values()):
        msg = "it has no file of its tokenizer"  # transformers makes an empty one, without a word
        raise ModelLoadError(msg)
    _check(tokenizer, model, missing=sorted({*told["missing_keys"], *(str(key) for key in told["mismatched_keys"])}))
    return tokenizer, model.to(device).eval()


def _check(tokenizer: Any, model: Any, *, missing: Sequence[str]) -> None:
    """Refuse what would load and judge at random.

    Errors:
        ModelLoadError: weights are missing or no numbers, or the tokenizer cannot pad or is another model's.
    """
    if missing:
        msg = f"its file lacks {len(missing)} of the model's weights ({missing[0]}, ..): it is no trained classifier"
        raise ModelLoadError(msg)
    broken = [name for name, weight in model.named_parameters() if not bool(torch.isfinite(weight).all())]
    if broken:
        msg = f"{len(broken)} of its weights hold values that are no numbers ({broken[0]}, ..)"
        raise ModelLoadError(msg)
    if tokenizer.pad_token_id is None:
        msg = "its tokenizer has no token for padding"
        raise ModelLoadError(msg)
    words = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > words:
        msg = f"its tokenizer has {len(tokenizer)} pieces, the model knows {words}"
        raise ModelLoadError(msg)


def _most_tokens(tokenizer: Any, config: Any) -> int:
    """The longest text the model can read."""
    positions: int = getattr(config, "max_position_embeddings", 0) or 0
    return min(tokenizer.model_max_length, positions - SPARE_POSITIONS) if positions > SPARE_POSITIONS else int(tokenizer.model_max_length)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
