"""Sources by hand: a body parsed without a network, or one live poll, printed and not published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO

from pydantic import SecretStr

from opinion.clock import SystemClock
from opinion.codec import encode
from opinion.errors import ConfigError, SourceError, SourceUnavailable
from opinion.settings import Feed, Settings
from scrapers.decompress import decompress
from scrapers.default_feeds import DEFAULT
from scrapers.fetch import Fetcher
from scrapers.listen import Pace, listen
from scrapers.scrape import named
from scrapers.source import Parsed, Response, Source, Stream, find_source, fitted
from scrapers.sources.feed import NAME
from scrapers.stream import MOST_BYTES, MOST_FRAMES
from scrapers.urls import masked
from yuqing.replay import instant_of

Echo = Callable[[str], None]

LISTEN_S = 3.0
"""A source that pushes is listened to for so long after its first message."""
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
    address = _feed_at(url or SOMEWHERE).url
    _, feed = fitted(Feed(source=adapter.name, url=address if adapter.stream is None else "", options=given))
    fields = dict(_header(line) for line in headers)
    most = Settings().max_body_bytes
    body = decompress(body, encoding=fields.pop("content-encoding", ""), max_bytes=most)
    parsed = adapter.read(Response(url=address, headers=fields, body=body, fetched_at=fetched_at), feed=feed)
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
                _print(await _polled(adapter, feed, fetcher, settings, enough=limit or 1), out=out, limit=limit, echo=echo)
            except SourceError as error:
                failed += 1
                echo(f"{name}: {error.reason.value}: {error}")
    return 1 if failed else 0


async def _polled(adapter: Source, feed: Feed, fetcher: Fetcher, settings: Settings, *, enough: int) -> Parsed:
    """What one poll brings; of a source that pushes what comes within some seconds; of an index the newest files, until there are so many Documents."""
    if adapter.stream is not None:
        return adapter.read(await _pushed(adapter.stream, feed, settings), feed=feed)
    response = await fetcher.fetch(adapter.request(feed, now=datetime.now(UTC)))
    if adapter.follow is None:
        return adapter.read(response, feed=feed)
    found = Parsed([])
    for step in reversed(adapter.follow(response, "")):
        if step.index or len(found.documents) >= enough:
            continue
        parsed = adapter.read(await fetcher.fetch(step.ask), feed=feed)
        found = Parsed(found.documents + parsed.documents, found.problems + parsed.problems)
    return found


async def _pushed(stream: Stream, feed: Feed, settings: Settings) -> Response:
    ask = stream.connect(feed, "", datetime.now(UTC))[0]
    connection = await listen(ask, settings=settings, clock=SystemClock(), too_old=stream.too_old)
    try:
        batch = await connection.take(Pace(idle_s=settings.fetch_deadline_s, gather_s=LISTEN_S, most_frames=MOST_FRAMES, most_bytes=MOST_BYTES))
    finally:
        await connection.close()
    if not any(frame.data for frame in batch.frames):
        raise SourceUnavailable(f"{masked(ask.url)}: nothing came within {settings.fetch_deadline_s:g} s")
    return Response(url=masked(ask.url), body=b"\n".join(frame.data for frame in batch.frames), fetched_at=datetime.now(UTC))


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
        return {adapter.name: Feed(source=adapter.name, url=SOMEWHERE if adapter.ask is None and adapter.stream is None else "", options=dict(options))}
    if adapter.ask is not None or adapter.stream is not None:
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
