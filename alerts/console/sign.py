"""Signing in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import RedirectResponse

from alerts.api.access import Caller, Scope
from alerts.api.parts import Parts
from alerts.console.addresses import inner
from alerts.console.session import COOKIE, KEEP, Sessions
from alerts.console.web import ConsoleRoute, Form, Sent, look_at, read_form, render
from opinion.clock import monotonic_s

router = APIRouter(route_class=ConsoleRoute, include_in_schema=False)

ANYBODY = Caller("sign-in", Scope.READ)
"""Tries to sign in are counted together, as those of one token: nobody tries thousands."""


@router.get("/sign-in")
async def ask(request: Request, next: str = "/") -> Response:  # noqa: A002 - as the address has it
    """The form."""
    return render(request, "sign_in.html", look=look_at(request), wrong=False, to=inner(next))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """A session for who has a token; the form again for who has none."""
    parts: Parts = request.app.state.parts
    values = await read_form(request)
    to = inner(values.get("next"))
    if parts.access.wait_s(ANYBODY, now_s=monotonic_s()):
        raise HTTPException(429, "too many tries to sign in", headers={"Retry-After": "60"})
    session_id = await Sessions(parts.redis, parts.names, access=parts.access).begin(values.get("token", "").strip())
    if session_id is None:
        return render(request, "sign_in.html", look=look_at(request), status=401, wrong=True, to=to)
    answer = RedirectResponse(to, status_code=303)
    secure = request.url.scheme == "https"
    answer.set_cookie(COOKIE, session_id, max_age=int(KEEP.total_seconds()), httponly=True, samesite="strict", secure=secure)
    return answer


@router.post("/sign-out")
async def sign_out(form: Annotated[Form, Depends(Sent(Scope.READ))]) -> Response:
    """No session any more."""
    parts = form.visit.parts
    await Sessions(parts.redis, parts.names, access=parts.access).end(form.visit.request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/sign-in", status_code=303)
    answer.delete_cookie(COOKIE)
    return answer
