"""Errors of the HTTP API as problem+json (RFC 9457)."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from opinion.errors import ConfigError, YuqingError

PROBLEM = "application/problem+json"


def problem(status: int, title: str, detail: str) -> JSONResponse:
    """An answer that says what is wrong."""
    return JSONResponse({"type": "about:blank", "title": title, "status": status, "detail": detail}, status_code=status, media_type=PROBLEM)


class Problem(BaseModel):
    """What is wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document, and say so in its description."""
    describe = app.openapi

    def described() -> dict[str, Any]:
        found = describe()
        found["components"]["schemas"].setdefault("Problem", Problem.model_json_schema())
        return found

    app.openapi = described  # type: ignore[method-assign]

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        answer = problem(error.status_code, "request refused", str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return problem(422, "invalid request", f"{where}: {first['msg']}")

    @app.exception_handler(YuqingError)
    async def _ours(_: Request, error: YuqingError) -> JSONResponse:
        status = 422 if isinstance(error, ConfigError) else 503
        return problem(status, error.reason.value, str(error))
