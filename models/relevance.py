"""How much a document is about a company: from where it is named, how often, and how many others are."""

from __future__ import annotations

from msgspec import Struct

LEAD_CHARS = 40
"""A post without a title says whom it is about in its first words."""
NEAR_CHARS = 200
"""The first paragraph of an article, by common length."""
ROUND_UP = 5
"""A text that names more companies is a round-up: about none of them but those of its title. A title, or a list of tags, that names more is one too."""
ROUND_UP_CAP = 0.49
"""Below 0.5, the bound from which a document counts for a company."""


class Place(Struct, frozen=True):
    """Where and how often one company stands in a document."""

    title: bool  # named in the title
    first: int  # characters before the first mention, title left out
    mentions: int
    companies: int  # itself and those beside it: in the tags for a tagged one, else in the title for one of the title, else in the document
    tagged: bool  # the source itself says that the document is about it
    titled: bool  # the document has a title beside its text


def relevance(place: Place) -> float:
    """Relevance in (0, 1], rounded to 3 digits.

    `(0.6 where + 0.4 often) / (1 + 0.1 (others))`: `where` is 1 in the title or, without a title, in the first LEAD_CHARS; 0.7 in the
    first NEAR_CHARS; 0.45 later. `often` is 1 - 0.5^mentions. `others` are the other companies of the title for one that the title
    names, else those of the document. A source's tag gives 1. More than ROUND_UP companies named together are capped at 0.49 each.
    Chosen by hand on the cases in tests/data/entities: one late mention of a lone company stays below 0.5.

    >>> relevance(Place(title=True, first=0, mentions=1, companies=1, tagged=False, titled=True))
    0.8
    """
    lead = place.title or (not place.titled and place.first < LEAD_CHARS)
    where = 1.0 if lead else 0.7 if place.first < NEAR_CHARS else 0.45
    often = 1 - 0.5 ** min(place.mentions, 16)
    value = 1.0 if place.tagged else (0.6 * where + 0.4 * often) / (1 + 0.1 * (place.companies - 1))
    if place.companies > ROUND_UP:
        value = min(value, ROUND_UP_CAP)
    return round(value, 3)
