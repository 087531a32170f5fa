"""Whether calm means anything: what is blind, lost or late, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
from msgspec import Struct, field
from redis.exceptions import RedisError

from alerts.api.parts import Parts
from alerts.console.words import Words
from alerts.shown import Standing
from alerts.source_watch import MUTE
from opinion.errors import StoreUnavailable
from opinion.metrics import SOURCE_STATES

UNWATCHED_AFTER_S, UNWATCHED_AFTER_POLLS = 120.0, 5
"""What was said of a source so long ago, and so many polls ago, is no news of it; as `yuqing status` has it."""
LATE = timedelta(minutes=5)
"""Windows that are complete only until then are worth a word; in a replay, as long by the clock on the wall."""


class Eyes(Struct, frozen=True):
    """What keeps us from seeing."""

    blind: list[str] = field(default_factory=list)  # sentences: calm means nothing
    dim: list[str] = field(default_factory=list)  # sentences: something is missing


class Source(Struct, frozen=True, kw_only=True):
    """A source as a page shows it."""

    name: str
    state: str
    url: str
    last_good_at: datetime | None
    last_document_at: datetime | None
    polled_at: datetime | None
    documents: int
    dropped: int
    failures: int
    error: str
    langs: list[str]
    interval_s: float


async def standing_of(parts: Parts) -> Standing | None:
    """What the detection stands on; None before the first look."""
    try:
        value = cast("bytes | None", await parts.redis.get(parts.names.detection))
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not say what the detection stands on: {error}") from error
    return msgspec.json.decode(value, type=Standing) if value else None


async def sources_of(parts: Parts) -> list[Source]:
    """Every source, those that need somebody first."""
    rows: Mapping[str, Any] = await parts.sources()
    found = [source_of(name, health, at=parts.wall.now()) for name, health in rows.items()]
    return sorted(found, key=lambda source: (source.state == "ok", source.state == "partial", source.name))


def source_of(name: str, health: Mapping[str, Any], *, at: datetime) -> Source:
    """One of them. What its scraper said long ago is no news: `unwatched`."""
    polled_at, interval_s = instant_of(health.get("polled_at")), float(health.get("interval_s", 0))
    state = str(health.get("state", "ok"))
    watched = state in SOURCE_STATES and polled_at is not None and (at - polled_at).total_seconds() <= max(UNWATCHED_AFTER_S, UNWATCHED_AFTER_POLLS * interval_s)
    return Source(
        name=name,
        state=state if watched else "unwatched",
        url=str(health.get("url", "")),
        last_good_at=instant_of(health.get("last_good_at")),
        last_document_at=instant_of(health.get("last_document_at")),
        polled_at=polled_at,
        documents=int(health.get("documents", 0)),
        dropped=int(health.get("dropped", 0)),
        failures=int(health.get("failures", 0)),
        error=str(health.get("last_error", "")),
        langs=sorted(health.get("langs", {})),
        interval_s=interval_s,
    )


async def eyes_of(parts: Parts, *, words: Words) -> Eyes:
    """What keeps us from seeing, worst first."""
    status: Mapping[str, Any] = await parts.status()
    standing, sources = await standing_of(parts), await sources_of(parts)
    lost = [source for source in sources if source.state in MUTE or source.state == "unwatched"]
    blind, dim = [], []
    if status.get("blind"):
        blind.append(words("blind_worker", partitions=len(status["blind"])))
    elif status.get("watermark") is None:
        blind.append(words("blind_never"))
    if sources and len(lost) == len(sources):
        blind.append(_none_left(lost, words=words))
    elif not sources:
        blind.append(words("blind_no_source"))
    if standing is not None and standing.silent:
        blind.append(words("blind_silent"))
    if lost and len(lost) < len(sources):
        dim.append(words("dim_sources", count=len(lost), all=len(sources), names=", ".join(source.name for source in lost[:5])))
    if standing is not None and standing.shifted:
        dim.append(words("dim_shifted"))
    at = instant_of(status.get("watermark"))
    if not blind and at is not None and (late := parts.clock.now() - at) > LATE * parts.clock.speed:
        dim.append(words("dim_late", late=_length(late, words=words), behind=status.get("behind", 0)))
    return Eyes(blind, dim)


def _none_left(lost: Sequence[Source], *, words: Words) -> str:
    """That no source is left and, by the example of one that failed, why."""
    failed = next((source for source in lost if source.error), None)
    return words("blind_sources", count=len(lost)) if failed is None else words("blind_sources_why", count=len(lost), name=failed.name, error=failed.error)


def _length(length: timedelta, *, words: Words) -> str:
    minutes = int(length.total_seconds() // 60)
    return words("minutes", count=minutes) if minutes < 120 else words("hours", count=minutes // 60)


def instant_of(value: object) -> datetime | None:
    """The instant of a JSON value."""
    return datetime.fromisoformat(value) if isinstance(value, str) else None
