"""The feeds that the word `default` stands for in the setting `sources`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from opinion.errors import ConfigError
from opinion.settings import Feed

DEFAULT = "default"
FILE = Path(__file__).with_name("feeds.default.toml")
_CHOICES = frozenset({"source", "lang", "interval_s"})


@cache
def default_feeds() -> tuple[Feed, ...]:
    """The feeds of the file, in its order."""
    return tuple(Feed(**row) for row in tomllib.loads(FILE.read_text(encoding="utf-8"))["sources"])


def expanded(feeds: Sequence[Feed]) -> list[Feed]:
    """The feeds, with each `default` replaced by those it stands for; one that is also configured by itself stays as configured.

    `lang` of a `default` chooses among them (`zh` takes both scripts), `interval_s` is for all of them.

    Errors:
        ConfigError: a `default` says more than that.
    """
    configured = {feed.key for feed in feeds}
    found: list[Feed] = []
    for feed in feeds:
        chosen = _chosen(feed) if feed.source.lower() == DEFAULT else [feed]
        found += [one for one in chosen if one is feed or one.key not in configured]
        configured |= {one.key for one in chosen}
    return found


def _chosen(default: Feed) -> list[Feed]:
    """The feeds of one `default`."""
    unfit = sorted(default.model_fields_set - _CHOICES)
    if unfit:
        raise ConfigError(f"source {DEFAULT} takes `lang` and `interval_s` only, not {unfit[0]!r}")
    feeds = [feed for feed in default_feeds() if _speaks(feed.lang, default.lang)]
    if not feeds:
        raise ConfigError(f"source {DEFAULT} has no feeds in {default.lang!r}; it has {', '.join(sorted({feed.lang for feed in default_feeds()}))}")
    return [feed.model_copy(update={"interval_s": default.interval_s}) for feed in feeds] if default.interval_s else feeds


def _speaks(lang: str, wanted: str) -> bool:
    return not wanted or lang == wanted or lang.startswith(f"{wanted}-")
