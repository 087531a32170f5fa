"""Style sheet and script, read once; their addresses change with their bytes, so that browsers may keep them for ever."""

from __future__ import annotations

from functools import cache
from importlib import resources

from fastapi import APIRouter, HTTPException, Request, Response

from opinion.names import digest

router = APIRouter(prefix="/static", include_in_schema=False)

KINDS = {"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}


@cache
def _read(name: str) -> tuple[bytes, str]:
    """Bytes of a file, and what they are known by."""
    body = resources.files("alerts.console").joinpath("static", name).read_bytes()
    return body, digest(body.decode(), chars=16)


def asset(name: str) -> str:
    """The address of a file."""
    return f"/static/{name}?v={_read(name)[1]}"


@router.get("/{name}")
async def show(request: Request, name: str) -> Response:
    """A file, or 304 where the browser has it."""
    if name not in KINDS:
        raise HTTPException(404, f"no file {name[:100]}")
    body, known_by = _read(name)
    fresh = request.query_params.get("v") == known_by
    headers = {"etag": f'"{known_by}"', "cache-control": "public, max-age=31536000, immutable" if fresh else "no-cache", "x-content-type-options": "nosniff"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=KINDS[name], headers=headers)
