"""How often a client wrote to Redis and then waited: counted on the connection, below every command and pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio.connection import AbstractConnection


class Journeys:
    """A count that goes on while it is watched."""

    def __init__(self) -> None:
        self.count = 0


@contextmanager
def journeys() -> Iterator[Journeys]:
    """The journeys of all clients of this process; the greetings of a new connection count too, so open it before."""
    found = Journeys()
    send = AbstractConnection.send_packed_command

    async def counted(self: AbstractConnection, *arguments: Any, **options: Any) -> None:
        found.count += 1
        await send(self, *arguments, **options)

    AbstractConnection.send_packed_command = counted  # type: ignore[method-assign]
    try:
        yield found
    finally:
        AbstractConnection.send_packed_command = send  # type: ignore[method-assign]
