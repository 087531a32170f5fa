from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

from opinion.serving import TcpServer


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()


async def test_a_stopped_server_leaves_nobody_connected() -> None:
    server = TcpServer(echo)
    ((host, port),) = (await server.start("127.0.0.1")).items()
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(b"well?\n")
    assert await reader.readline() == b"well?\n"
    await server.stop()
    async with asyncio.timeout(5):
        with suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(host, port)


async def test_a_connection_whose_coroutine_has_not_begun_is_closed_too() -> None:
    made: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    class Hurried(TcpServer):
        """One whose tasks are cancelled in the very turn of the loop in which a connection comes."""

        def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            super()._connected(reader, writer)
            for task in self._serving:
                task.cancel()
            made.put_nowait(writer)

    server = Hurried(echo)
    ((host, port),) = (await server.start("127.0.0.1")).items()
    _, writer = await asyncio.open_connection(host, port)
    taken = await made.get()
    await asyncio.sleep(0)  # the task ends
    assert taken.transport.is_closing()
    await server.stop()
    writer.close()


async def test_an_error_of_one_connection_is_told_and_spares_the_others() -> None:
    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(100 // int(await reader.readline())).encode())

    server = TcpServer(moody)
    ((host, port),) = (await server.start("127.0.0.1")).items()
    said = []
    with capture_logs() as logs:
        for word in (b"0\n", b"7\n"):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(word)
            said.append(await reader.read())
            writer.close()
    await server.stop()
    assert said == [b"", b"14"]
    assert [(line["log_level"], "ZeroDivisionError" in line["error"]) for line in logs] == [("warning", True)]


async def test_to_stop_what_never_began_is_no_error() -> None:
    await TcpServer(echo).stop()
