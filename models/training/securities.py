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
TOO_GENERAL = frozenset({"news", "southern", "nasdaq", "strategy", "s&p", "booking", "national bank", "first bank", "the bank of", "bank of"})
"""Short forms that mostly mean something better known."""


SUCCEEDED = frozenset({"XNYS:BBL", "XNYS:CHL", "XNYS:PTR", "XNYS:SNP", "XNYS:UN"})
"""Listings that ended while the company is listed elsewhere; `curated.csv` has their tickers as former ones."""


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
        if raw["id"] not in SUCCEEDED:
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
        for form in (row.name_zh, chinese_base(row.name_zh)):
            row.aliases[form] = "-" if len(form) < 3 else "??" if form in words else ""
    for form in short_forms(row.name) if row.name else ():
        _add_english(row, form, words)


def _add_english(row: Row, form: str, words: frozenset[str]) -> None:
    """Note a form with how much context it needs: none, `?` some, `??` a word of finance beside it.

    A single word that people also use otherwise does not count for a small company (`-`): only its longer names and its ticker name it.
    """
    tokens = [token.strip(".,&'()").lower() for token in form.split()]
    local = row.id.startswith("XHKG")
    mark = ""
    if len(tokens) == 1:
        if tokens[0] in words or (len(form) < 4 and not row.large) or (local and len(form) < 5):
            mark = "?" if row.large else "-"
        elif local or (form.isupper() and len(form) < 4):
            mark = "?" if row.large else "??"
    elif not LEGAL.search(form) and not row.large and all(token in words or not token.isalpha() for token in tokens):
        mark = "??"
    row.aliases.setdefault(form, "-" if form.lower() in TOO_GENERAL else mark)


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
            row.aliases[alias] = "-" if len(alias) < 3 else "??" if len(alias) < 4 or raw["ambiguous"] == "1" or alias in words else ""
        elif raw["lang"] == "en":
            for form in (alias, without_form(alias)):
                _add_english(row, form, words)


def _join_listings(rows: Iterable[Row]) -> None:
    """Point every listing of one company at the first of them: share classes, and shares listed in New York and Hong Kong under one long name."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.name and (LEGAL.search(row.name) or row.large):
            groups[without_form(row.name).lower()].append(row)
    for group in groups.values():
        for row in group:
            row.same_as = next((other.id for other in group if other.id < row.id and _one_company(row, other)), "")


def _one_company(row: Row, other: Row) -> bool:
    """Equal names on two continents, or on one with tickers that differ in the last letter: `Independent Bank` is two banks, IBCP and INDB."""
    if row.id.startswith("XHKG") != other.id.startswith("XHKG"):
        return True
    first, second = row.symbol.split(".")[0], other.symbol.split(".")[0]
    return first[: min(len(first), len(second)) - 1] == second[: min(len(first), len(second)) - 1] and abs(len(first) - len(second)) <= 1


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
