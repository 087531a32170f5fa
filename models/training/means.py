"""`python -m models.training.means`: `models/story_means.safetensors` anew, with the shipped model; a minute on two cores. To be run after each training that ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import structlog
from safetensors.numpy import save_file

from models import story_link
from models.backends.base import Backend, Floats
from models.registry import load_backend
from models.training.rows import Row, all_rows
from opinion.settings import load_settings

log = structlog.get_logger()

ROWS_PER_LANGUAGE = 1600
OUT = Path(story_link.__file__).with_name("story_means.safetensors")


def means_of(backend: Backend, rows: Sequence[Row]) -> dict[str, Floats]:
    """The mean embedding of the English rows, the Chinese rows, and of both (`und`), equally many of each."""
    found: dict[str, Floats] = {}
    for lang in ("en", "zh"):
        chosen = [row for row in rows if row.lang == lang]
        some = chosen[:: max(1, len(chosen) // ROWS_PER_LANGUAGE)][:ROWS_PER_LANGUAGE]
        found[lang] = backend.score([row.input for row in some]).embedding.mean(0).astype(np.float32)
    return {**found, "und": np.asarray((found["en"] + found["zh"]) / 2, np.float32)}


def main() -> None:
    """Entry point."""
    means = means_of(load_backend(load_settings()), all_rows())
    save_file(means, OUT)
    log.info("written", file=OUT.name, lengths={lang: round(float(np.linalg.norm(mean)), 3) for lang, mean in means.items()})


if __name__ == "__main__":
    main()
