"""Sources by hand: a body parsed without a network, or one live poll, printed and not published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO

from pydantic import SecretStr

from opinion.clock import SystemClock
from opinion.codec import encode
from opinion.errors import ConfigError, SourceError
from opinion.settings import Feed, Settings
from scrapers.decompress import decompress
from scrapers.default_feeds import DEFAULT
from scrapers.fetch import Fetcher
from scrapers.scrape import named
from scrapers.source import Parsed, Response, find_source, fitted
from scrapers.sources.feed import NAME
from yuqing.replay import instant_of

Echo = Callable[[str], None]

SOMEWHERE = "https://unknown.invalid/"
"""Stands for the address of a body that came without one; `.invalid` is reserved for this."""


def parse_body(source: str, body: bytes, *, out: IO[bytes], url: str, headers: Sequence[str], now: str | None, echo: Echo, options: Sequence[str] = ()) -> int:
    """Print the Documents of a body; 0.

    Errors:
        ConfigError: an unknown source, a header that is none, a `now` or `url` that is none.
        SourceError: the body is of another form; nothing is printed.
    """
    adapter = find_source(source)
    fetched_at = instant_of(now, option="--now") or datetime.now(UTC)
    given = {name: SecretStr("unused") for name in adapter.manners.needs} | _options(options)
    _, feed = fitted(Feed(source=adapter.name, url=_feed_at(url or SOMEWHERE).url, options=given))
    fields = dict(_header(line) for line in headers)
    most = Settings().max_body_bytes
    body = decompress(body, encoding=fields.pop("content-encoding", ""), max_bytes=most)
    parsed = adapter.parse(Response(url=feed.url, headers=fields, body=body, fetched_at=fetched_at), feed=feed)
    _print(parsed, out=out, limit=None, echo=echo)
    return 0


async def fetch_source(source: str, *, settings: Settings, out: IO[bytes], limit: int | None, echo: Echo, options: Sequence[str] = ()) -> int:
    """Poll the chosen feeds once and print their Documents; 1 where one of them failed.

    Errors:
        ConfigError: `source` is neither an address, nor a configured source, nor an adapter with one.
    """
    failed = 0
    async with Fetcher(settings, clock=SystemClock()) as fetcher:
        for name, found in chosen(source, settings, options=_options(options)).items():
            try:
                adapter, feed = fitted(found)
                response = await fetcher.fetch(adapter.request(feed, now=datetime.now(UTC)))
                if adapter.follow is not None:  # of an index, the newest file
                    response = await fetcher.fetch(adapter.follow(response, "")[-1].ask)
                _print(adapter.parse(response, feed=feed), out=out, limit=limit, echo=echo)
            except SourceError as error:
                failed += 1
                echo(f"{name}: {error.reason.value}: {error}")
    return 1 if failed else 0


def chosen(source: str, settings: Settings, *, options: Mapping[str, SecretStr] | None = None) -> dict[str, Feed]:
    """The feeds that `source` names.

    Errors:
        ConfigError: none.
    """
    if source.startswith(("http://", "https://")):
        return named([_feed_at(source)])
    feeds = named(settings.sources)
    if source in feeds:
        return {source: feeds[source]}
    if source == DEFAULT:
        return named([Feed(source=DEFAULT)])
    adapter = find_source(source)
    if options:
        return {adapter.name: Feed(source=adapter.name, url=SOMEWHERE if adapter.ask is None else "", options=dict(options))}
    if adapter.ask is not None:
        return {name: feed for name, feed in feeds.items() if feed.source == adapter.name} or {adapter.name: Feed(source=adapter.name)}
    if adapter.name == NAME and feeds:
        return feeds
    raise ConfigError("no sources are configured: set YUQING_SOURCES, or give the address of a feed")


def _feed_at(url: str) -> Feed:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url!r} is not an http or https address")
    return Feed(url=url)


def _options(given: Sequence[str]) -> dict[str, SecretStr]:
    found = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--option {name.strip()!r} is not of the form NAME=VALUE")
        found[name.strip()] = SecretStr(value.strip())
    return found


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise ConfigError(f"--header {line!r} is not of the form 'Name: value'")
    return name.strip().lower(), value.strip()


def _print(parsed: Parsed, *, out: IO[bytes], limit: int | None, echo: Echo) -> None:
    for document in parsed.documents[:limit]:
        out.write(encode(document) + b"\n")
    out.flush()
    for problem in parsed.problems:
        echo(f"{problem.reason}: {problem.detail}")
