"""Who has signed in: a browser holds a random id, Redis what it stands for, neither of them the token.

sign in with a token ──▶ session ──sign out, twelve hours, or a token that is valid no more──▶ sign in again
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.api.access import Access, Caller
from opinion.errors import StoreUnavailable
from opinion.names import Names, digest

KEEP = timedelta(hours=12)
"""A working day: a browser left open does not stay signed in for ever."""
ID_BYTES = 32
SALT_BYTES = 12
COOKIE = "yuqing_session"


class Held(Struct, frozen=True):
    """What Redis keeps of a session."""

    seal: str  # which token it was, keyed with the id that only the browser has
    secret: str


class Session(Struct, frozen=True):
    """Somebody who has signed in."""

    caller: Caller
    secret: str  # that only our own pages can have been made with

    @property
    def csrf(self) -> str:
        """What must come back with every form; another each time, so that nobody guesses it from the lengths of compressed pages."""
        salt = secrets.token_urlsafe(SALT_BYTES)
        return f"{salt}.{self._signed(salt)}"

    def accepts(self, csrf: str) -> bool:
        """Whether a form came from a page of this session."""
        salt, _, signature = csrf.partition(".")
        return hmac.compare_digest(self._signed(salt).encode(), signature.encode("utf-8", "replace"))

    def _signed(self, salt: str) -> str:
        return hmac.new(self.secret.encode(), salt.encode("utf-8", "replace"), "sha256").hexdigest()


class Sessions:
    """The sessions of an installation. What a session may do is looked up from the tokens as they are now.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names, *, access: Access) -> None:
        self._redis = redis
        self._names = names
        self._access = access

    async def begin(self, token: str) -> str | None:
        """The id of a new session; None where the token is wrong."""
        session_id = secrets.token_urlsafe(ID_BYTES)
        seal = self._access.seal(token, key=session_id.encode())
        if seal is None:
            return None
        held = Held(seal, secrets.token_urlsafe(ID_BYTES))
        try:
            await self._redis.set(self._key(session_id), msgspec.json.encode(held), ex=KEEP)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a session: {error}") from error
        return session_id

    async def get(self, session_id: str) -> Session | None:
        """The session; None where it is over, or its token is valid no more."""
        try:
            value = cast("bytes | None", await self._redis.get(self._key(session_id)))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give a session: {error}") from error
        if value is None:
            return None
        held = msgspec.json.decode(value, type=Held)
        caller = self._access.sealed(held.seal, key=session_id.encode())
        return None if caller is None else Session(caller, held.secret)

    async def end(self, session_id: str) -> None:
        """Sign out."""
        try:
            await self._redis.delete(self._key(session_id))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not end a session: {error}") from error

    def _key(self, session_id: str) -> str:
        return self._names.console_session(digest(session_id, chars=64))
