"""Places in a list as cursors: opaque to callers, checked when they come back."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, TypeVar

import msgspec
from fastapi import HTTPException, Query

MOST_ROWS = 500

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="Most rows of the answer.")]
Cursor = Annotated[str | None, Query(max_length=300, description="`next` of the answer before.")]


def cursor_of(place: object) -> str:
    """The cursor of a place.

    >>> place_of(cursor_of((1, "al_1")), tuple[int, str])
    (1, 'al_1')
    """
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_of(cursor: str | None, kind: type[T]) -> T | None:
    """The place of a cursor; a 404 for one that we never gave."""
    if cursor is None:
        return None
    try:
        return msgspec.json.decode(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True), type=kind)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as error:
        raise HTTPException(404, "no page begins at this cursor") from error
