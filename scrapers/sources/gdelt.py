"""GDELT's Global Knowledge Graph 2.1: headlines of the world's news by the quarter hour, as files in bulk, without gaps.

`lastupdate.txt` (English) or `lastupdate-translation.txt` (65 other languages) names the newest files with their md5; those since the last poll lie
beside them, one each quarter hour. Each is a zip with one table of 27 columns, tab-separated, not always clean UTF-8. Wire format: GDELT's codebook of
GKG 2.1 and client code, as known on 2026-11-23; not tried against the live site.
"""

from __future__ import annotations

import html
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from opinion.errors import BodyTooLarge, ConfigError, PageChanged
from opinion.records import DocumentKind, Precision
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source, Step
from scrapers.wire import text_of, trusted

NAME = "gdelt"
ADAPTER_VERSION = 1
HOST = "http://data.gdeltproject.org/gdeltv2"
"""Its certificate is another's, so that https fails; the index's md5 guards the newest file."""
EVERY = timedelta(minutes=15)
MOST_BEHIND = timedelta(hours=24)
"""Files further back are left out, and told as a problem: a day of them takes some minutes, and what is older is no longer counted."""
MOST_BYTES = 200_000_000
"""Largest table believed: real ones are 10 to 40 MB."""
MOST_ROWS = 20_000
COLUMNS = 27
SOURCE_COLUMN, URL_COLUMN, THEMES_COLUMN, TONE_COLUMN, LANGUAGE_COLUMN, EXTRAS_COLUMN = 3, 4, 7, 15, 25, 26
THEMES = ("ECON_", "BUS_", "STOCKMARKET", "WB_1104_MACROECONOMIC", "WB_1920_FINANCIAL", "BANKRUPTCY", "CRISISLEX_C07", "TAX_FNCACT_CEO", "CORPORATE", "SCANDAL")
"""Beginnings of the themes of finance, unless the option `themes` names others."""
LANGUAGES = {"zho": "zh-Hans", "eng": "en"}
"""Of the codes of translated articles, those that we judge; others are found by their text."""

_LINE = re.compile(r"(?P<size>\d+)\s+(?P<md5>[0-9a-f]{32})\s+(?P<url>https?://\S+/(?P<stamp>\d{14})(?P<rest>\.(?:translation\.)?gkg\.csv\.zip))")
_TITLE = re.compile(r"<PAGE_TITLE>(.*?)</PAGE_TITLE>", re.DOTALL)
_PUBLISHED = re.compile(r"<PAGE_PRECISEPUBTIMESTAMP>(\d{14})</PAGE_PRECISEPUBTIMESTAMP>")


def ask(feed: Feed, now: datetime) -> Ask:
    """The index of the newest files."""
    del now
    check(feed)
    return Ask(url=f"{HOST}/lastupdate{'-translation' if feed.option('edition') == 'translation' else ''}.txt")


def check(feed: Feed) -> None:
    """Raise ConfigError for an edition that there is not."""
    if feed.option("edition", "english") not in ("english", "translation"):
        raise ConfigError(f"source {NAME}: edition is english or translation")


def follow(response: Response, place: str) -> list[Step]:
    """The files from the one after `place` (its stamp) to the newest, oldest first.

    Errors:
        PageChanged: the index names no knowledge graph.
    """
    found = _LINE.search(text_of(response))
    if found is None:
        raise PageChanged("the index names no knowledge graph")
    newest = _instant(found["stamp"])
    if newest is None:
        raise PageChanged("the index names a file of no instant")
    last = _instant(place)
    due = newest if last is None else last + EVERY
    first = max(due, newest - MOST_BEHIND)
    missed = f"{(first - due) // EVERY} files before {first:%Y-%m-%d %H:%M} were left out: they are more than {MOST_BEHIND // timedelta(hours=1)} h back" if first > due else ""
    base = found["url"].rsplit("/", 1)[0]
    steps: list[Step] = []
    while first <= newest:
        stamp = first.strftime("%Y%m%d%H%M%S")
        steps.append(Step(ask=Ask(url=f"{base}/{stamp}{found['rest']}"), place=stamp, md5=found["md5"] if first == newest else "", missed=missed))
        first, missed = first + EVERY, ""
    return steps


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The headlines of a file that are of the wished themes.

    Errors:
        PageChanged: no zip, or one of another form.
        BodyTooLarge: a table over 200 MB.
    """
    themes = tuple(theme.strip().upper() for theme in feed.option("themes").split(",") if theme.strip()) or THEMES
    items = _items(_table(response.body), themes, at=response.fetched_at)
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _table(body: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = archive.infolist()
            if len(members) != 1:
                raise PageChanged(f"a zip of {len(members)} files")
            with archive.open(members[0]) as file:
                table = file.read(MOST_BYTES + 1)  # never what the header promises: a bomb lies
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise PageChanged(f"no zip: {error}") from error
    if len(table) > MOST_BYTES:
        raise BodyTooLarge(f"a table of over {MOST_BYTES} bytes")
    return table.decode("utf-8", "replace")


def _items(table: str, themes: tuple[str, ...], *, at: datetime) -> Iterator[Item | Problem]:
    for number, line in enumerate(table.split("\n"), 1):
        if number > MOST_ROWS:
            yield Problem("over_cap", f"only the first {MOST_ROWS} rows were read")
            return
        if not line.strip():
            continue
        row = line.split("\t")
        if len(row) != COLUMNS:
            yield Problem("invalid", f"row {number} has {len(row)} columns, not {COLUMNS}")
        elif any(theme.startswith(themes) for theme in row[THEMES_COLUMN].split(";")):
            yield _item(row, at=at)


def _item(row: list[str], *, at: datetime) -> Item | Problem:
    url, title = row[URL_COLUMN].strip(), _TITLE.search(row[EXTRAS_COLUMN])
    if not url.startswith(("http://", "https://")):
        return Problem("invalid", f"no web address: {url[:100]}")
    if title is None:
        return Problem("empty", f"{url[:200]} has no headline")
    told = _PUBLISHED.search(row[EXTRAS_COLUMN])
    instant = _instant(told[1]) if told else None
    published_at, precision = trusted(instant, Precision.SECOND, fetched_at=at) if instant else (None, None)
    source_language = re.match(r"srclc:([a-z]{3})", row[LANGUAGE_COLUMN])
    return Item(
        native_id=url,
        title=html.unescape(title[1]),
        url=url,
        publisher=row[SOURCE_COLUMN].strip(),
        published_at=published_at,
        precision=precision,
        lang=LANGUAGES.get(source_language[1], "") if source_language else "",
        labels={"tone": row[TONE_COLUMN].split(",")[0]} if row[TONE_COLUMN] else {},
    )


def _instant(stamp: str) -> datetime | None:
    try:
        return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


MANNERS = Manners(
    stability="green",
    interval_s=300,
    kind=DocumentKind.NEWS,
    terms="open for any use with attribution to the GDELT Project; the headlines are their publishers'",
    tried="not tried live; wire format of the GKG 2.1 codebook and client code, 2026-11-23",
    options={
        "edition": "english (the default) or translation: articles of 65 other languages, Chinese among them",
        "themes": "beginnings of GDELT themes, separated by commas; empty: those of finance",
    },
)
SOURCE = Source(NAME, ("gkg",), parse, MANNERS, ask, check=check, follow=follow)
