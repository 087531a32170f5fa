from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx
import pytest

from opinion.addresses import GuardedBackend, GuardedTransport, is_public
from opinion.errors import AddressRefused

PUBLIC = ["8.8.8.8", "93.184.216.34", "1.1.1.1", "172.32.0.1", "100.128.0.1", "169.253.0.1", "2606:4700::1111", "2a00:1450:4001:81b::200e", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = {
    "private": ["10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "fc00::1", "fdff::1"],
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "this host": ["0.0.0.0", "0.1.2.3", "::"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0", "fec0::1"],
    "shared by carriers": ["100.64.0.1", "100.127.255.255"],
    "metadata": ["169.254.169.254", "192.0.0.192", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254"],
    "multicast and broadcast": ["224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1", "ff02::1"],
    "for documents and tests": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "2001:db8::1", "2001:2::1", "100::1", "3fff::1", "192.88.99.1", "192.0.0.8"],
    "mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "::ffff:168.63.129.16"],
    "compatible and translated": ["::127.0.0.1", "::ffff:0:127.0.0.1"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1::8.8.8.8"],
    "6to4": ["2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::"],
    "Teredo": ["2001:0:5ef5:79fd::1", "2001::1"],
    "no address": ["", "localhost", "example.org", "1.2.3", "0x7f.1", "2130706433", "127.0.0.1:80", "[::1]", "1.2.3.4.5", "::g"],
}


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(("kind", "address"), [(kind, address) for kind, addresses in PRIVATE.items() for address in addresses])
def test_an_address_of_any_other_place_is_not(kind: str, address: str) -> None:
    assert not is_public(address), kind


class Dialled(httpcore.AsyncMockBackend):
    """Remembers what it was told to connect to; refuses some."""

    def __init__(self, *refused: str) -> None:
        super().__init__([])
        self.refused = refused
        self.addresses: list[str] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the form that httpcore asks for
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.addresses.append(host)
        if host in self.refused:
            raise httpcore.ConnectError
        return httpcore.AsyncMockStream([])


def guarded(dialled: Dialled) -> GuardedBackend:
    backend = GuardedBackend()
    backend._inner = dialled  # type: ignore[assignment]
    return backend


def names_resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
    """Each look-up of any name gives the next of these answers."""
    waiting = list(answers)

    async def getaddrinfo(_loop: object, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        if not waiting[0]:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in waiting.pop(0)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)


async def test_a_name_is_resolved_once_and_the_checked_address_dialled(monkeypatch: pytest.MonkeyPatch) -> None:
    names_resolve_to(monkeypatch, ["93.184.216.34"], ["127.0.0.1"])
    dialled = Dialled()
    await guarded(dialled).connect_tcp("rebinding.example", 443)
    assert dialled.addresses == ["93.184.216.34"]


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.1.2.3", "::1", "::ffff:192.168.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "100.64.1.1", "fe80::1%2"])
async def test_a_name_of_a_private_address_is_refused_undialled(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    names_resolve_to(monkeypatch, [address])
    dialled = Dialled()
    with pytest.raises(AddressRefused, match=r"inside\.example is at a private or reserved address"):
        await guarded(dialled).connect_tcp("inside.example", 80)
    assert dialled.addresses == []


async def test_one_private_address_among_public_ones_refuses_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names_resolve_to(monkeypatch, ["93.184.216.34", "10.0.0.1"])
    dialled = Dialled()
    with pytest.raises(AddressRefused):
        await guarded(dialled).connect_tcp("mixed.example", 80)
    assert dialled.addresses == []


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "2130706433", "127.1", "0", "::1", "localhost"])
async def test_every_way_of_writing_this_machine_is_refused(host: str) -> None:
    dialled = Dialled()
    with pytest.raises(AddressRefused):
        await guarded(dialled).connect_tcp(host, 80)
    assert dialled.addresses == []


async def test_the_next_address_is_tried_where_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    names_resolve_to(monkeypatch, ["93.184.216.34", "93.184.216.34", "93.184.216.35"])
    dialled = Dialled("93.184.216.34")
    await guarded(dialled).connect_tcp("two.example", 80)
    assert dialled.addresses == ["93.184.216.34", "93.184.216.35"]


async def test_no_answer_from_any_address_is_the_last_ones_error(monkeypatch: pytest.MonkeyPatch) -> None:
    names_resolve_to(monkeypatch, ["93.184.216.34", "93.184.216.35"])
    with pytest.raises(httpcore.ConnectError):
        await guarded(Dialled("93.184.216.34", "93.184.216.35")).connect_tcp("down.example", 80)


async def test_a_name_that_does_not_resolve_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    names_resolve_to(monkeypatch, [])
    with pytest.raises(httpcore.ConnectError, match=r"nowhere\.example does not resolve"):
        await guarded(Dialled()).connect_tcp("nowhere.example", 80)


async def test_a_name_that_cannot_be_one_is_a_failed_connection() -> None:
    with pytest.raises(httpcore.ConnectError):
        await guarded(Dialled()).connect_tcp("a" * 70 + ".example", 80)


async def test_local_sockets_are_refused() -> None:
    with pytest.raises(AddressRefused):
        await guarded(Dialled()).connect_unix_socket("/run/docker.sock")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://127.0.0.1:1/", "http://[::1]:1/", "http://169.254.169.254/latest/meta-data/"])
async def test_the_transport_reaches_no_private_place_under_either_scheme(url: str) -> None:
    async with httpx.AsyncClient(transport=GuardedTransport(allow_private=False), trust_env=False) as client:
        with pytest.raises(AddressRefused):
            await client.get(url)


async def test_the_transport_reaches_private_places_where_it_is_told_to() -> None:
    async with httpx.AsyncClient(transport=GuardedTransport(allow_private=True), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):  # nobody listens there, but it was tried
            await client.get("http://127.0.0.1:1/")
