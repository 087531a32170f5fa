"""A language of which no source is left is shown to Prometheus, as it is told to people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from alerts.source_watch import LAST_FOR, SourceHealth, Watching
from opinion.bus import create_topics
from opinion.metrics import WATCHED_LANGUAGES
from opinion.names import Names
from opinion.redis_client import connect
from tests.integration.test_tick import MINUTE, Room

pytestmark = [pytest.mark.integration]


async def test_a_language_without_a_source_is_shown_while_it_lasts(kafka_address: str, redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    await create_topics(kafka_address, names, partitions=1, replication=1)
    room = Room(kafka=kafka_address, redis=redis, names=names)
    now = datetime.now(UTC)
    await redis.set(names.source_alerts, msgspec.json.encode(Watching(since={"language:zh": now - LAST_FOR - timedelta(minutes=1)})))

    async def after_a_look(chinese: str) -> dict[str, float | None]:
        sources = {"cls": SourceHealth(state=chinese, langs={"zh": now}), "feed": SourceHealth(langs={"en": now})}
        for name, health in sources.items():
            await redis.hset(names.sources, name, msgspec.json.encode(health))
        await room.watch(alerter, until=room.clock.now() + MINUTE, every=MINUTE)
        return {language: alerter.metric("yuqing_language_blind", language=language) for language in WATCHED_LANGUAGES}

    alerter = await room.alerter()
    assert await after_a_look("silent") == {"en": 0, "zh": 1, "all": 0}
    assert await after_a_look("ok") == {"en": 0, "zh": 0, "all": 0}
    await room.producer.stop()
    await redis.aclose()
