"""The HTTP side of the intake: `POST /v1/documents` with a bearer token. Imported only where `intake_port` is set: its frameworks weigh 2 MB (measured).

Nobody holds it up: heads, bodies, answers and idle connections have a deadline, bodies a cap, posts and connections a number.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from opinion.clock import Clock
from opinion.errors import BodyTooLarge, ConfigError, Reason, SourceError, StoreError, YuqingError
from opinion.settings import Settings
from opinion.token import ensure_token, token_place
from scrapers.decompress import ACCEPT_ENCODING
from scrapers.intake import Inbox, Post, Taken

log = structlog.get_logger()

PATH = "/v1/documents"
READ_WITHIN_S = 30.0
"""Longest that a body may take to arrive: 15 MB at 4 Mbit/s."""
ANSWER_WITHIN_S = 15.0
"""Longest that a sender waits for an answer. What it sent may still be published when Kafka is back: then it is a duplicate when it is sent again."""
CONNECTION_S = 60.0
"""Longest from the start of a connection, or from an answer on it, to the next answer: more than the two above take."""
MOST_CONNECTIONS = 64
"""More are cut off at once: the files that a process may open are for polling, too."""
BUSY_S, AWAY_S = 1, 5
"""Seconds after which to try again: when others are being served; when Kafka or Redis is away."""
FORMS = frozenset(["", "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "text/plain"])
"""Content types that are taken, beside those that end in +json; which form a body has it tells itself."""
_ENCODINGS = frozenset(["", "identity", "x-gzip", *ACCEPT_ENCODING.split(", ")])

Refused = Callable[[Reason], None]


@asynccontextmanager
async def taking(settings: Settings, *, clock: Clock, refused: Refused) -> AsyncIterator[Inbox]:
    """An inbox that is filled by HTTP; `refused` is called for a body that was not read whole.

    Errors:
        ConfigError: the port is taken, or the token cannot be kept.
    """
    inbox = Inbox()
    door = Door(inbox, token=ensure_token(settings, "intake"), most_bytes=settings.max_body_bytes, clock=clock, refused=refused)
    listener = _listener(settings)
    server = _Server(_configuration(door))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="intake server")
    serving.add_done_callback(lambda _: inbox.close())
    log.info("intake", address=f"http://{settings.api_host}:{listener.getsockname()[1]}{PATH}", token=token_place(settings, "intake"))
    try:
        yield inbox
    finally:
        inbox.close()
        server.should_exit = True
        await asyncio.gather(serving, return_exceptions=True)
        listener.close()


class Door:
    """Lets posts in, as many side by side as the inbox has places, and brings their answers back."""

    def __init__(self, inbox: Inbox, *, token: str, most_bytes: int, clock: Clock, refused: Refused) -> None:
        self._inbox = inbox
        self._token = token.encode()
        self._most_bytes = most_bytes
        self._clock = clock
        self._refused = refused
        self.application = Starlette(routes=[Route(PATH, self._take, methods=["POST"])], exception_handlers={HTTPException: _told, ClientDisconnect: _told})

    async def _take(self, request: Request) -> Response:
        self._check_token(request.headers.get("authorization", ""))
        _check_form(request.headers)
        if not self._inbox.enter():
            raise HTTPException(503, "others are being served: send it again", {"Retry-After": str(BUSY_S)})
        try:
            body = await self._read(request)
        except BaseException:
            self._inbox.leave()
            raise
        post = Post(
            body,
            request.headers.get("content-type", ""),
            request.headers.get("content-encoding", ""),
            self._clock.now(),
            asyncio.get_running_loop().create_future(),
        )
        self._inbox.put(post)
        await asyncio.wait({post.answer}, timeout=ANSWER_WITHIN_S)
        return _answer(post)

    def _check_token(self, given: str) -> None:
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer":
            raise HTTPException(401, "a bearer token is needed; the log of the scraper says where it is", {"WWW-Authenticate": "Bearer"})
        if not hmac.compare_digest(token.strip().encode(), self._token):
            raise HTTPException(403, "the bearer token is another")

    async def _read(self, request: Request) -> bytes:
        """The body. What is too long is refused as soon as that is known, and thrown away while its sender hears of it."""
        if int(request.headers.get("content-length", 0)) > self._most_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                async for part in request.stream():
                    body += part
                    if len(body) > self._most_bytes:
                        raise self._too_large()
        except TimeoutError:
            self._refused(Reason.SOURCE_UNAVAILABLE)
            raise HTTPException(408, f"the body did not come within {READ_WITHIN_S:g} s", {"Connection": "close"}) from None
        except ClientDisconnect:
            self._refused(Reason.SOURCE_UNAVAILABLE)
            raise
        return bytes(body)

    def _too_large(self) -> HTTPException:
        self._refused(Reason.BODY_TOO_LARGE)
        return HTTPException(413, f"the body is over {self._most_bytes} bytes: send it in parts")


def _check_form(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in FORMS and not kind.endswith("+json"):
        raise HTTPException(415, "say `Content-Type: application/json`, or `application/x-ndjson` for JSON Lines")
    if not {name.strip().lower() for name in headers.get("content-encoding", "").split(",")} <= _ENCODINGS:
        raise HTTPException(415, f"the Content-Encoding is none of {ACCEPT_ENCODING}", {"Accept-Encoding": ACCEPT_ENCODING})


def _answer(post: Post) -> Response:
    answer = post.answer.result() if post.answer.done() else None
    if isinstance(answer, Taken):
        return Response(msgspec.json.encode(answer), media_type="application/json")
    if answer is None or isinstance(answer, StoreError):
        why = "it is not published yet" if answer is None else str(answer)
        raise HTTPException(503, f"{why}: send it again", {"Retry-After": str(AWAY_S)})
    raise HTTPException(_status(answer), str(answer))


def _status(error: YuqingError) -> int:
    if isinstance(error, BodyTooLarge):
        return 413
    return 400 if isinstance(error, SourceError) else 500


async def _told(_: Request, error: Exception) -> Response:
    """An error as problem+json (RFC 9457)."""
    status, detail, headers = (error.status_code, error.detail, error.headers) if isinstance(error, HTTPException) else (400, "the body broke off", None)
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(msgspec.json.encode(problem), status, headers, media_type="application/problem+json")


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


class _Connection(H11Protocol):
    """A connection that must bring a request and take an answer in time, again and again; uvicorn itself waits for a head for ever."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        self._wait()

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._late is not None:
            self._late.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._late is not None:
            self._late.cancel()
        self._late = self.loop.call_later(CONNECTION_S, self.transport.abort)


def _configuration(door: Door) -> uvicorn.Config:
    return uvicorn.Config(
        door.application,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
    )


def _listener(settings: Settings) -> socket.socket:
    """A socket that listens; uvicorn would end the process where the port is taken.

    Errors:
        ConfigError: the port is taken, or the address is not of this machine.
    """
    host, port = settings.api_host, settings.intake_port or 0
    try:
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, for a socket made so: each answer would wait 40 ms
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port} for posted documents: {os.strerror(error.errno or 0)}; set `intake_port`") from error
    return listener
