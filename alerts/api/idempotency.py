"""A POST that is sent again under its `Idempotency-Key` does nothing twice: its first answer is given again.

Source: the IETF draft "The Idempotency-Key HTTP Header Field": 409 while the first is still at work, 422 for a key used with another body.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, cast

import msgspec
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from msgspec import Struct, field
from redis.exceptions import RedisError

from alerts.api.parts import Parts
from opinion.errors import StoreUnavailable
from opinion.names import digest

HEADER = "idempotency-key"
KEEP = timedelta(hours=24)
WORKING_S = 60
"""A first request that died leaves its key free again after this."""
MOST_CHARS = 200


class Kept(Struct, frozen=True):
    """An answer."""

    body_digest: str
    status: int = 0  # 0: still at work
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class IdempotentRoute(APIRoute):
    """A route whose POSTs may carry a key. Errors are not kept: they may be tried again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with what was answered before looked up first."""
        handle = super().get_route_handler()

        async def once(request: Request) -> Response:
            key = request.headers.get(HEADER)
            if key is None or request.method != "POST":
                return await handle(request)
            if not 0 < len(key) <= MOST_CHARS:
                raise HTTPException(422, f"{HEADER}: 1 to {MOST_CHARS} characters")
            return await _once(request, key, handle)

        return once


async def _once(request: Request, key: str, handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    parts: Parts = request.app.state.parts
    token = request.headers.get("authorization", "")
    name = parts.names.idempotency(digest(f"{token}\n{request.url.path}\n{key}", chars=32))
    body = digest((await request.body()).decode("latin-1") + request.url.query, chars=32)
    try:
        begun = await parts.redis.set(name, msgspec.json.encode(Kept(body)), nx=True, ex=WORKING_S)
        kept = None if begun else cast("bytes | None", await parts.redis.get(name))
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not say whether this was done before: {error}") from error
    if kept is not None:
        return _again(msgspec.json.decode(kept, type=Kept), body)
    try:
        answer = await handle(request)
    except BaseException:
        await parts.redis.delete(name)
        raise
    found = Kept(body, answer.status_code, {"content-type": answer.headers.get("content-type", "application/json")}, bytes(answer.body))
    try:
        await parts.redis.set(name, msgspec.json.encode(found), ex=KEEP)
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not keep the answer: {error}") from error
    return answer


def _again(kept: Kept, body_digest: str) -> Response:
    if kept.body_digest != body_digest:
        raise HTTPException(422, f"{HEADER}: was used with another request")
    if not kept.status:
        raise HTTPException(409, "the first request of this key is still at work", headers={"Retry-After": "1"})
    return Response(kept.body, status_code=kept.status, headers={**kept.headers, "idempotent-replayed": "true"})
