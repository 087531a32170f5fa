"""Finds listings that a text names by code: cashtags, exchange codes, and tickers in brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from models.names_table import not_tickers

CASHTAG = re.compile(r"(?<![A-Za-z0-9$])\$([A-Za-z]{1,5}(?:[.\-][A-Za-z])?)(?![A-Za-z0-9$_])")
NUMBER = re.compile(r"(?<![\d.,])\d{3,6}(?![\d,%])")
MARKET_BEFORE = re.compile(r"(?<![A-Za-z])(SH|SZ|BJ|HK|SSE|SHSE|SZSE|HKEX|SEHK|XSHG|XSHE|XHKG|代码|股票代码|证券代码)\s?[:：.]?\s?$", re.IGNORECASE)
MARKET_AFTER = re.compile(r"\.(SH|SS|SZ|BJ|HK|XSHG|XSHE|XHKG)(?![A-Za-z])", re.IGNORECASE)
US_SUFFIXED = re.compile(r"(?<![A-Za-z0-9.$])([A-Z]{2,5}(?:\.[A-Z])?)\.(?:OQ|O|N|US)(?![A-Za-z0-9])")
US_LISTED = re.compile(r"\b(?:NASDAQ|NYSE(?: American| Arca| MKT)?|AMEX|纳斯达克|纽交所)(?:GS|GM|CM)?\s?[:：]\s?\$?([A-Z]{1,5}(?:\.[A-Z])?)(?![A-Za-z0-9])", re.IGNORECASE)
BRACKETED = re.compile(r"[(\uff08]\$?([A-Z]{1,5}(?:\.[A-Z])?)[)\uff09]")
OPENING, CLOSING = "(\uff08", ")\uff09"

MARKETS: Mapping[str, tuple[str, ...]] = {
    "SH": ("XSHG",),
    "SS": ("XSHG",),
    "SSE": ("XSHG",),
    "SHSE": ("XSHG",),
    "XSHG": ("XSHG",),
    "SZ": ("XSHE",),
    "SZSE": ("XSHE",),
    "XSHE": ("XSHE",),
    "BJ": ("XBSE",),
    "HK": ("XHKG",),
    "HKEX": ("XHKG",),
    "SEHK": ("XHKG",),
    "XHKG": ("XHKG",),
}
"""What a market is called beside a code -> MIC."""
ANY_MAINLAND = ("XSHG", "XSHE", "XBSE")


def find_codes(text: str, *, companies: Mapping[str, object], tickers: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """(start, end, listing id) of each code whose listing is known. `companies` has ids as keys; `tickers` maps US symbols to ids."""
    yield from _numbers(text, companies)
    if "$" in text:
        for match in CASHTAG.finditer(text):
            symbol = match[1]
            if len(symbol) > 2 or symbol.isupper():
                yield from _ticker(match, tickers)
    if ".O" in text or ".N" in text or ".US" in text:
        for match in US_SUFFIXED.finditer(text):
            yield from _ticker(match, tickers)
    if ":" in text or "：" in text:
        for match in US_LISTED.finditer(text):
            if match[1].isupper() and match[1] in tickers:
                yield match.start(1), match.end(1), tickers[match[1]]


def find_bracketed(text: str, *, tickers: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """(start, end, listing id) of each `(ABC)` that may be a ticker. Whether it is one depends on the name before it."""
    if "(" in text or "（" in text:
        for match in BRACKETED.finditer(text):
            yield from _ticker(match, tickers)


def _ticker(match: re.Match[str], tickers: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    symbol = match[1].upper().replace("-", ".")
    if symbol in tickers and symbol not in not_tickers():
        yield match.start(), match.end(), tickers[symbol]


def _numbers(text: str, companies: Mapping[str, object]) -> Iterator[tuple[int, int, str]]:
    for match in NUMBER.finditer(text):
        start, end = match.span()
        markets = _markets(text, start, end=end)
        for market in markets:
            listing = f"{market}:{match[0].zfill(5) if market == 'XHKG' else match[0]}"
            if listing in companies:
                yield start, end, listing
                break


def _markets(text: str, start: int, *, end: int) -> tuple[str, ...]:
    """The markets that the surroundings of a number allow; none where nothing says that it is a listing: `上证指数(000001)` is an index."""
    if text[end : end + 1] == "." and (after := MARKET_AFTER.match(text, end)):
        return MARKETS[after[1].upper()]
    if end - start < 5 and text[start - 1 : start] not in (":", "：", " ", "K", "k"):
        return ()
    before = MARKET_BEFORE.search(text[max(0, start - 8) : start])
    if before:
        return MARKETS.get(before[1].upper(), (*ANY_MAINLAND, "XHKG"))
    if start and text[start - 1] in OPENING and text[start - 2 : start - 1] not in ("指", "数") and text[end : end + 1] in (*CLOSING, ",", "，", " "):
        return ANY_MAINLAND if end - start == 6 else ("XHKG",) if end - start == 5 else ()
    return ()
