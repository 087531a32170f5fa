"""What is sent in place of a message that waits and quotes documents, once one of these is erased: the same message without any of them.

Both are rendered when the message is made, so that nothing is rendered anew later, by another subscription or another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.channels.channel import Channel
from alerts.erasing import quoted
from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription
from opinion.erased import ErasedIds
from opinion.errors import StoreUnavailable
from opinion.names import Names

_doc_ids = msgspec.json.Decoder(list[str])


class Plain(Struct, frozen=True):
    """A message without documents."""

    body: bytes
    doc_ids: frozenset[str]  # that the message quotes


def plain_of(notice: Notice, subscription: Subscription, *, channel: Channel) -> Plain | None:
    """The message of a notice without documents; None where it quotes none."""
    doc_ids = quoted(notice.alerts)
    if not doc_ids:
        return None
    bare = [msgspec.structs.replace(alert, evidence=[]) for alert in notice.alerts]
    return Plain(channel.render(msgspec.structs.replace(notice, alerts=bare), subscription), doc_ids)


class PlainBodies:
    """They, in Redis, each for as long as its delivery.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._erased = ErasedIds(redis, names)

    async def keep(self, delivery_id: str, plain: Plain, *, keep: timedelta) -> None:
        """Keep what may have to be sent; made again, it is the same."""
        key = self._names.delivery_plain(delivery_id)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(key, mapping={"body": plain.body, "documents": msgspec.json.encode(sorted(plain.doc_ids))})
                pipe.expire(key, keep)
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a delivery's plain body: {error}") from error

    async def sent(self, bodies: Mapping[str, bytes]) -> dict[str, bytes]:
        """What is to be sent of deliveries, by id: the body, or the plain one where the body quotes what is erased by now. Two round trips."""
        if not bodies:
            return {}
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for delivery_id in bodies:
                    pipe.hmget(self._names.delivery_plain(delivery_id), ["body", "documents"])
                rows = cast("list[list[bytes | None]]", await pipe.execute())
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the plain bodies of {len(bodies)} deliveries: {error}") from error
        plains = {delivery_id: Plain(plain, frozenset(_doc_ids.decode(documents))) for delivery_id, (plain, documents) in zip(bodies, rows, strict=True) if plain and documents}
        gone = await self._erased.among({doc_id for plain in plains.values() for doc_id in plain.doc_ids})
        return dict(bodies) | {delivery_id: plain.body for delivery_id, plain in plains.items() if plain.doc_ids & gone}
