"""A web site whose pages fall ill and are healed: each on a host of its own, 127.1.0.x, so that none waits for another's pace."""

from __future__ import annotations

import hashlib
import re
import ssl
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from opinion.serving import TcpServer
from tests.support.feed_server import FeedServer, Reply, Request, reply

Stage = Literal["well", "ill", "healed"]

_WORD = re.compile(r"\w+")


class Asked(NamedTuple):
    """A request for a page that is ill."""

    site: FaultSite
    name: str
    request: Request


Answer = Reply | Callable[[Asked], Reply]
"""What is said, or how it is found."""


@dataclass(frozen=True)
class Play:
    """What a page says before, during and after its illness; while ill the answers go round."""

    well: bytes
    ill: Sequence[Answer]
    healed: bytes
    etag: str = ""  # of the healed body; empty: named after it, as it should be


class FaultSite(FeedServer):
    """Serves `plays` by name: the first word of a request's path and query that is one. All pages are at the same `stage`."""

    def __init__(self, plays: Mapping[str, Play]) -> None:
        self._host_of = {name: f"127.1.{number // 250}.{number % 250 + 1}" for number, name in enumerate(plays)}
        super().__init__(hosts=["127.0.0.1", *self._host_of.values()])
        self._plays = plays
        self._asked: Counter[tuple[Stage, str]] = Counter()
        self.stage: Stage = "well"
        self.shown: dict[str, set[Stage]] = {name: set() for name in plays}  # the stages that pages were seen in, to be cleared by whoever looks
        self.secure: dict[str, SecureSite] = {}  # by host

    def at(self, name: str) -> str:
        """Address of a page."""
        host = self._host_of[name]
        return f"http://{host}:{self.ports[host]}/{name}"

    def asked(self, name: str, stage: Stage = "ill") -> int:
        """How often a page was asked for at a stage."""
        return self._asked[stage, name]

    def last_asked(self, name: str) -> Request:
        """The last request for a page."""
        return next(request for request in reversed(self.requests) if name in _WORD.findall(request.path))

    def _reply_to(self, path: str) -> Reply:
        request = self.requests[-1]
        name = next((word for word in _WORD.findall(request.path) if word in self._plays), "")
        if not name:
            return reply(status=404)
        play = self._plays[name]
        self.shown[name].add(self.stage)
        self._asked[self.stage, name] += 1
        if self.stage != "ill":
            return conditional(request, play.well) if self.stage == "well" else conditional(request, play.healed, etag=play.etag)
        answer = play.ill[(self.asked(name) - 1) % len(play.ill)]
        return answer if isinstance(answer, Reply) else answer(Asked(self, name, request))


def conditional(request: Request, body: bytes, *, etag: str = "", headers: Mapping[str, str] | None = None, length: int | None = None) -> Reply:
    """The body, or 304 where the request names it; `length` is the Content-Length it claims."""
    known = etag or f'"{hashlib.sha256(body).hexdigest()[:16]}"'
    if request.headers.get("if-none-match") == known:
        return reply(status=304, headers={"etag": known})
    return reply(body, headers={"etag": known} | dict(headers or {}), length=length)


class SecureSite:
    """The same answers by TLS, on a host of its own."""

    def __init__(self, site: FaultSite, *, host: str, certificate: Path) -> None:
        self._host = host
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._server = TcpServer(site.serve)
        self._port = 0
        self.show(certificate)

    def at(self, path: str) -> str:
        """Address of a path."""
        return f"https://{self._host}:{self._port}/{path}"

    def show(self, certificate: Path) -> None:
        """Let new connections see this certificate."""
        self._context.load_cert_chain(certificate)

    async def __aenter__(self) -> Self:
        (self._port,) = (await self._server.start(self._host, ssl=self._context)).values()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop()


def certificate(path: Path, *hosts: str) -> Path:
    """A certificate that nobody signed, for these addresses, with its key, in a file."""
    key = path.with_suffix(".key")
    names = ",".join(f"IP:{host}" for host in hosts)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={names}"]
    subprocess.run([*command, "-keyout", key, "-out", path], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path
