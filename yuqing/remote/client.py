"""The alerter's API, as commands speak to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from opinion.errors import ApiRefused, ConfigError, StoreUnavailable
from opinion.settings import Settings
from yuqing.remote.token import token_of

TIMEOUT_S = 20.0
PAGE = 200
_WRONG_REQUEST = frozenset({400, 401, 403, 409, 412, 422})


class Api:
    """A connection to the API.

    Errors of every method:
        ConfigError: the request is wrong, or the token may not do this.
        ApiRefused: there is no such thing.
        StoreUnavailable: the alerter does not answer, or cannot just now (retryable).
    """

    def __init__(self, settings: Settings) -> None:
        self._address = f"http://{settings.api_host}:{settings.api_port}"
        self._client = httpx.Client(base_url=f"{self._address}/api/v1", headers={"authorization": f"Bearer {token_of(settings)}"}, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str, **asked: Any) -> Any:
        """What the API gives; arguments that are None are left out."""
        return self._ask("GET", path, params={name: value for name, value in asked.items() if value is not None})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the API answers."""
        return self._ask("POST", path, json=None if body is None else dict(body))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """The thing as changed."""
        return self._ask("PATCH", path, json=dict(body))

    def delete(self, path: str) -> Any:
        """What the API answers."""
        return self._ask("DELETE", path)

    def rows(self, path: str, key: str, *, limit: int, **asked: Any) -> Iterator[dict[str, Any]]:
        """So many rows of a list, page after page."""
        cursor = None
        while limit > 0:
            page = self.get(path, limit=min(limit, PAGE), cursor=cursor, **asked)
            yield from page[key]
            limit -= len(page[key])
            cursor = page.get("next")
            if cursor is None:
                return

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        try:
            answer = self._client.request(method, path, **more)
        except httpx.HTTPError as error:
            raise StoreUnavailable(f"the alerter does not answer at {self._address}: is `yuqing up` or `yuqing alert` running?") from error
        if answer.is_success:
            return answer.json() if answer.content else None
        try:
            detail = str(answer.json()["detail"])
        except (ValueError, KeyError, TypeError):
            detail = f"the alerter answered {answer.status_code}"
        if answer.status_code in _WRONG_REQUEST:
            raise ConfigError(detail)
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise ApiRefused(detail)
        raise StoreUnavailable(detail)
