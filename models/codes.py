"""Finds listings that a text names by code: cashtags, exchange codes, and tickers in brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from models.names_table import not_tickers

CASHTAG = re.compile(r"(?<![A-Za-z0-9$])\$([A-Za-z]{1,5}(?:[.\-][A-Za-z])?)(?![A-Za-z0-9$_])")
NUMBER = re.compile(r"(?<![\d.,])\d{1,6}(?![\d,%])")
MARKET_BEFORE = re.compile(
    r"(?<![A-Za-z])(SH|SZ|BJ|HK|HKG|SHA|SHE|SSE|SHSE|SZSE|HKEX|SEHK|XSHG|XSHE|XHKG|代码|股票代码|证券代码|港股|港股代码|A股代码|港交所|上交所|深交所|北交所)\s?[:：.]?\s?$",
    re.IGNORECASE,
)
MARKET_AFTER = re.compile(r"(?:[.\-](SH|SS|SZ|BJ|HK|XSHG|XSHE|XHKG)(?![A-Za-z])| (HK|CH) Equity\b)", re.IGNORECASE)
TRADED_AFTER = re.compile(
    r"\s?(?:收盘|收涨|收跌|收报|大?涨|大?跌|高开|低开|盘中|早盘|午后|尾盘|放量|缩量|股价|主力|今天|今日|昨天|昨日|又|继续|还能|加仓|减仓|建仓|清仓|满仓|止损|割肉|抄底|被套|封板|停牌|复牌)"
)
"""What happens to shares, behind a bare code of a forum: `00700收盘涨3%`."""
US_SUFFIXED = re.compile(r"(?<![A-Za-z0-9.$])([A-Z]{2,5}(?:\.[A-Z])?)\.(?:OQ|O|N|K|US)(?![A-Za-z0-9])")
US_LETTER = re.compile(r"(?<![A-Za-z0-9.$&])([A-TV-Z])\.(?:OQ|O|N|US)(?![A-Za-z0-9]|\. ?[A-Za-z])")
"""`C.N`, but not `U.N`, nor the initials of `C.N. Yang`."""
US_PREFIXED = re.compile(r"(?<![A-Za-z0-9.])US\.([A-Z]{1,5})(?![A-Za-z0-9])")
US_BLOOMBERG = re.compile(r"(?<![A-Za-z0-9$])([A-Z]{1,5}(?:/[A-Z])?) US (?:Equity|EQUITY)\b")
US_BRACKETED = re.compile(r"[(\uff08]([A-Z]{1,5}(?:/[A-Z])?)[ -]US[)\uff09]")
FRAMED = re.compile(r"\$[^$()\uff08\uff09\n]{1,24}[(\uff08]([A-Z]{1,5}(?:\.[A-Z])?)[)\uff09]\$")
"""`$拼多多(PDD)$`, as a forum links it."""
US_LISTED = re.compile(r"\b(?:NASDAQ|NYSE(?: American| Arca| MKT)?|AMEX|纳斯达克|纽交所)(?:GS|GM|CM)?\s?[:：]\s?\$?([A-Z]{1,5}(?:\.[A-Z])?)(?![A-Za-z0-9])", re.IGNORECASE)
MARKED = {
    ")$": (FRAMED,),
    "\uff09$": (FRAMED,),
    ".O": (US_SUFFIXED, US_LETTER),
    ".N": (US_SUFFIXED, US_LETTER),
    ".K": (US_SUFFIXED,),
    ".US": (US_SUFFIXED, US_LETTER),
    "US.": (US_PREFIXED,),
    " US ": (US_BLOOMBERG,),
    "US)": (US_BRACKETED,),
    "US\uff09": (US_BRACKETED,),
}
"""What a text must hold for the patterns to be tried: most texts hold none of it."""
NAMED_NUMBER = re.compile(r"(?<![\d.,A-Za-z])(\d{5,6})(?![\d,%.])")
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
    "HKG": ("XHKG",),
    "SHA": ("XSHG",),
    "SHE": ("XSHE",),
    "港股": ("XHKG",),
    "港股代码": ("XHKG",),
    "港交所": ("XHKG",),
    "上交所": ("XSHG",),
    "深交所": ("XSHE",),
    "北交所": ("XBSE",),
    "CH": ("XSHG", "XSHE", "XBSE"),
}
"""What a market is called beside a code -> MIC."""
HONG_KONG_DIGITS = 5
SHORT_DIGITS = 3
"""A shorter number is a code only as `5.HK`."""
ANY_MAINLAND = ("XSHG", "XSHE", "XBSE")


def find_codes(text: str, *, companies: Mapping[str, object], tickers: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """(start, end, listing id) of each code whose listing is known. `companies` has ids as keys; `tickers` maps US symbols to ids."""
    yield from _numbers(text, companies)
    if "$" in text:
        for match in CASHTAG.finditer(text):
            symbol = match[1]
            if len(symbol) > 2 or symbol.isupper():
                yield from _ticker(match, tickers)
    for mark, patterns in MARKED.items():
        if mark in text:
            for pattern in patterns:
                yield from _marked(pattern, text, tickers)
    if ":" in text or "：" in text:
        for match in US_LISTED.finditer(text):
            if match[1].isupper() and match[1] in tickers:
                yield match.start(1), match.end(1), tickers[match[1]]


def _marked(pattern: re.Pattern[str], text: str, tickers: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """Tickers whose surroundings leave no doubt; an abbreviation may be one too."""
    for match in pattern.finditer(text):
        symbol = match[1].replace("/", ".")
        if symbol in tickers:
            yield match.start(1), match.end(1), tickers[symbol]


def find_beside(text: str, *, companies: Mapping[str, object], tickers: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    """(start, end, listing id) of what may be a code and is one where the company's name stands before it: `Gartner (IT)`, `太阳能 000591`."""
    if "(" in text or "（" in text:
        for match in BRACKETED.finditer(text):
            if match[1] in tickers:
                yield match.start(), match.end(), tickers[match[1]]
    for match in NAMED_NUMBER.finditer(text):
        for market in ("XHKG",) if len(match[1]) == HONG_KONG_DIGITS else ANY_MAINLAND:
            if f"{market}:{match[1]}" in companies:
                yield match.start(), match.end(), f"{market}:{match[1]}"
                break


def _ticker(match: re.Match[str], tickers: Mapping[str, str]) -> Iterator[tuple[int, int, str]]:
    symbol = match[1].upper().replace("-", ".")
    if symbol in tickers and symbol not in not_tickers():
        yield match.start(), match.end(), tickers[symbol]


def _numbers(text: str, companies: Mapping[str, object]) -> Iterator[tuple[int, int, str]]:
    for match in NUMBER.finditer(text):
        start, end = match.span()
        if end - start < SHORT_DIGITS and not text.startswith(".HK", end):
            continue
        markets = _markets(text, start, end=end)
        for market in markets:
            listing = f"{market}:{match[0].zfill(5) if market == 'XHKG' else match[0]}"
            if listing in companies:
                yield start, end, listing
                break


def _markets(text: str, start: int, *, end: int) -> tuple[str, ...]:
    """The markets that the surroundings of a number allow; none where nothing says that it is a listing: `上证指数(000001)` is an index."""
    if text[end : end + 1] in (".", "-", " ") and (after := MARKET_AFTER.match(text, end)):
        return MARKETS[(after[1] or after[2]).upper()]
    if end - start < 5 and text[start - 1 : start] not in (":", "：", " ", "K", "k"):
        return ()
    before = MARKET_BEFORE.search(text[max(0, start - 8) : start])
    if before:
        return MARKETS.get(before[1].upper(), (*ANY_MAINLAND, "XHKG"))
    if start and text[start - 1] in OPENING and text[start - 2 : start - 1] not in ("指", "数") and text[end : end + 1] in (*CLOSING, ",", "，", " "):
        return ANY_MAINLAND if end - start == 6 else ("XHKG",) if end - start == 5 else ()
    if end - start >= HONG_KONG_DIGITS and not text[max(0, start - 1) : start].isalnum() and TRADED_AFTER.match(text, end):
        return ANY_MAINLAND if end - start > HONG_KONG_DIGITS else ("XHKG",) if text[start] == "0" else ()
    return ()
