"""Polite, bounded HTTP: one GET, with every way it can end as one of our errors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urljoin
from weakref import WeakValueDictionary

import httpx
from aiolimiter import AsyncLimiter
from msgspec.structs import replace

from opinion.addresses import GuardedTransport
from opinion.clock import Clock, monotonic_s
from opinion.errors import BodyTooLarge, SourceError, SourceGone, SourceRateLimited, SourceUnavailable, SourceWalled
from opinion.retry_after import http_date, retry_after_s, until_s
from opinion.settings import Settings
from scrapers.decompress import ACCEPT_ENCODING, decompress
from scrapers.robots import Robots
from scrapers.source import Ask, Response
from scrapers.urls import canonical_url, host_of, masked

MOST_REDIRECTS = 5
MOST_PER_HOST = 2
"""Requests in flight to one host: what its operator would take from a browser without asking."""
MOST_AT_ONCE = 500
"""Requests in flight in all: half of the files that a process may commonly have open. Hosts that hang hold up no others before there are so many."""
MOST_PER_S = 10.0
"""Requests that one host gets within a second, at most: what the SEC allows, and others do not say."""
MOST_HOSTS = 5000
"""Hosts whose pace is remembered."""
PHASE_TIMEOUT_S = 10.0
"""Longest silence while connecting or between two pieces of a body; the whole has a deadline of its own."""

_ACCEPT = "application/rss+xml, application/atom+xml, application/feed+json, application/xml;q=0.9, application/json;q=0.9, text/xml;q=0.8, */*;q=0.5"
_NO_ADDRESS = "no web address, or redirects to none"
_RETRYABLE = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)
_SAYING_WHEN = (HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE)
"""With a Retry-After these ask for patience: nobody tells those to come again who are not wanted."""


class Validators(NamedTuple):
    """What a server said to name the version it sent."""

    etag: str = ""
    last_modified: str = ""


class _Hop(NamedTuple):
    """Where to ask next, and how much of the deadline is left."""

    ask: Ask
    left_s: float


class Fetcher:
    """GETs with a deadline, size limits, checked redirects, guarded addresses and few requests at once per host."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        transport = GuardedTransport(allow_private=settings.allow_private_sources, most_connections=None)  # a pool would count the wait for it against those who wait
        headers = {"user-agent": settings.user_agent, "accept": _ACCEPT, "accept-encoding": ACCEPT_ENCODING}
        cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # nobody is to be followed from poll to poll, or between two at once
        self._client = httpx.AsyncClient(transport=transport, headers=headers, cookies=cookies, timeout=PHASE_TIMEOUT_S, trust_env=False, follow_redirects=False)
        self._all = asyncio.Semaphore(MOST_AT_ONCE)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._paces: dict[str, AsyncLimiter] = {}
        self._robots = Robots(settings.user_agent, self.fetch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.aclose()

    async def fetch(self, ask: Ask | str, *, validators: Validators | None = None) -> Response:
        """The answer to a request, or to a GET of an address, its content-encoding undone; status 2xx, or 304 (without a body) where `validators` still hold.

        Errors:
            SourceError: any of its classes but PageChanged; the message is one line, without query strings.
        """
        hop = _Hop(Ask(url=ask) if isinstance(ask, str) else ask, self._settings.fetch_deadline_s)
        if hop.ask.page:
            await self._robots.check(hop.ask.url, now=self._clock.now())
        for _ in range(MOST_REDIRECTS + 1):
            answer = await self._get(hop, validators or Validators())
            if isinstance(answer, Response):
                return answer
            hop = answer
        raise SourceUnavailable(f"{masked(hop.ask.url)}: more than {MOST_REDIRECTS} redirects")

    async def _get(self, hop: _Hop, validators: Validators) -> Response | _Hop:
        """The answer, or where it redirects to. Waiting for others costs nothing of the deadline."""
        url, host = hop.ask.url, host_of(hop.ask.url)
        slots = self._hosts.get(host)
        if slots is None:
            slots = self._hosts[host] = asyncio.Semaphore(MOST_PER_HOST)
        try:
            async with slots:
                await self._pace(host)
                async with self._all:
                    began_s = monotonic_s()
                    async with asyncio.timeout(hop.left_s):
                        answer = await self._exchange(hop.ask, validators)
                return _Hop(_moved(hop.ask, answer), max(hop.left_s - (monotonic_s() - began_s), 0)) if isinstance(answer, str) else answer
        except TimeoutError as error:
            raise SourceUnavailable(f"{masked(url)}: no whole answer within {self._settings.fetch_deadline_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            raise SourceUnavailable(f"{masked(url)}: {why(error)}") from error

    async def _pace(self, host: str) -> None:
        """Wait for the host's turn."""
        if len(self._paces) > MOST_HOSTS:
            self._paces.clear()
        await self._paces.setdefault(host, AsyncLimiter(MOST_PER_S, 1.0)).acquire()

    async def _exchange(self, ask: Ask, validators: Validators) -> Response | str:
        url = ask.url
        if canonical_url(url) is None:
            raise SourceUnavailable(f"{masked(url)}: {_NO_ADDRESS}")
        asked = {"if-none-match": validators.etag, "if-modified-since": validators.last_modified}
        conditions = {name: value for name, value in asked.items() if value}
        method = "GET" if ask.form is None else "POST"
        request = self._client.build_request(method, url, headers=dict(ask.headers) | conditions, data=None if ask.form is None else dict(ask.form))
        answer = await self._client.send(request, stream=True)
        try:
            location = answer.headers.get("location")
            if answer.status_code in (301, 302, 303, 307, 308) and location and ask.form is None:
                return _redirected(url, location)
            self._refuse(answer, url, conditional=bool(conditions))
            body = b"" if answer.status_code == HTTPStatus.NOT_MODIFIED else await self._body(answer)
        finally:
            await answer.aclose()
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(url=url, status=answer.status_code, headers=headers, body=body, fetched_at=self._clock.now())

    async def _body(self, answer: httpx.Response) -> bytes:
        """The decoded body; httpx's own decoder would put a bomb into memory before anyone could look."""
        most = self._settings.max_body_bytes
        raw = bytearray()
        async for part in answer.aiter_raw():
            raw += part
            if len(raw) > most:
                raise BodyTooLarge(f"{masked(str(answer.url))}: the body is over {most} bytes")
        try:
            return decompress(bytes(raw), encoding=answer.headers.get("content-encoding", ""), max_bytes=most)
        except SourceError as error:
            raise type(error)(f"{masked(str(answer.url))}: {error}") from error

    def _refuse(self, answer: httpx.Response, url: str, *, conditional: bool) -> None:
        """Raise for a status that brings no feed; "not modified" is one where nothing was there to be modified."""
        status = answer.status_code
        if not (200 <= status < 300 or (status == HTTPStatus.NOT_MODIFIED and conditional)):
            raise refusal_of(status, answer.headers, url=url, now=self._clock.now())


def refusal_of(status: int, headers: Mapping[str, str], *, url: str, now: datetime) -> SourceError:
    """The error that a status stands for which brings nothing."""
    line = f"{masked(url)}: answered {status}"
    now = http_date(headers.get("date", "")) or now
    wait_s = retry_after_s(headers.get("retry-after", ""), now=now)
    if status == HTTPStatus.TOO_MANY_REQUESTS and wait_s is None and headers.get("x-rate-limit-remaining", "0").strip() == "0":
        wait_s = until_s(headers.get("x-rate-limit-reset"), now=now)  # where requests remain, another limit was met
    if status == HTTPStatus.TOO_MANY_REQUESTS or (status in _SAYING_WHEN and wait_s is not None):
        return SourceRateLimited(line, wait_s=wait_s)
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return SourceGone(line)
    if status >= 500 or status < 400 or status in _RETRYABLE:
        return SourceUnavailable(line)
    return SourceWalled(line)


def _redirected(url: str, location: str) -> str:
    try:
        target = urljoin(url, location)
    except ValueError:
        target = ""
    if canonical_url(target) is None:
        raise SourceUnavailable(f"{masked(url)}: {_NO_ADDRESS}")
    return target


def _moved(ask: Ask, url: str) -> Ask:
    """The request at the address that it is redirected to; another host is not told keys and cookies."""
    return replace(ask, url=url, headers=ask.headers if host_of(url) == host_of(ask.url) else {})


def why(error: Exception) -> str:
    """One line for a failure of the network; never an address, or the part of one that could not be read."""
    text = " ".join(str(error).split())[:200]
    if isinstance(error, httpx.InvalidURL | UnicodeError) or "location header" in text:  # httpx reads where it would go though it is told not to
        return _NO_ADDRESS
    if isinstance(error, httpx.LocalProtocolError):  # its message shows the header, which may be a secret
        return "a header that cannot be sent: is there a space or a line break around a key or cookie?"
    return f"{type(error).__name__}: {text}" if text and "://" not in text else type(error).__name__
