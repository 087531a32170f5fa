"""E-mail by SMTP: plain text and HTML, one thread for each alert."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

import aiosmtplib
import structlog

from alerts.channels.channel import Channel, Message, Sender
from alerts.channels.email_page import html_of, page_of, text_of
from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription
from opinion.addresses import guarded_socket
from opinion.errors import AddressRefused, ConfigError, DeliveryBlocked, DeliveryError, DeliveryRateLimited, DeliveryRefused, DeliveryUnavailable
from opinion.names import digest

log = structlog.get_logger()

NAME = "email"
PORTS = {"starttls": 587, "tls": 465, "none": 25}
MOST_TO = 50
LEAVE_S = 1.0
"""Wait for the server's goodbye."""
MOST_THREADS = 10
"""Alerts whose threads one message joins: a header has to end somewhere."""

_POLICY = SMTP.clone(cte_type="7bit")  # a server need not take eight bits
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_PLACE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_BUSY = re.compile(r"4\.7\.\d")


def render(notice: Notice, subscription: Subscription) -> bytes:
    """The message, but for its Message-ID.

    Errors:
        ConfigError: an address of the options is none.
    """
    page = page_of(notice, subscription)
    sender = _address(subscription, "from")
    message = EmailMessage(policy=_POLICY)
    message["Subject"] = page.subject
    message["From"] = sender
    message["To"] = recipients_of(subscription)
    message["Date"] = format_datetime(notice.at)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no reply of a holiday
    threads = [f"<{alert.alert_id}.{subscription.id}@{sender.domain}>" for alert in notice.alerts[:MOST_THREADS]]
    if threads:
        message["In-Reply-To"] = threads[0]
        message["References"] = " ".join(threads)
    text = text_of(page)
    message.set_content(text)
    message.add_alternative(html_of(page), subtype="html")
    message.set_boundary("=_" + digest(f"{notice.at.isoformat()}\n{text}", chars=32))  # else it is random
    return message.as_bytes()


async def send(sender: Sender, subscription: Subscription, message: Message) -> None:
    """Return when the server has taken the message for one recipient at least; the others that it refused are logged by their number.

    Errors (messages name the host and the server's code only):
        DeliveryUnavailable: no connection, no TLS or a wrong certificate, timeout, a temporary answer (4xx).
        DeliveryRateLimited: a temporary answer for reasons of policy (4.7.x), greylisting among them.
        DeliveryRefused: a lasting answer (5xx), wrong credentials, or a server that cannot do what is needed.
        DeliveryBlocked: the server may not be called.
    """
    options = subscription.options
    host, security = options["host"], security_of(subscription)
    client = aiosmtplib.SMTP(
        hostname=host,
        use_tls=security == "tls",
        start_tls=security == "starttls",
        username=options.get("username") or None,
        password=options.get("password") or None,
        timeout=sender.timeout_s,
    )
    try:
        async with asyncio.timeout(sender.timeout_s):
            connection = await guarded_socket(host, port_of(subscription), allow_private=sender.allow_private)
            try:
                refused = await _hand_over(client, connection, subscription=subscription, message=message)
            finally:
                client.close()
                _cut(connection)
    except AddressRefused as error:
        raise DeliveryBlocked(f"{host} may not be called: it resolves to a private or reserved address") from error
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        raise _failure(error, host) from None  # what a server says may hold addresses
    if refused:
        log.warning("some recipients of an e-mail were refused", subscription=subscription.id, refused=len(refused), codes=refused)


async def _hand_over(client: aiosmtplib.SMTP, connection: socket.socket, *, subscription: Subscription, message: Message) -> list[int]:
    """Give the server the message; its answers to recipients that it refused."""
    origin = _address(subscription, "from")
    headed = f"Message-ID: <{message.id}@{origin.domain}>\r\n".encode() + message.body
    await client.connect(sock=connection, local_hostname=_literal(connection))
    refused, _ = await client.sendmail(origin.addr_spec, [recipient.addr_spec for recipient in recipients_of(subscription)], headed)
    with contextlib.suppress(aiosmtplib.SMTPException, OSError):  # a goodbye changes nothing: the message is taken
        await client.quit(timeout=LEAVE_S)
    return [answer.code for answer in refused.values()]


def _cut(connection: socket.socket) -> None:
    """End a connection at both ends, so that nothing waits for the other side to close TLS; it is its transport's to close."""
    with contextlib.suppress(OSError):  # it is closed already
        connection.shutdown(socket.SHUT_RDWR)


def _failure(error: Exception, host: str) -> DeliveryError:
    """Ours for what the client raised."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return min((_failure(one, host) for one in error.recipients), key=lambda found: isinstance(found, DeliveryRefused))  # a greylisted one is worth a try
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        return (DeliveryUnavailable if 400 <= error.code < 500 else DeliveryRefused)(f"{host} did not take the credentials: {error.code}")
    if isinstance(error, aiosmtplib.SMTPResponseException) and 400 <= error.code < 500:
        return (DeliveryRateLimited if _BUSY.search(error.message) else DeliveryUnavailable)(f"{host} answered {error.code}")
    if isinstance(error, aiosmtplib.SMTPResponseException) and error.code >= 500:
        return DeliveryRefused(f"{host} answered {error.code}")
    if isinstance(error, aiosmtplib.SMTPNotSupported) or type(error) is aiosmtplib.SMTPException:
        return DeliveryRefused(f"{host} does not offer what the options ask for")
    return DeliveryUnavailable(f"{host} did not answer: {type(error).__name__}")


def security_of(subscription: Subscription) -> str:
    """How the connection is kept from being read: starttls, tls or none."""
    return subscription.options.get("security") or "starttls"


def port_of(subscription: Subscription) -> int:
    """The port of the option, else the usual one."""
    given = subscription.options.get("port", "")
    return int(given) if given else PORTS[security_of(subscription)]


def recipients_of(subscription: Subscription) -> list[Address]:
    """Whom the option `to` names.

    Errors:
        ConfigError: an address is none, or there are too many.
    """
    given = [part for part in re.split(r"[,;]", subscription.options.get("to", "")) if part.strip()]
    if not 1 <= len(given) <= MOST_TO:
        raise ConfigError(f"channel {NAME}: option 'to' must be 1 to {MOST_TO} addresses, with commas between them")
    return [_parsed(part, "to") for part in given]


def check(subscription: Subscription) -> None:
    """Raise ConfigError for options that cannot work, or would send a password in the clear."""
    options = subscription.options
    if security_of(subscription) not in PORTS:
        raise ConfigError(f"channel {NAME}: option 'security' must be one of {', '.join(PORTS)}")
    port = options.get("port", "")
    if port and not (port.isascii() and port.isdecimal() and 1 <= int(port[:9]) <= 65_535):
        raise ConfigError(f"channel {NAME}: option 'port' must be a number from 1 to 65535")
    if _HOST.fullmatch(options["host"]) is None:
        raise ConfigError(f"channel {NAME}: option 'host' must be the name or address of a server")
    if bool(options.get("username")) != bool(options.get("password")):
        raise ConfigError(f"channel {NAME}: give both `username` and `password`, or neither")
    if options.get("password") and security_of(subscription) == "none":
        raise ConfigError(f"channel {NAME}: a password is sent by TLS only; set `security` to starttls or tls")
    _address(subscription, "from")
    recipients_of(subscription)


def _address(subscription: Subscription, option: str) -> Address:
    return _parsed(subscription.options.get(option, ""), option)


def _parsed(given: str, option: str) -> Address:
    """The address; it is not shown where it is none, for nobody knows then what it is."""
    name, place = parseaddr(given)
    try:
        if _PLACE.fullmatch(place) is None or not given.strip().isprintable():
            raise ConfigError(f"channel {NAME}: option {option!r} must be like `desk@example.com` or `Desk <desk@example.com>`, in ASCII but for the name")
        return Address(display_name=name, addr_spec=place)
    except (MessageError, ValueError, IndexError) as error:
        raise ConfigError(f"channel {NAME}: option {option!r} holds no address: {type(error).__name__}") from None


def _literal(connection: socket.socket) -> str:
    """What we call ourselves: our address, since a machine's name may take long to find and be known to nobody (RFC 5321 section 4.1.3)."""
    address = str(connection.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


CHANNEL = Channel(
    NAME,
    render,
    send,
    check,
    options={
        "host": "the mail server",
        "port": "587 with starttls, 465 with tls, 25 with none, unless set",
        "security": "starttls unless set, tls, or none",
        "username": "for servers that ask for one, with `password`",
        "password": "for servers that ask for one",
        "from": "the address that it comes from: `Yuqing <alerts@example.com>`",
        "to": "the addresses that it goes to, with commas between them",
    },
    needs=("host", "from", "to"),
    secret_options=frozenset({"password"}),
)
