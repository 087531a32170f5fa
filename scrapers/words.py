"""Whether a text holds one of some words: for sources that tell of everything under the sun."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import ahocorasick

CASHTAGS = "$"
"""Among the words: any cashtag."""
FINANCE = (
    "$,stocks,stock market,stock price,share price,shareholder,shareholders,equities,bull market,bear market,market crash,sell-off,selloff,short seller,short sellers,"
    "wall street,nasdaq,dow jones,s&p 500,nyse,ftse,nikkei,hang seng,earnings,earnings call,quarterly results,profit warning,dividend,dividends,buyback,buybacks,ipo,"
    "hedge fund,hedge funds,private equity,etf,etfs,bond market,bond yields,treasuries,treasury yields,credit rating,bankruptcy,chapter 11,layoffs,merger,takeover,"
    "antitrust,the fed,federal reserve,fomc,ecb,bank of england,interest rate,interest rates,rate cut,rate cuts,rate hike,rate hikes,inflation,cpi,gdp,recession,"
    "tariff,tariffs,crude oil,opec,gold price,bitcoin,"
    "股市,股票,股价,股價,股东,股東,A股,港股,美股,沪指,滬指,深成指,创业板,科创板,恒指,恒生指数,恆生指數,纳指,納指,标普,標普,道指,大盘,大盤,涨停,漲停,跌停,"
    "财报,財報,业绩,業績,营收,營收,净利,淨利,分红,分紅,回购,回購,减持,減持,增持,停牌,退市,上市公司,证监会,證監會,基金,债券,債券,国债,國債,违约,違約,"
    "央行,美联储,美聯儲,降息,加息,通胀,通脹,通膨,关税,關稅,汇率,匯率,原油,金价,金價,破产,破產,裁员,裁員,比特币,比特幣"
)
"""What a post on companies, markets or the economy says, and others seldom do."""

_CASHTAG = re.compile(r"(?<![\w$])\$[A-Z]{1,6}(?:\.[A-Z]{1,2})?(?![\w$])", re.IGNORECASE | re.ASCII)
_UNSPACED = "\u2e80"
"""From here on stand the scripts of East Asia, whose words no spaces divide."""
_COMMA = re.compile("[,，、]")


def listed(words: str) -> list[str]:
    """The words that commas divide.

    >>> listed("stocks, A股，港股,")
    ['stocks', 'A股', '港股']
    """
    return [word.strip() for word in _COMMA.split(words) if word.strip()]


@cache
def speaking(words: str) -> Callable[[str], bool]:
    """A function that says whether a text holds one of the words, which commas divide: Latin ones whole, Chinese ones anywhere, in any case.

    >>> speaks = speaking("$,IPO,股价")
    >>> speaks("two IPOs"), speaks("阿里IPO了"), speaks("茅台股价新低"), speaks("short $TSLA"), speaks("for $5")
    (False, True, True, True, False)
    """
    found = set(listed(words.lower()))
    cashtags = CASHTAGS in found
    automaton = ahocorasick.Automaton()
    for word in found - {CASHTAGS}:
        automaton.add_word(word, word)
    automaton.make_automaton()
    empty = not len(automaton)

    def speaks(text: str) -> bool:
        lowered = text.lower()
        if not empty and any(_stands_alone(lowered, end + 1 - len(word), end + 1) for end, word in automaton.iter(lowered)):
            return True
        return cashtags and _CASHTAG.search(text) is not None

    return speaks


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no letter before or behind makes the word another one."""
    return not (start > 0 and _is_joined(text[start - 1], text[start])) and not (end < len(text) and _is_joined(text[end - 1], text[end]))


def _is_joined(left: str, right: str) -> bool:
    return all((character.isalnum() or character == "_") and character < _UNSPACED for character in (left, right))
