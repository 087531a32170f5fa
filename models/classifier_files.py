"""The files of a classifier: where they are, and what can be said of them before they are loaded. No framework is imported here, and no network asked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from models.labels import columns_of
from opinion.errors import ModelLoadError

CONFIG = "config.json"
WEIGHT_FILES = "model*.safetensors"

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?(@[\w./-]+)?")


def directory_of(name: str) -> Path | None:
    """The directory of that name; None where it can only be of the Hugging Face hub.

    Errors:
        ModelLoadError: it is neither.
    """
    directory = Path(name).expanduser()
    if name and directory.is_dir():
        return directory
    if directory.exists() or not _HUB_ID.fullmatch(name):
        msg = f"{name}: no such directory"
        raise ModelLoadError(msg)
    return None


def hub_id_of(name: str) -> tuple[str, str | None]:
    """The hub's id in a name, and the revision that it asks for.

    >>> hub_id_of("someone/finbert@main"), hub_id_of("someone/finbert")
    (('someone/finbert', 'main'), ('someone/finbert', None))
    """
    hub_id, _, revision = name.partition("@")
    return hub_id, revision or None


def weight_files(directory: Path) -> list[Path]:
    """The files of weights that are read, in the order of their names.

    Errors:
        ModelLoadError: there are none.
    """
    files = sorted(directory.glob(WEIGHT_FILES))
    if not files:
        msg = f"{directory} holds no {WEIGHT_FILES}: other weights can run code when they are read, convert them"
        raise ModelLoadError(msg)
    return files


def look(name: str) -> bool:
    """Whether a classifier could be looked at, and is well as far as its files tell; False for one of the hub that is not in the cache of this machine.

    Errors:
        ModelLoadError: no such directory, no weights that may be read, or labels that are not known.
    """
    directory = directory_of(name)
    config = _cached_config(name) if directory is None else directory / CONFIG
    if config is None:
        return False
    if directory is not None:
        weight_files(directory)
    try:
        _check_config(config)
    except ModelLoadError as error:
        msg = f"{name}: {error}"
        raise ModelLoadError(msg) from error
    return True


def _cached_config(name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - not needed for a directory
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415

    hub_id, revision = hub_id_of(name)
    try:
        found = try_to_load_from_cache(hub_id, CONFIG, revision=revision)
    except HFValidationError as error:
        msg = f"{name}: no such directory, and no name of the hub"
        raise ModelLoadError(msg) from error
    return Path(found) if isinstance(found, str) else None


def _check_config(path: Path) -> None:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path.name}: {error.strerror}"
        raise ModelLoadError(msg) from error
    except ValueError as error:
        msg = f"{path.name} is no JSON"
        raise ModelLoadError(msg) from error
    if not isinstance(config, dict):
        msg = f"{path.name} describes no model"
        raise ModelLoadError(msg)
    if config.get("problem_type") not in (None, "single_label_classification"):
        msg = f"it is made for {config['problem_type']}, not for one label per text"
        raise ModelLoadError(msg)
    columns_of(_labels(config))


def _labels(config: dict[str, Any]) -> list[str]:
    """The names of the labels in order of their numbers; those that transformers gives where the file has none."""
    names = config.get("id2label")
    if not isinstance(names, dict):
        count = config.get("num_labels", 2)
        return [f"LABEL_{index}" for index in range(count if isinstance(count, int) else 2)]
    try:
        return [str(names[index]) for index in sorted(names, key=int)]
    except ValueError as error:
        msg = "its labels are not numbered in `id2label`"
        raise ModelLoadError(msg) from error
