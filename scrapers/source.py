"""What a source is: a name and a pure function from a response to Documents. One file in `sources/` each, found by scanning."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

from msgspec import Struct, field

import scrapers.sources
from opinion.errors import ConfigError
from opinion.records import Document
from opinion.settings import Feed


class Response(Struct, frozen=True, kw_only=True):
    """What a server answered."""

    url: str  # after redirects
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes  # content-encoding undone
    fetched_at: datetime


class Problem(Struct, frozen=True):
    """An item that became no document, or not a whole one."""

    reason: str  # a metric label: empty, duplicate, invalid, over_cap, truncated
    detail: str


class Parsed(Struct, frozen=True):
    """What one body held."""

    documents: list[Document]
    problems: list[Problem] = field(default_factory=list)


class Parse(Protocol):
    """The Documents of a response; pure.

    Errors:
        PageChanged: the body is of another form.
        SourceWalled: it is a challenge or login page.
    """

    def __call__(self, response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
        """`author_key` keys the hash of authors; without it they are left out."""
        ...


class Source(NamedTuple):
    """One adapter."""

    name: str
    aliases: tuple[str, ...]
    parse: Parse


def all_sources() -> list[Source]:
    """The `SOURCE` of every module in `sources/`, by name."""
    modules = (importlib.import_module(f"scrapers.sources.{info.name}") for info in pkgutil.iter_modules(scrapers.sources.__path__))
    return sorted((module.SOURCE for module in modules), key=lambda source: source.name)


def find_source(name: str) -> Source:
    """The adapter of that name or alias.

    Errors:
        ConfigError: there is none; the message names the nearest.

    >>> find_source("rss").name
    'feed'
    """
    known = {key: source for source in all_sources() for key in (source.name, *source.aliases)}
    if name.lower() in known:
        return known[name.lower()]
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    raise ConfigError(f"unknown source {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(known))}"))
