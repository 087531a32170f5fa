from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from alerts.connections import FORGOTTEN_AFTER_S, Connections
from opinion.errors import AddressRefused
from opinion.serving import TcpServer


class Host:
    """A server that keeps connections open and counts them."""

    def __init__(self) -> None:
        self.opened = self.open = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        self.open += 1
        while line := await reader.readline():
            if line == b"\r\n":
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                await writer.drain()
        self.open -= 1


@pytest.fixture
async def hosts() -> AsyncIterator[list[Host]]:
    found, servers = [Host(), Host()], []
    for host in found:
        servers.append(TcpServer(host.serve))
        (port,) = (await servers[-1].start("127.0.0.1")).values()
        host.url = f"http://127.0.0.1:{port}/"
    yield found
    for server in servers:
        await server.stop()


async def closed(host: Host) -> None:
    async with asyncio.timeout(5):
        while host.open:  # noqa: ASYNC110 - the host is asked, not told
            await asyncio.sleep(0.01)


async def test_connections_to_a_host_are_used_again(hosts: list[Host]) -> None:
    async with httpx.AsyncClient(transport=Connections(allow_private=True)) as client:
        for _ in range(3):
            for host in hosts:
                assert (await client.get(host.url)).status_code == 200
    assert [host.opened for host in hosts] == [1, 1]
    for host in hosts:
        await closed(host)


async def test_a_host_that_is_not_called_for_long_keeps_no_connection(hosts: list[Host], monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr("alerts.connections.monotonic_s", lambda: now_s)
    first, second = hosts
    async with httpx.AsyncClient(transport=Connections(allow_private=True)) as client:
        await client.get(first.url)
        now_s = FORGOTTEN_AFTER_S - 1
        await client.get(second.url)
        assert first.open == 1
        now_s = FORGOTTEN_AFTER_S + 1
        await client.get(second.url)
        await closed(first)
        assert second.open == 1
        await client.get(first.url)
    assert [host.opened for host in hosts] == [2, 1]
    for host in hosts:
        await closed(host)


async def test_private_addresses_are_refused_unless_allowed(hosts: list[Host]) -> None:
    async with httpx.AsyncClient(transport=Connections(allow_private=False)) as client:
        with pytest.raises(AddressRefused):
            await client.get(hosts[0].url)
    assert hosts[0].opened == 0
