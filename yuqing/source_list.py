"""`yuqing status --sources`: every adapter there is, and what it would take to switch it on."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec
from msgspec import Struct
from rich.cells import cell_len

from scrapers.default_feeds import DEFAULT, default_feeds
from scrapers.source import Source, all_sources

COLUMNS = 100
_INDENT = "  "


class Option(Struct, frozen=True):
    """Something that an adapter asks for."""

    name: str
    what: str
    needed: bool  # without it the adapter cannot work


class ListedSource(Struct, frozen=True):
    """One adapter."""

    name: str
    aliases: list[str]
    stability: str  # green, amber, red
    state: str  # the same in words
    kind: str
    lang: str  # BCP 47; empty: found per text
    interval_s: float  # between polls; of a source that pushes, before it is connected to again
    pushed: bool
    options: list[Option]
    terms: str
    retention_days: int | None  # None: as long as wished
    full_text: bool  # False: title and extract
    tried: str


class Listed(Struct, frozen=True):
    """All that can be named in `sources`."""

    sources: list[ListedSource]
    default_feeds: int  # how many feeds the word `default` stands for


def list_sources(*, as_json: bool) -> int:
    """Print the adapters; 0. Asks no server and reads no network."""
    found = Listed([_listed(source) for source in all_sources()], len(default_feeds()))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return 0
    click.echo(f"{len(found.sources)} adapters: name one as `source` in the setting `sources`, with what it needs as `options`")
    for source in found.sources:
        click.echo("\n" + "\n".join(_lines(source)))
    click.echo()
    for line in _wrapped(f"{DEFAULT}: {found.default_feeds} feeds of central banks, regulators, exchanges, statistics offices and newspapers, English and Chinese", indent=""):
        click.echo(line)
    return 0


def _listed(source: Source) -> ListedSource:
    manners = source.manners
    options = [Option(name, what, name in manners.needs) for name, what in manners.options.items()]
    if source.ask is None and source.stream is None:
        options.insert(0, Option("url", "address to read; beside `source`, not among the options", needed=True))
    return ListedSource(
        name=source.name,
        aliases=list(source.aliases),
        stability=manners.stability,
        state=_state(source),
        kind=manners.kind.value,
        lang=manners.lang,
        interval_s=manners.interval_s,
        pushed=source.stream is not None,
        options=sorted(options, key=lambda option: not option.needed),
        terms=manners.terms,
        retention_days=manners.retention_days,
        full_text=manners.full_text,
        tried=manners.tried,
    )


def _state(source: Source) -> str:
    """Whether it works as it is, in words."""
    manners = source.manners
    if manners.needs:
        return f"off until you give {' and '.join(manners.needs)}" + (", then watch it" if manners.stability == "amber" else "")
    if source.ask is None and source.stream is None:
        return "reads the address that you give"
    return {"green": "one of `default`", "amber": "one of `default`, watch it", "red": "off"}[manners.stability]


def _lines(source: ListedSource) -> Iterator[str]:
    known_as = f" ({', '.join(source.aliases)})" if source.aliases else ""
    parts = [
        source.kind,
        f"language {source.lang or 'found per text'}",
        "as it comes" if source.pushed else f"every {source.interval_s:g} s",
        "full text" if source.full_text else "title and extract",
        "may be kept" if source.retention_days is None else f"may be kept {source.retention_days} days",
    ]
    yield from _wrapped(f"{source.name}{known_as}: {source.state}", indent="")
    yield from _wrapped(" · ".join(parts))
    for option in source.options:
        yield from _wrapped(f"{option.name}{' (needed)' if option.needed else ''}: {option.what}", indent=_INDENT * 2)
    yield from _wrapped(f"terms: {source.terms}")
    yield from _wrapped(f"tried: {source.tried}")


def _wrapped(text: str, *, indent: str = _INDENT) -> Iterator[str]:
    """Lines of at most COLUMNS, those after the first further in; a Chinese character is two columns wide."""
    line = indent
    for word in text.split():
        longer = f"{line}{word}" if line.isspace() or not line else f"{line} {word}"
        if cell_len(longer) > COLUMNS and not line.isspace():
            yield line
            longer = f"{indent}{_INDENT}{word}"
        line = longer
    yield line
