"""The table of companies: what is read from CSV files, and which names count how much."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

from models.company_names import simplified, without_form
from opinion.errors import ConfigError

FOLDER = Path(__file__).parent / "datasets" / "securities"
COMPANIES = FOLDER / "companies.csv.gz"
"""Listings of the United States, mainland China and Hong Kong; see SOURCE.md beside it."""
CURATED = FOLDER / "curated.csv"
"""Written by hand: the names people use for large companies, and which listings are one company."""
ORDINARY_WORDS = FOLDER / "ordinary_words.txt"
DECOYS = FOLDER / "decoys.txt"
NOT_TICKERS = FOLDER / "not_tickers.txt"
TRADES = FOLDER / "trades.txt"
CHINESE_WORDS = FOLDER / "chinese_words.txt"
COLUMNS = ("id", "symbol", "name", "name_zh", "aliases", "same_as")
"""Columns of a table; only `id` and one of the names are needed."""

US = ("XNAS:", "XNYS:", "XASE:", "ARCX:", "BATS:")
"""How ids of listings in the United States begin."""
SURE, LIKELY, WEAK, LISTED = 0, 1, 2, 3
"""How much context an alias needs: none; some (written `?alias`); a word of finance beside it, or the company named otherwise (`??alias`);
an enumeration with companies of its trade, or the company named otherwise (`???alias`).

`-alias` is a name that does not count, `$ABC` a former ticker. Not names but their surroundings: `~word` speaks for the company, `@trade` stands
for the words of that trade, `!word` speaks against it.
"""


AROUND = ("~", "@", "!")
"""Marks of what is no name."""


class Company(Struct, frozen=True):
    """One listing."""

    id: str  # `<MIC>:<code>`
    name: str
    name_zh: str
    group: str  # id that all listings of the company share


class Name(Struct, frozen=True):
    """A name that stands for one company, or for several."""

    text: str  # as it is usually written
    level: int  # SURE, LIKELY, WEAK or LISTED
    groups: tuple[str, ...]  # more than one: the name alone does not tell which
    fold: bool = False  # may be written with other capitals, as in a headline
    small: bool = False  # people also write it without capitals


class Topic(Struct, frozen=True):
    """What stands around a company's name where the company is meant, and what where it is not."""

    words: tuple[str, ...] = ()  # products, people and the words of its trades
    vetoes: tuple[str, ...] = ()
    trades: tuple[str, ...] = ()


class Table(Struct, frozen=True):
    """All companies and their names."""

    companies: dict[str, Company]
    names: dict[str, Name]  # by the name in lower case
    tickers: dict[str, str]  # symbol in capitals -> id, United States only
    groups: dict[str, tuple[str, ...]]  # group -> ids of its listings, sorted
    topics: dict[str, Topic]  # by group; only of companies that have one


class _Row(Struct):
    id: str
    name: str
    name_zh: str
    symbol: str
    same_as: str
    aliases: list[str]


@cache
def ordinary_words() -> frozenset[str]:
    """Words that are a company's name but mostly mean something else, in lower case; Chinese ones too."""
    return frozenset(_lines(ORDINARY_WORDS))


@cache
def company_words() -> frozenset[str]:
    """Common Chinese words that begin or end inside companies' names, such as `千万` and `科研` in `千万科研`."""
    return frozenset(_lines(CHINESE_WORDS))


@cache
def decoys() -> frozenset[str]:
    """Phrases that contain a company's name and do not mean it, such as `Apple Valley` or `中国银行业`."""
    return frozenset(_lines(DECOYS))


@cache
def trades() -> dict[str, tuple[str, ...]]:
    """Trade -> words that people use when they write of it, in English and Chinese."""
    found = {}
    for line in TRADES.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            trade, _, words = line.partition(": ")
            found[trade] = tuple(words.split(";"))
    return found


@cache
def not_tickers() -> frozenset[str]:
    """Abbreviations that are a ticker too and mostly mean something else, such as CEO and ETF."""
    return frozenset(_lines(NOT_TICKERS))


def load_table(extra: Sequence[Path] = ()) -> Table:
    """The shipped companies with those of `extra` files.

    Errors:
        ConfigError: a file of `extra` is missing or not of this form.
    """
    rows: dict[str, _Row] = {}
    for path in (COMPANIES, CURATED, *extra):
        for row in _read(path):
            _merge(rows, row)
    return _table(rows)


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            yield from line.split(";") if ";" in line else [line]


def _read(path: Path) -> Iterator[_Row]:
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise ConfigError(f"company names {path}: {error}") from error
    for number, raw_row in enumerate(csv.DictReader(io.StringIO(text)), start=2):
        row = {key: (raw_row.get(key) or "").strip() for key in COLUMNS}
        if ":" not in row["id"] or None in raw_row:
            raise ConfigError(f"company names {path}, line {number}: want {','.join(COLUMNS)}, with id as MIC:code and aliases separated by |")
        yield _Row(row["id"], row["name"], row["name_zh"], row["symbol"] or row["id"].split(":")[1], row["same_as"], [part for part in row["aliases"].split("|") if part])


def _merge(rows: dict[str, _Row], row: _Row) -> None:
    """A later file adds names to a listing, and wins where it gives one."""
    known = rows.setdefault(row.id, row)
    if known is not row:
        known.aliases += row.aliases
        known.name, known.name_zh, known.same_as = row.name or known.name, row.name_zh or known.name_zh, row.same_as or known.same_as


def _table(rows: dict[str, _Row]) -> Table:
    groups = _groups(list(rows.values()))
    companies = {row.id: Company(row.id, row.name or row.name_zh, row.name_zh, groups[row.id]) for row in rows.values()}
    members: dict[str, list[str]] = {}
    for company in companies.values():
        members.setdefault(company.group, []).append(company.id)
    tickers = {row.symbol.upper(): row.id for row in rows.values() if row.id.startswith(US)}
    for row in rows.values():
        for alias in row.aliases:
            if alias.startswith("$"):
                tickers.setdefault(alias[1:].upper(), row.id)
    listings = {group: tuple(sorted(ids)) for group, ids in members.items()}
    return Table(companies, _names(rows.values(), groups), tickers, listings, _topics(rows.values(), groups))


def _groups(rows: Collection[_Row]) -> dict[str, str]:
    """Listing -> the smallest id among all that `same_as` joins it to, whichever way the links point."""
    group: dict[str, str] = {row.id: row.id for row in rows}

    def find(key: str) -> str:
        while group[key] != key:
            key = group[key]
        return key

    for row in rows:
        if row.same_as in group:
            first, second = sorted((find(row.id), find(row.same_as)))
            group[second] = first
    return {key: find(key) for key in group}


def _topics(rows: Iterable[_Row], groups: dict[str, str]) -> dict[str, Topic]:
    said: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        for alias in row.aliases:
            if alias[0] in AROUND:
                said.setdefault(groups[row.id], {mark: [] for mark in AROUND})[alias[0]].append(alias[1:])
    found = {}
    for group, by_mark in said.items():
        if unknown := [trade for trade in by_mark["@"] if trade not in trades()]:
            raise ConfigError(f"company names, {group}: no trade {unknown[0]} in {TRADES.name}")
        words = [*by_mark["~"], *(word for trade in by_mark["@"] for word in trades()[trade])]
        found[group] = Topic(tuple(words), tuple(by_mark["!"]), tuple(by_mark["@"]))
    return found


def _names(rows: Iterable[_Row], groups: dict[str, str]) -> dict[str, Name]:
    found: dict[str, Name] = {}
    for row in rows:
        group = groups[row.id]
        for text, level, small in _marked(row):
            key = simplified(text.lower())
            if len(key) == len(text):  # else positions in lower case would not be positions in the text
                found[key] = _joined(found.get(key), Name(text, level, (group,), fold=_foldable(text), small=small))
    return found


def _joined(known: Name | None, new: Name) -> Name:
    """One name said of two rows: of one company, the surer mark holds; of two, the name alone tells neither."""
    if known is None:
        return new
    fold, small = known.fold or new.fold, known.small or new.small
    if known.groups == new.groups:
        return Name(known.text, min(known.level, new.level), known.groups, fold=fold, small=small)
    return Name(known.text, WEAK, tuple(sorted({*known.groups, *new.groups})), fold=fold, small=small)


def _marked(row: _Row) -> list[tuple[str, int, bool]]:
    """Every name of a row with its level, and whether people write it small.

    The last mark of an alias wins; `-alias` takes a name out; a plain name needs no alias. `nvidia` beside `NVIDIA` is the small way of writing it.
    """
    said = {name.lower(): (name, SURE, False) for name in (row.name, without_form(row.name), row.name_zh) if len(name) > 1}
    for alias in row.aliases:
        text = alias.lstrip("?-")
        known = said.get(text.lower())
        if alias.startswith("-"):
            said.pop(text.lower(), None)
        elif known and alias.isascii() and alias.islower():
            said[alias] = (known[0], known[1], True)
        elif alias[0] not in ("$", *AROUND) and text:
            said[text.lower()] = (text, min(len(alias) - len(text), LISTED), text.isascii() and text.islower())
    return list(said.values())


def _foldable(text: str) -> bool:
    """Short capitals (`AMD`, `GAP`) must be met exactly; longer names also in a headline's capitals."""
    return not text.isupper() or len(text) > 4
