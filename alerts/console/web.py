"""What every page of the console shares: who reads, headers, errors as pages, forms that cannot be forged, templates."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

import structlog
from fastapi import Depends, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct
from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException as StarletteHTTPException

from alerts.api.access import Caller, Scope
from alerts.api.parts import Parts
from alerts.console.addresses import changed, inner, outer, place
from alerts.console.assets import asset
from alerts.console.charts import bar
from alerts.console.look import COOKIES, LANGS, THEMES, Look, look_of
from alerts.console.session import COOKIE, Session, Sessions
from alerts.console.words import WORDS, Words
from opinion.clock import monotonic_s
from opinion.errors import ConfigError, YuqingError

log = structlog.get_logger()

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""Nothing is loaded from elsewhere, no page frames ours, and no script or style stands in a page: a text that broke out of its place could do nothing."""
MOST_FORM_BYTES = 64_000
LEAST_COMPRESSED = 2_000
"""Smaller pages fit a packet or two as they are."""
YEAR_S = 366 * 86_400
SAID = "said_"
"""Words that tell what was done begin with this."""

_templates = Environment(loader=PackageLoader("alerts.console"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_templates.globals |= {"place": place, "outer": outer, "changed": changed, "bar": bar, "asset": asset, "LANGS": LANGS, "THEMES": THEMES}


class SignInNeeded(Exception):
    """Nobody has signed in."""


class Visit(Struct, frozen=True):
    """A request of somebody who has signed in."""

    request: Request
    parts: Parts
    look: Look
    session: Session

    @property
    def caller(self) -> Caller:
        """Whose token it was."""
        return self.session.caller

    @property
    def words(self) -> Words:
        """Texts in the reader's language."""
        return Words(self.look.lang)

    def page(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page of the console."""
        return render(self.request, template, look=self.look, status=status, session=self.session, now=self.parts.wall.now(), **values)


class Form(Struct, frozen=True):
    """A form that was sent by who may."""

    visit: Visit
    values: dict[str, str]

    def text(self, name: str) -> str:
        """What a field says; empty where it is not there."""
        return self.values.get(name, "").strip()

    def done(self, said: str, *, otherwise: str = "/") -> RedirectResponse:
        """Back to where the form stood, with a word on what was done."""
        return RedirectResponse(changed(inner(self.values.get("back"), otherwise=otherwise), said=said), status_code=303)


def render(request: Request, template: str, *, look: Look, status: int = 200, session: Session | None = None, now: datetime | None = None, **values: Any) -> HTMLResponse:
    """A page in the reader's language."""
    said = SAID + request.query_params.get("said", "")
    here = request.url.path + ("?" + request.url.query if request.url.query else "")
    shared = {"t": Words(look.lang), "look": look, "session": session, "here": changed(here, said=None), "said": said if said in WORDS else "", "now": now or datetime.now(UTC)}
    return HTMLResponse(_templates.get_template(template).render(shared | values), status_code=status)


def look_at(request: Request) -> Look:
    """How the reader wants pages."""
    return look_of(request.query_params, request.cookies, accept_language=request.headers.get("accept-language", ""))


async def visit(request: Request) -> Visit:
    """The request of somebody who has signed in.

    Errors:
        SignInNeeded: of nobody.
        HTTPException: 429, too many requests of this token.
    """
    parts: Parts = request.app.state.parts
    session = await Sessions(parts.redis, parts.names, access=parts.access).get(request.cookies.get(COOKIE, ""))
    if session is None:
        raise SignInNeeded
    request.state.session = session  # an error is told on a page of theirs
    wait_s = parts.access.wait_s(session.caller, now_s=monotonic_s())
    if wait_s:
        raise HTTPException(429, "too many requests of this token", headers={"Retry-After": str(int(wait_s) + 1)})
    return Visit(request, parts, look_at(request), session)


Visited = Annotated[Visit, Depends(visit)]


class Sent:
    """A dependency: a form, sent from a page of ours by somebody whose token has at least a scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, visited: Visited) -> Form:
        """The form."""
        values = await read_form(visited.request)
        if not visited.session.accepts(values.get("csrf", "")):
            raise HTTPException(403, visited.words("forged"))
        if not visited.caller.may(self._scope):
            raise HTTPException(403, visited.words("may_not", scope=visited.caller.scope.value, needed=self._scope.value))
        return Form(visited, values)


Operated = Annotated[Form, Depends(Sent(Scope.OPERATE))]
Administered = Annotated[Form, Depends(Sent(Scope.ADMIN))]


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that a page of ours sent.

    Errors:
        HTTPException: 403 from another site, 413 too long, 415 no form.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "a form of another site")
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a form is application/x-www-form-urlencoded")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:
            raise HTTPException(413, f"a form has at most {MOST_FORM_BYTES} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as error:
        raise HTTPException(422, "a form is UTF-8 with at most 200 fields") from error


class ConsoleRoute(APIRoute):
    """A route whose answers are pages: errors too, with the headers that keep hostile texts harmless."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler."""
        handle = super().get_route_handler()

        async def shown(request: Request) -> Response:
            try:
                answer = await handle(request)
            except SignInNeeded:
                answer = _sign_in_first(request)
            except (StarletteHTTPException, RequestValidationError, ValidationError, YuqingError, RedisError) as error:
                answer = _refused(request, error)
            answer = _small(request, answer)
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
            for name, cookie in COOKIES.items():
                if request.query_params.get(name) in (*LANGS, *THEMES):
                    answer.set_cookie(cookie, request.query_params[name], max_age=YEAR_S, samesite="strict", secure=request.url.scheme == "https")
            return answer

        return shown


def _small(request: Request, answer: Response) -> Response:
    """The page, compressed where the browser reads that."""
    if isinstance(answer, HTMLResponse) and len(answer.body) >= LEAST_COMPRESSED and "gzip" in request.headers.get("accept-encoding", ""):
        answer.body = gzip.compress(answer.body, compresslevel=5, mtime=0)
        answer.headers["content-encoding"] = "gzip"
        answer.headers["content-length"] = str(len(answer.body))
    if isinstance(answer, HTMLResponse):
        answer.headers["vary"] = "Accept, Accept-Encoding, Accept-Language, Cookie"
    return answer


def _sign_in_first(request: Request) -> Response:
    """To the sign-in page. A link of another site comes without our cookie: its page is asked for again by ourselves before anybody is troubled."""
    if request.method != "GET":
        return render(request, "error.html", look=look_at(request), status=401, title="sign_in_needed", detail="")
    here = request.url.path + ("?" + request.url.query if request.url.query else "")
    if request.headers.get("sec-fetch-site") == "cross-site" and request.headers.get("sec-fetch-mode") == "navigate":
        return render(request, "again.html", look=look_at(request), to=inner(here))
    return RedirectResponse(place("sign-in", next=inner(here)), status_code=303)


def _refused(request: Request, error: Exception) -> Response:
    status, detail, headers = 503, str(error), {}
    if isinstance(error, StarletteHTTPException):
        status, detail, headers = error.status_code, str(error.detail), dict(error.headers or {})
    elif isinstance(error, RequestValidationError | ValidationError):
        first = error.errors()[0]
        status, detail = 422, f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    elif isinstance(error, ConfigError):
        status = 422
    session = getattr(request.state, "session", None)
    if status >= 500:
        log.warning("a page could not be shown", path=request.url.path, error=detail)
        detail = detail if session is not None else ""  # where our servers are is nobody else's business
    titles = {401: "sign_in_needed", 403: "not_allowed", 404: "not_found", 409: "does_not_fit", 422: "wrong_request", 429: "too_many", 503: "not_reachable"}
    answer = render(request, "error.html", look=look_at(request), status=status, session=session, title=titles.get(status, "wrong_request"), detail=detail)
    answer.headers.update(headers)
    return answer
