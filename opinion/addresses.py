"""Which network addresses a source or a webhook may be at, and a transport that connects to no other."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable

import httpcore
import httpx

from opinion.errors import AddressRefused

_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's metadata and agent address, in public space
        "192.0.0.0/24",  # protocol assignments, a cloud's metadata address among them; some Pythons call parts of it public
        "192.88.99.0/24",  # 6to4 relays
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST6 = ipaddress.ip_network("2000::/3")
_TUNNELS = (ipaddress.ip_network("2002::/16"), ipaddress.ip_network("2001::/32"))  # 6to4 and Teredo carry an IPv4 address of the sender's choice
MOST_CONNECTIONS = 100
MOST_IDLE, IDLE_S = 20, 5.0
"""Connections that are kept for the next request, and how long: httpx's own measures."""


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet: not private, loopback, link-local, CGNAT, metadata or an IPv6 form of these.

    >>> is_public("93.184.216.34"), is_public("169.254.169.254"), is_public("::ffff:10.0.0.1"), is_public("100.64.0.1")
    (True, False, False, False)
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        embedded = found.ipv4_mapped
        if found in _NAT64:
            embedded = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if embedded is None:
            return found in _UNICAST6 and found.is_global and not any(found in network for network in (*_TUNNELS, *_REFUSED))
        found = embedded
    return found.is_global and not found.is_multicast and not any(found in network for network in _REFUSED)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only: a name is resolved once, checked, and the checked address is connected to.

    A name that resolves to another address a moment later (DNS rebinding) gains nothing by it.
    """

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the form that httpcore asks for
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to a public address of `host`.

        Errors:
            AddressRefused: one of its addresses is not public.
        """
        addresses = await _resolve(host, port)
        for address in addresses:
            if not is_public(address):
                raise AddressRefused(f"{host} is at a private or reserved address")
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, timeout=timeout, local_address=local_address, socket_options=socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, timeout=timeout, local_address=local_address, socket_options=socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109 - the form that httpcore asks for
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Never.

        Errors:
            AddressRefused: always.
        """
        raise AddressRefused(f"{path} is a local socket")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)


async def guarded_socket(host: str, port: int, *, allow_private: bool) -> socket.socket:
    """A connected socket to the first address of `host` that answers, all of them public unless `allow_private`; for clients that bring no transport of their own.

    Errors:
        AddressRefused: one of its addresses is not public.
        OSError: it does not resolve, or no address answers (retryable).
    """
    try:
        addresses = await _resolve(host, port)
    except httpcore.ConnectError as error:
        raise OSError(str(error)) from error
    if not allow_private and not all(map(is_public, addresses)):
        raise AddressRefused(f"{host} is at a private or reserved address")
    for address in addresses:
        found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        found.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(found, (address, port))
        except OSError:
            found.close()
            continue
        except BaseException:
            found.close()
            raise
        return found
    raise OSError(f"{host} does not answer")


async def _resolve(host: str, port: int) -> list[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} does not resolve") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedTransport(httpx.AsyncHTTPTransport):
    """An httpx transport that reaches public addresses only, unless `allow_private`; `most_connections` at once, None: as many as are asked for.

    `tls` takes 20 ms and a megabyte to make: who needs many transports lets them share one.
    """

    def __init__(self, *, allow_private: bool, most_connections: int | None = MOST_CONNECTIONS, tls: ssl.SSLContext | None = None) -> None:
        tls = tls or httpx.create_ssl_context(trust_env=allow_private)  # who calls private servers may have an authority of his own
        super().__init__(verify=tls, limits=httpx.Limits(max_connections=most_connections, max_keepalive_connections=MOST_IDLE, keepalive_expiry=IDLE_S))
        if not allow_private:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=most_connections,
                max_keepalive_connections=MOST_IDLE,
                keepalive_expiry=IDLE_S,
                network_backend=GuardedBackend(),
            )
