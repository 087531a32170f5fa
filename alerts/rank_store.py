"""What the people behind each receiver thought of alerts, in Redis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.notify.rank import Answer, Ranking, facts_of, fit, priority_of
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.records import Alert

MOST_ANSWERS = 1_000
"""The newest are kept: people change their minds."""

_answer = msgspec.json.Decoder(Answer)


class RankStore:
    """Answers by subscription and alert: saying something again of the same alert replaces what was said.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._fitted: dict[str, tuple[int, Ranking | None]] = {}  # by subscription: number of the state it was fitted to

    async def learn(self, subscription_ids: Sequence[str], alert: Alert, *, mattered: bool) -> None:
        """Remember what somebody thought of an alert."""
        answer = msgspec.json.encode(Answer(facts_of(alert), mattered))
        try:
            for wanted in subscription_ids:
                key = self._names.answers(wanted)
                async with self._redis.pipeline(transaction=True) as pipe:
                    pipe.hset(key, alert.alert_id, answer)
                    pipe.zadd(key + ":at", {alert.alert_id: alert.updated_at.timestamp()})
                    pipe.incr(key + ":n")
                    pipe.zrange(key + ":at", 0, -MOST_ANSWERS - 1)
                    *_, old = await pipe.execute()
                if old:
                    await self._redis.hdel(key, *old)
                    await self._redis.zrem(key + ":at", *old)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take what was thought of an alert: {error}") from error

    async def ranked(self, alert: Alert, subscription_id: str) -> Alert:
        """The alert with its priority for a receiver; as it is while too little was said."""
        ranking = await self._ranking(subscription_id)
        if ranking is None:
            return alert
        found = priority_of(alert, ranking)
        return replace(alert, priority=found.value, priority_why=found.reasons)

    async def _ranking(self, subscription_id: str) -> Ranking | None:
        key = self._names.answers(subscription_id)
        try:
            state = int(await self._redis.get(key + ":n") or 0)
            known = self._fitted.get(subscription_id)
            if known is not None and known[0] == state:
                return known[1]
            rows = cast("dict[bytes, bytes]", await self._redis.hgetall(key))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say what was thought of alerts: {error}") from error
        ranking = fit([_answer.decode(rows[alert_id]) for alert_id in sorted(rows)])
        self._fitted[subscription_id] = (state, ranking)
        return ranking
