"""What may stand as a webhook's address, in the settings and in the API alike. Only its form: where it leads is looked at when it is called."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

MOST_CHARS = 2000


def with_host(url: str) -> str:
    """The address, where it has a host and, if any, a port that is one.

    >>> with_host("https://desk.example:8443/hook")
    'https://desk.example:8443/hook'

    Errors:
        ValueError: it has not. The address is not shown, nor chained what urllib says of it: its path is a secret, and may hold another.
    """
    try:
        parts = urlsplit(url)
        known = bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ValueError("an http or https address needs a host and a port from 1 to 65535, if any")
    return url


WebhookAddress = Annotated[str, Field(pattern=r"^https?://\S+$", max_length=MOST_CHARS), AfterValidator(with_host)]
_address: TypeAdapter[str] = TypeAdapter(WebhookAddress)


def address_or_none(url: str) -> str:
    """The address, or nothing where nothing was given.

    Errors:
        ValueError: no http or https address; it is not shown.
    """
    if url:
        try:
            _address.validate_python(url)
        except ValidationError:
            raise ValueError("expected an http or https address with a host and, if any, a port from 1 to 65535") from None
    return url
