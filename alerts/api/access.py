"""Who may do what: bearer tokens with a scope each, and how often."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from msgspec import Struct

from opinion.clock import monotonic_s
from opinion.telling_settings import TokenSetting

MINUTE_S = 60.0


class Scope(StrEnum):
    """What a token is for; each includes the one before."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"


_RANK = {Scope.READ: 0, Scope.OPERATE: 1, Scope.ADMIN: 2}


class Caller(Struct, frozen=True):
    """Whose token it was."""

    name: str
    scope: Scope

    def may(self, scope: Scope) -> bool:
        """Whether the token is for this, or for more."""
        return _RANK[self.scope] >= _RANK[scope]


class Access:
    """The tokens of an installation."""

    def __init__(self, token: str, others: Sequence[TokenSetting] = (), *, rate_per_min: int = 600) -> None:
        self._tokens = [(token.encode(), Caller("admin", Scope.ADMIN)), *[(each.token.get_secret_value().encode(), Caller(each.name, Scope(each.scope))) for each in others]]
        self._rate = rate_per_min
        self._left: dict[str, tuple[float, float]] = {}  # caller -> requests that may come now, as of when

    def caller(self, given: str) -> Caller | None:
        """Whose token it is. Takes the same time whether, and where, it is wrong."""
        found = None
        for token, caller in self._tokens:
            if hmac.compare_digest(given.encode("utf-8", "replace"), token):
                found = caller
        return found

    def seal(self, given: str, *, key: bytes) -> str | None:
        """What says that somebody showed this token, without holding it; None where it is wrong."""
        return None if self.caller(given) is None else _sealed(given.encode("utf-8", "replace"), key)

    def sealed(self, seal: str, *, key: bytes) -> Caller | None:
        """Whose token a seal was made of; None where there is no such token any more."""
        return next((caller for token, caller in self._tokens if hmac.compare_digest(_sealed(token, key), seal)), None)

    def wait_s(self, caller: Caller, *, now_s: float) -> float:
        """Seconds until the caller may ask; 0 where now, and then it counts."""
        left, since_s = self._left.get(caller.name, (float(self._rate), now_s))
        left = min(float(self._rate), left + (now_s - since_s) * self._rate / MINUTE_S)
        if left < 1:
            return (1 - left) * MINUTE_S / self._rate
        self._left[caller.name] = (left - 1, now_s)
        return 0.0


def _sealed(token: bytes, key: bytes) -> str:
    return hmac.new(key, token, "sha256").hexdigest()


_bearer = HTTPBearer(auto_error=False, description="The token that `yuqing up` says the place of, or one of the setting `api_tokens`.")


class Needs:
    """A dependency: the caller, whose token has at least a scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __call__(self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None) -> Caller:
        """The caller."""
        access: Access = request.app.state.parts.access
        caller = access.caller(credentials.credentials) if credentials is not None else None
        if caller is None:
            raise HTTPException(401, "a bearer token is needed; `yuqing up` says where it is", headers={"WWW-Authenticate": "Bearer"})
        if not caller.may(self._scope):
            raise HTTPException(403, f"this token may only {caller.scope.value}; {self._scope.value} is needed", headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'})
        wait_s = access.wait_s(caller, now_s=monotonic_s())
        if wait_s:
            raise HTTPException(429, "too many requests of this token", headers={"Retry-After": str(int(wait_s) + 1)})
        return caller


Reader = Annotated[Caller, Security(Needs(Scope.READ), scopes=[Scope.READ.value])]
Operator = Annotated[Caller, Security(Needs(Scope.OPERATE), scopes=[Scope.OPERATE.value])]
Admin = Annotated[Caller, Security(Needs(Scope.ADMIN), scopes=[Scope.ADMIN.value])]
