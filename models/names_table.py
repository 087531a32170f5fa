"""The table of companies: what is read from CSV files, and which names count how much."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from msgspec import Struct

from models.company_names import HAN, without_form
from opinion.errors import ConfigError

FOLDER = Path(__file__).parent / "datasets" / "securities"
COMPANIES = FOLDER / "companies.csv.gz"
"""Listings of the United States, mainland China and Hong Kong; see SOURCE.md beside it."""
CURATED = FOLDER / "curated.csv"
"""Written by hand: the names people use for large companies, and which listings are one company."""
ORDINARY_WORDS = FOLDER / "ordinary_words.txt"
DECOYS = FOLDER / "decoys.txt"
COLUMNS = ("id", "symbol", "name", "name_zh", "aliases", "same_as")
"""Columns of a table; only `id` and one of the names are needed."""

SURE, LIKELY, WEAK = 0, 1, 2
"""How much context an alias needs: none; some (written `?alias`); a word of finance beside it, or the company named otherwise (`??alias`)."""


class Company(Struct, frozen=True):
    """One listing."""

    id: str  # `<MIC>:<code>`
    name: str
    name_zh: str
    group: str  # id that all listings of the company share


class Name(Struct, frozen=True):
    """A name that stands for one company, or for several."""

    text: str  # as it is usually written
    level: int  # SURE, LIKELY or WEAK
    groups: tuple[str, ...]  # more than one: the name alone does not tell which
    fold: bool = False  # may be written with other capitals, as in a headline


class Table(Struct, frozen=True):
    """All companies and their names."""

    companies: dict[str, Company]
    names: dict[str, Name]  # by the name in lower case
    tickers: dict[str, str]  # symbol in capitals -> id, United States only
    groups: dict[str, tuple[str, ...]]  # group -> ids of its listings, sorted


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
def decoys() -> frozenset[str]:
    """Phrases that contain a company's name and do not mean it, such as `Apple Valley` or `中国银行业`."""
    return frozenset(_lines(DECOYS))


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
    companies = {row.id: Company(row.id, row.name or row.name_zh, row.name_zh, _group(rows, row)) for row in rows.values()}
    members: dict[str, list[str]] = {}
    for company in companies.values():
        members.setdefault(company.group, []).append(company.id)
    tickers = {row.symbol.upper(): row.id for row in rows.values() if row.id.startswith(("XN", "XASE", "ARCX", "BATS"))}
    for row in rows.values():
        for alias in row.aliases:
            if alias.startswith("$"):
                tickers.setdefault(alias[1:].upper(), row.id)
    return Table(companies, _names(rows.values(), companies), tickers, {group: tuple(sorted(ids)) for group, ids in members.items()})


def _group(rows: dict[str, _Row], row: _Row) -> str:
    """Follow `same_as` to its end; a few steps are enough for any chain we write, and a ring must not hang us."""
    for _ in range(4):
        if row.same_as not in rows:
            break
        row = rows[row.same_as]
    return row.id


def _names(rows: Iterable[_Row], companies: dict[str, Company]) -> dict[str, Name]:
    found: dict[str, Name] = {}
    for row in rows:
        group = companies[row.id].group
        for text, level in _marked(row).items():
            key = text.lower()
            known = found.get(key)
            if len(key) != len(text):
                continue
            groups = tuple(sorted({group, *(known.groups if known else ())}))
            found[key] = Name(known.text if known else text, max(level, known.level) if known else level, groups, fold=_foldable(text))
    return found


def _marked(row: _Row) -> dict[str, int]:
    """Every name of a row with its level: those marked in `aliases`, and the plain names where nothing else is said of them. The last mark wins."""
    levels: dict[str, int] = {}
    for alias in row.aliases:
        if not alias.startswith("$"):
            text = alias.lstrip("?")
            levels[text] = min(len(alias) - len(text), WEAK)
    for name in (row.name, without_form(row.name), row.name_zh):
        if len(name) > 1 and (" " in name or HAN.search(name) or name == row.name):
            levels.setdefault(name, SURE)
    return levels


def _foldable(text: str) -> bool:
    """Short capitals (`AMD`, `GAP`) must be met exactly; longer names also in a headline's capitals."""
    return not text.isupper() or len(text) > 4
