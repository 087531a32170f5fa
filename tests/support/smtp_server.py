"""A mail server on 127.0.0.1 that answers as told; as much of SMTP as a client of ours speaks."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import TracebackType
from typing import Self

from opinion.serving import TcpServer

TLS = Path(__file__).parents[1] / "data" / "tls"
"""A certificate for 127.0.0.1 that is its own authority, valid for a hundred years."""


@dataclass
class Letter:
    """One message that was taken."""

    sender: str
    recipients: list[str]
    content: bytes
    secure: bool  # whether it came by TLS
    login: str  # who said so, if anybody

    @property
    def message(self) -> EmailMessage:
        """The content, parsed by the standard library."""
        found = message_from_bytes(self.content, policy=default)
        assert isinstance(found, EmailMessage)
        return found

    def part(self, kind: str) -> str:
        """The text of the plain or the html body."""
        body = self.message.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@dataclass
class MailServer:
    """`answers` replaces the answer to a command, by its first word or, for recipients, by `RCPT <address>`; `AUTH` is answered after the credentials.

    `security` is that of the server: starttls, tls, or none. `hang` makes it fall silent after its greeting.
    """

    answers: Mapping[str, str] = field(default_factory=dict)
    security: str = "starttls"
    password: str = ""
    hang: bool = False
    letters: list[Letter] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    port: int = 0
    _server: TcpServer = field(init=False)

    async def __aenter__(self) -> Self:
        self._server = TcpServer(self._serve)
        (self.port,) = (await self._server.start("127.0.0.1", limit=2**23, ssl=server_tls() if self.security == "tls" else None)).values()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write((self.answers.get("CONNECT", "220 mail.test ready") + "\r\n").encode())
            if self.hang:
                await reader.read()  # until the client gives up
                return
            await _Session(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # a client may leave at any time, and the server may end
        finally:
            writer.transport.abort()


class _Session:
    def __init__(self, server: MailServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._secure = server.security == "tls"
        self._login = ""
        self._begin()

    def _begin(self) -> None:
        self._sender = ""
        self._recipients: list[str] = []

    async def run(self) -> None:
        known: dict[str, Callable[[str], str]] = {"EHLO": self._ehlo, "MAIL": self._mail, "RCPT": self._rcpt, "RSET": self._rset}
        while line := (await self._reader.readline()).decode().strip():
            self._server.commands.append(line)
            verb = line.split()[0].upper()
            told = self._server.answers.get(verb)
            if verb == "AUTH":
                answer = told or await self._auth(line)
            elif verb == "STARTTLS" and told is None:
                await self._upgrade()
                continue
            elif verb == "DATA" and told is None:
                answer = await self._data()
            elif verb == "QUIT":
                self._answer("221 bye")
                return
            else:
                answer = told or (known[verb](line) if verb in known else "502 unknown")
            self._answer(answer)
            if answer.startswith("421"):
                return

    def _answer(self, text: str) -> None:
        self._writer.write(text.encode() + b"\r\n")

    def _ehlo(self, _: str) -> str:
        offers = ["mail.test", "SIZE 10000000", *(["STARTTLS"] if self._server.security == "starttls" and not self._secure else [])]
        offers += ["AUTH PLAIN"] if self._server.password else []
        return "\r\n".join(f"250{'-' if number < len(offers) else ' '}{offer}" for number, offer in enumerate(offers, start=1))

    async def _auth(self, line: str) -> str:
        _, _, initial = line.split(maxsplit=2)
        _, user, password = base64.b64decode(initial).decode().split("\0")
        self._login = user if password == self._server.password else ""
        return "235 welcome" if self._login else f"535 5.7.8 wrong password {password}"  # a server that tells too much

    async def _upgrade(self) -> None:
        self._answer("220 go ahead")
        await self._writer.start_tls(server_tls())
        self._secure = True

    def _mail(self, line: str) -> str:
        self._sender = line.partition("<")[2].partition(">")[0]
        return "250 ok"

    def _rcpt(self, line: str) -> str:
        address = line.partition("<")[2].partition(">")[0]
        answer = self._server.answers.get(f"RCPT <{address}>", "250 ok")
        if answer.startswith("2"):
            self._recipients.append(address)
        return answer

    def _rset(self, _: str) -> str:
        self._begin()
        return "250 ok"

    async def _data(self) -> str:
        self._answer("354 go on")
        content = (await self._reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n..", b"\r\n.")
        told = self._server.answers.get("CONTENT", "250 taken")
        if told.startswith("2"):
            self._server.letters.append(Letter(self._sender, self._recipients, content, self._secure, self._login))
        self._begin()
        return told


def server_tls() -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    return context
