"""Figures and periods that a text states, in one form for English and Chinese, so that a retelling can be told from the next issue of a series.

Patterns alone, and so wrong now and then: evidence for or against a link, never an identity.
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import islice
from typing import NamedTuple

MOST_NUMBERS = 16
"""Figures kept, in the order of the text: a round-up has more, and its tail decides nothing."""
MOST_READ = 64
"""Figures looked at: a table pasted as text must not take longer than its reading is worth."""
SMALL = 13
"""Plain counts below this are soft: two boards, three plants and four people occur in any text."""
ROUNDED_FROM = 4
"""Power of ten from which one digit may be a rounded figure: nearly two hundred million for 190 million, but not 400 for 350."""

_WIDE_SCALES = {"万亿": 12, "千亿": 11, "百亿": 10, "十亿": 9, "亿": 8, "千万": 7, "百万": 6, "十万": 5, "万": 4, "千": 3}
_SCALES = _WIDE_SCALES | {
    **dict.fromkeys(("trillion", "trn", "tn"), 12),
    **dict.fromkeys(("billion", "bln", "bn", "b"), 9),
    **dict.fromkeys(("million", "mln", "mn", "m"), 6),
    **dict.fromkeys(("thousand", "k"), 3),
    "crore": 7,
    "lakh": 5,
    "hundred": 2,
}
_WIDE = "|".join(_WIDE_SCALES)
_CURRENCY_CODE = re.compile(r"\b(?:RMB|CNY|USD|EUR|GBP|HKD|JPY|INR|SEK|NOK|DKK|CHF|AUD|CAD|SGD|KRW|BRL|Rs\.?)(?=\d)")
_NUMBER = re.compile(
    r"(?<![A-Za-z\d.])(?P<sign>[+-])?(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?![\d.,]*\d)"
    rf"(?P<scale>{_WIDE}| ?(?:trillion|trn|tn|billion|bln|bn|million|mln|mn|thousand|crore|lakh)(?![a-z])|[bmk](?![a-z]))?"
    r"(?:[ -]?(?P<unit>%|per ?cent(?:age)?\b|pct\b|basis points?|bps?\b|个?百分点|个?基点))?"
    r"(?![A-Za-z])",
    re.IGNORECASE,
)
"""A letter before or behind makes it a product: X12, 5G."""
_TENTHS = re.compile(r"(?P<tenths>[一二两三四五六七八九])成(?![立为员交功本都品长果效分份年])")
_CHINESE = re.compile(rf"(?P<han>[一二两三四五六七八九十百]{{1,5}})(?P<han_scale>{_WIDE})?(?=[余多]?[名人家艘架辆条款个宗起座台倍只次天年批元港美欧股])")
_CHINESE_DIGITS = {character: number for number, character in enumerate("零一二三四五六七八九")} | {"两": 2}
_ENGLISH = re.compile(
    r"\b(?P<word>two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)\b"
    r"(?: (?P<word_scale>hundred|thousand|million|billion)\b)?",
    re.IGNORECASE,
)
_ENGLISH_DIGITS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15} | {
    f"{tens}ty": 10 * number for number, tens in enumerate(("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine"), 2)
}
_FIGURE = re.compile("|".join(f"(?:{pattern.pattern})" for pattern in (_NUMBER, _TENTHS, _CHINESE, _ENGLISH)), re.IGNORECASE)
_HEDGE = re.compile(
    r"(?:约|近|逾|超过?|接近|不足|至多|最多|about|around|nearly|almost|roughly|some|more than|over|up to|approximately|close to|at least)[^\d\w]{0,4}$", re.IGNORECASE
)
_WORDS_BETWEEN = r"(?:幅|了|约|近|逾|超过?|至多| by| about| nearly| almost| as much as)? ?$"
_FALLING = re.compile(rf"(?:跌|降|减少?|下滑|下调|下挫|少|\b(?:fell|falls?|dropp?(?:s|ed)?|slump(?:s|ed)?|down|plunged?|slid|sank|declined?)){_WORDS_BETWEEN}", re.IGNORECASE)
_RISING = re.compile(rf"(?:涨|升|增长?|增加|上调|\b(?:rose|rises?|up|gain(?:s|ed)?|grew|jump(?:s|ed)?|climb(?:s|ed)?|soar(?:s|ed)?)){_WORDS_BETWEEN}", re.IGNORECASE)

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
    r"|J(?:ANUARY|AN|UNE|UN|ULY|UL)|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|AUG(?:UST)?|SEPT?(?:EMBER)?|OCT(?:OBER)?|NOV(?:EMBER)?|DEC(?:EMBER)?)"
)
_NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "一": 1, "二": 2, "三": 3, "四": 4, "上": 1, "下": 2} | {str(number): number for number in range(1, 5)}
_PERIOD = re.compile(
    r"(?P<nine>前三季度|\b[Nn]ine months)"
    r"|\bQ(?P<q1>[1-4])\b|\b(?P<q2>[1-4])Q\b|\b(?P<q3>[Ff]irst|[Ss]econd|[Tt]hird|[Ff]ourth)[ -]quarter|第?(?P<q4>[一二三四1-4])季[度报]"
    r"|\bH(?P<h1>[12])\b|\b(?P<h2>[Ff]irst|[Ss]econd)[ -]half|(?P<h3>[上下])半年"
    r"|(?:(?P<zh_year>(?:19|20)\d\d)年)?(?<!\d)(?P<zh_month>1[0-2]|0?[1-9])月(?:(?P<zh_day>[0-3]?\d)[日号])?"
    rf"|\b(?P<month1>{_MONTH})\.? (?P<day1>[0-3]?\d)(?:st|nd|rd|th)?\b(?!,\d{{3}}|\.\d| ?%)(?:,? (?:19|20)\d\d\b)?"
    rf"|\b(?P<day2>[0-3]?\d)(?:st|nd|rd|th)? (?P<month2>{_MONTH})\b"
    rf"|\b(?!May|MAY)(?P<month3>{_MONTH})\b|\b(?:in|for|of|since|by|until|to|from|this) (?P<month4>May)\b"
    r"|(?<![\d.$€£¥])(?<!\d,)(?:FY ?)?(?P<year>(?:19|20)\d\d)(?:年|(?![\d.,]*\d|[a-z]| ?(?:万|亿|million|billion|bln|bn|mln|%|percent|[辆家元名人吨点股])))"
    r"|(?P<noise>\b\d{1,2}:\d\d(?::\d\d)?\b|[0-2]?\d时(?:[0-5]?\d分)?|[0-3]?\d日|第\d+|\b\d+(?:st|nd|rd|th)\b|\d+号)"
)
"""Read before the figures and taken out: which issue of a series, which hour, which rank. Clock times and bare days are dropped."""


class Number(NamedTuple):
    """One figure."""

    sign: str  # `+`, `-` or empty: only of percentages and basis points, where the text says so
    digits: str  # without zeros at the end
    exponent: int  # of the first digit
    unit: str  # `%`, `bp` or empty
    soft: bool  # rounded, spelt out or small: may agree, never contradicts

    def __str__(self) -> str:
        point = f".{self.digits[1:]}" if len(self.digits) > 1 else ""
        return f"{'~' if self.soft else ''}{self.sign}{self.digits[0]}{point}e{self.exponent}{self.unit}"


def figures_of(text: str) -> tuple[list[str], list[str]]:
    """The figures and the periods that a text (NFKC) states; see `number_of` for the form of a figure.

    >>> figures_of("May lose 1.8 billion yuan in Q3"), figures_of("三季度或亏损18亿元")
    ((['1.8e9'], ['q3']), (['1.8e9'], ['q3']))
    >>> figures_of("Sales fell 4.5%, to 1,800 million"), figures_of("截至5月31日，三成用户流失")
    ((['-4.5e0%', '1.8e9'], []), (['~3e1%'], ['m5', 'd5-31']))
    """
    periods: dict[str, None] = {}

    def take(match: re.Match[str]) -> str:
        periods.update(dict.fromkeys(_periods(match)))
        return "\n"

    rest = _PERIOD.sub(take, _CURRENCY_CODE.sub(" ", text))
    numbers = dict.fromkeys(str(number) for match in islice(_FIGURE.finditer(rest), MOST_READ) if (number := _number(match, rest)) is not None)
    return list(numbers)[:MOST_NUMBERS], list(periods)[:MOST_NUMBERS]


def number_of(form: str) -> Number:
    """The figure written as mantissa, exponent and unit; `~` before it says soft.

    >>> number_of("~-4.5e0%")
    Number(sign='-', digits='45', exponent=0, unit='%', soft=True)
    """
    soft = form.startswith("~")
    form = form.removeprefix("~")
    sign = form[0] if form[0] in "+-" else ""
    mantissa, _, tail = form.removeprefix(sign).partition("e")
    exponent = tail.rstrip("%bp")
    return Number(sign, mantissa.replace(".", ""), int(exponent), tail[len(exponent) :], soft)


def agree(one: Number, other: Number) -> bool:
    """Whether both may be the same figure, one of them perhaps rounded.

    >>> agree(number_of("2.1306e4"), number_of("2.1e4")), agree(number_of("8.65e4"), number_of("8.72e4")), agree(number_of("+3.1e1%"), number_of("~3e1%"))
    (True, False, True)
    """
    if one.exponent != other.exponent or one.unit != other.unit or (one.sign and other.sign and one.sign != other.sign):
        return False
    short, long = sorted((one, other), key=lambda number: len(number.digits))
    if len(short.digits) == len(long.digits):
        return short.digits == long.digits
    if len(short.digits) < 2 and not (short.soft and (short.unit or short.exponent >= ROUNDED_FROM)):
        return False
    kept = int(long.digits[: len(short.digits)])
    return int(short.digits) in (kept, kept + (long.digits[len(short.digits)] >= "5"))


def _periods(match: re.Match[str]) -> list[str]:
    found = {name: value for name, value in match.groupdict().items() if value is not None and name != "noise"}
    answer = []
    for name, value in found.items():
        kind = name.rstrip("1234")
        if kind in ("q", "h"):
            answer.append(f"{kind}{_NTH[value.lower()]}")
        elif kind in ("zh_month", "month"):
            month = int(value) if value.isdigit() else 1 + _MONTH_NAMES.index(value[:3].lower())
            day = found.get("zh_day") or found.get("day1") or found.get("day2")
            answer += [f"m{month}"] + ([f"d{month}-{int(day)}"] if day else [])
        elif kind in ("zh_year", "year"):
            answer.append(f"y{value}")
        elif kind == "nine":
            answer.append("h9")
    return answer


def _number(match: re.Match[str], text: str) -> Number | None:
    groups = match.groupdict()
    before = text[max(0, match.start() - 16) : match.start()]
    hedged = _HEDGE.search(before) is not None
    if groups["digits"] is not None:
        return _written(groups, before, hedged=hedged)
    if groups["tenths"] is not None:
        value, unit = Decimal(10 * _CHINESE_DIGITS[groups["tenths"]]), "%"
    elif groups["han"] is not None:
        value, unit = Decimal(_spelt(groups["han"])).scaleb(_SCALES.get(groups["han_scale"] or "", 0)), ""
    else:
        value, unit = Decimal(_ENGLISH_DIGITS[groups["word"].lower()]).scaleb(_SCALES.get((groups["word_scale"] or "").lower(), 0)), ""
    return _canonical(value, unit=unit, sign="", soft=True)


def _written(groups: dict[str, str | None], before: str, *, hedged: bool) -> Number | None:
    scale = _SCALES.get((groups["scale"] or "").strip().lower(), 0)
    value = Decimal((groups["digits"] or "0").replace(",", "")).scaleb(scale)
    raw = (groups["unit"] or "").lower()
    unit = "" if not raw else "bp" if raw.startswith("b") or "基点" in raw else "%"
    sign = groups["sign"] or ("-" if _FALLING.search(before) else "+" if _RISING.search(before) else "")
    small = not unit and not scale and value < SMALL and value == value.to_integral_value()
    return _canonical(value, unit=unit, sign=sign if unit else "", soft=hedged or small)


def _canonical(value: Decimal, *, unit: str, sign: str, soft: bool) -> Number | None:
    if not value:
        return None
    digits = "".join(map(str, value.as_tuple().digits)).lstrip("0").rstrip("0")
    return Number(sign, digits, value.adjusted(), unit, soft)


def _spelt(han: str) -> int:
    """The value of a Chinese number below a thousand, as far as these few characters go."""
    total, digit = 0, 0
    for character in han:
        if character in "十百":
            total += (digit or 1) * (10 if character == "十" else 100)
            digit = 0
        else:
            digit = _CHINESE_DIGITS[character]
    return total + digit
