"""Builds `models/datasets/securities/companies.csv.gz`: the openly licensed part of the collected listing tables.

`python -m models.training.securities INPUT_DIR`, where INPUT_DIR holds `us.csv`, `cn.csv`, `hk.csv` and `aliases.csv`. Which rows and columns are
taken, from which upstream repositories and under which licences, is in `models/datasets/securities/SOURCE.md`. The same input gives the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models.company_names import HAN, LEGAL, chinese_base, plain, short_forms, without_form
from models.names_table import COLUMNS, COMPANIES, ordinary_words

OPEN_CN = "open-stock-data"
"""Tag of the source whose codes and short names may be passed on."""
OPEN_HK = "FinanceDatabase"
"""Tag of the source of long English names of Hong Kong listings."""
OPEN_ALIASES = frozenset({"nyse-other-listings", "nasdaq-listings", "stocknet StockTable", "stocknet/hand", "FinanceDatabase", "stock-kg 2020", "adata 2023"})
"""Alias sources with an open licence."""
TOO_GENERAL = frozenset({"news", "southern", "nasdaq", "national bank", "first bank", "the bank of", "bank of"})
"""Short forms that are never used for the company, or name something better known."""


@dataclass
class Row:
    """One listing on its way into the table."""

    id: str
    symbol: str
    name: str
    name_zh: str = ""
    large: bool = False  # a member of the S&P 500: its short name is what people call it
    aliases: dict[str, str] = field(default_factory=dict)  # alias -> marks
    same_as: str = ""


def build(folder: Path) -> list[Row]:
    """The listings, by id, with their marked aliases.

    Errors:
        OSError: a table is missing.
    """
    rows = {row.id: row for row in (*_us(folder), *_cn(folder), *_hk(folder))}
    words = ordinary_words()
    for row in rows.values():
        _add_short_forms(row, words)
    _add_listed_aliases(rows, folder, words)
    _join_listings(rows.values())
    return [rows[key] for key in sorted(rows)]


def _read(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _us(folder: Path) -> Iterator[Row]:
    for raw in _read(folder / "us.csv"):
        yield Row(raw["id"], raw["symbol"], plain(raw["name"]), large="s-and-p-500" in raw["source"].split("+"))


def _cn(folder: Path) -> Iterator[Row]:
    """Codes and Chinese short names only; the English and legal names have another origin."""
    for raw in _read(folder / "cn.csv"):
        if OPEN_CN in raw["source"]:
            name = "".join(raw["name_zh"].split())
            yield Row(raw["id"], raw["symbol"], "", name_zh=name)


def _hk(folder: Path) -> Iterator[Row]:
    """Codes and English names; the Chinese names have another origin."""
    for raw in _read(folder / "hk.csv"):
        if OPEN_CN in raw["source"] or OPEN_HK in raw["source"]:
            yield Row(raw["id"], raw["symbol"], plain(raw["name"]) if not HAN.search(raw["name"]) else "")


def _add_short_forms(row: Row, words: frozenset[str]) -> None:
    if row.name_zh:
        base = chinese_base(row.name_zh)
        for form in dict.fromkeys((row.name_zh, base)):
            row.aliases[form] = "?" if len(form) < 3 or form in words else ""
    for form in short_forms(row.name) if row.name else ():
        if form.lower() not in TOO_GENERAL:
            row.aliases[form] = _mark(form, words, large=row.large, local=row.id.startswith("XHKG"))


def _mark(form: str, words: frozenset[str], *, large: bool, local: bool) -> str:
    """How much context a short form needs: none, `?` some, `??` a word of finance beside it.

    A single word that people also use otherwise needs context, and so does a small company's name made of such words alone.
    """
    tokens = [token.strip(".,&'()").lower() for token in form.split()]
    common = all(token in words or not token.isalpha() for token in tokens)
    if len(tokens) == 1:
        if form.isupper() and len(form) < 4:
            return "?" if large else "??"
        return ("?" if large else "??") if common or local else ""
    if LEGAL.search(form):
        return ""
    return "??" if common and not large else ""


def _add_listed_aliases(rows: dict[str, Row], folder: Path, words: frozenset[str]) -> None:
    """Other names: former ones, listing texts, old tickers (`$` in front)."""
    current = {alias for row in rows.values() for alias in row.aliases}
    for raw in _read(folder / "aliases.csv"):
        row, alias = rows.get(raw["id"]), plain(raw["alias"])
        if row is None or raw["source"] not in OPEN_ALIASES or alias in current:
            continue
        if raw["lang"] == "ticker":
            row.aliases["$" + alias] = ""
        elif raw["lang"] == "zh":
            row.aliases[alias] = "?" if len(alias) < 4 or raw["ambiguous"] == "1" or alias in words else ""
        elif raw["lang"] == "en":
            for form in (alias, without_form(alias)):
                row.aliases.setdefault(form, _mark(form, words, large=row.large, local=False))


def _join_listings(rows: Iterable[Row]) -> None:
    """Point every listing of one company at the first of them: share classes, and shares listed in New York and Hong Kong under one long name."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        core = without_form(row.name).lower() if row.name else ""
        if core and (LEGAL.search(row.name) or row.large):
            groups[core].append(row)
    for group in groups.values():
        first = min(row.id for row in group)
        for row in group:
            row.same_as = first if row.id != first else ""


def write(rows: Iterable[Row], target: Path) -> int:
    """Write the table; the number of bytes. No time of making inside, so that equal rows give equal bytes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        aliases = "|".join(mark + alias for alias, mark in row.aliases.items() if mark or alias not in (row.name, row.name_zh))
        table.writerow([row.id, row.symbol, row.name or row.name_zh, row.name_zh, aliases, row.same_as])
    target.write_bytes(gzip.compress(text.getvalue().encode(), compresslevel=9, mtime=0))
    return target.stat().st_size


def main(arguments: list[str]) -> int:
    """Build and write; the exit code."""
    if len(arguments) != 1:
        print("usage: python -m models.training.securities INPUT_DIR", file=sys.stderr)  # noqa: T201
        return 2
    rows = build(Path(arguments[0]))
    size = write(rows, COMPANIES)
    print(f"{len(rows)} listings, {size} bytes: {COMPANIES}", file=sys.stderr)  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
