"""How companies are named: the short forms that people write, out of the long form that a listing gives."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

TRADITIONAL = Path(__file__).parent / "datasets" / "securities" / "traditional.txt"
"""Traditional characters and, on the line below, their simplified ones: those that occur in names."""

LEGAL = re.compile(
    r"[\s,]+(?:incorporated|inc|corporation|corp|company|co|limited|ltd|plc|p\.l\.c|public limited company|n\.?v|s\.?a|s\.?e|a\.?g|a\.?b|asa|oyj|l\.?p|llc|& co|and company)\.?$",
    re.IGNORECASE,
)
"""A legal form at the end of a name."""
STRUCTURE = re.compile(r"[\s,]+(?:holdings?|group|companies|\(holdings\)|\(group\)|\(holding co(?:mpany)?\))$", re.IGNORECASE)
"""A word that tells of the firm's structure and that people leave out."""
CLASS_NOTE = re.compile(r"\s*\((?:class [a-z]|d/b/a|reit)\)$|\s+(?:class [a-z]|reit)$", re.IGNORECASE)
TRAILING_ARTICLE = re.compile(r"\s*\((?:the|eli)\)$", re.IGNORECASE)
"""`Gap, Inc. (The)`: listings put the article, and one first name, behind."""
LISTING_MARKS = re.compile(r"^(?:\*?ST|S\*?ST|XD|XR|DR|N|C)(?=[\u4e00-\u9fff])|-(?:U|W|UW|WD|SW|S|B|R|P|X)+$")
"""What an exchange adds to a Chinese short name: special treatment, ex-dividend day, voting rights, no profit yet."""
HAN = re.compile(r"[\u4e00-\u9fff]")


def plain(name: str) -> str:
    """The name with straight quotes and single spaces.

    >>> plain("O’Reilly  Automotive")
    "O'Reilly Automotive"
    """
    return " ".join(name.replace("’", "'").replace("‘", "'").replace("–", "-").split())


def simplified(text: str) -> str:
    """The text with the traditional characters that names are written with simplified; every position stays.

    >>> simplified("滙豐、國泰航空")
    '汇丰、国泰航空'
    """
    forms, traditional = _simple_forms()
    return text.translate(forms) if traditional.search(text) else text


@cache
def _simple_forms() -> tuple[dict[int, int], re.Pattern[str]]:
    lines = [line for line in TRADITIONAL.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return str.maketrans("".join(lines[::2]), "".join(lines[1::2])), re.compile(f"[{''.join(lines[::2])}]")


def without_form(name: str) -> str:
    """The name without article, share class and legal form, as a newspaper prints it.

    >>> without_form("Gap, Inc. (The)")
    'Gap'
    >>> without_form("Alibaba Group Holding Limited")
    'Alibaba Group Holding'
    """
    name = TRAILING_ARTICLE.sub("", CLASS_NOTE.sub("", plain(name)))
    name = name.removeprefix("The ").removeprefix("THE ")
    return _strip(name, LEGAL)


def short_forms(name: str) -> list[str]:
    """The forms of an English name that may stand for it in a text, longest first.

    >>> short_forms("Alibaba Group Holding Limited")
    ['Alibaba Group Holding Limited', 'Alibaba Group Holding', 'Alibaba']
    >>> short_forms("Apple Inc.")
    ['Apple Inc.', 'Apple']
    """
    core = without_form(name)
    bare = _strip(_strip(core, STRUCTURE), LEGAL)
    forms = [plain(CLASS_NOTE.sub("", TRAILING_ARTICLE.sub("", name))), core, bare]
    return [form for form in dict.fromkeys(forms) if len(form) > 1]


def chinese_base(name: str) -> str:
    """The Chinese short name without an exchange's marks.

    >>> chinese_base("*ST金科"), chinese_base("百利天恒-U"), chinese_base("万 科Ａ")
    ('金科', '百利天恒', '万科')
    """
    name = "".join(name.split()).replace("Ａ", "A").replace("Ｂ", "B")
    name = LISTING_MARKS.sub("", name)
    return name[:-1] if name[-1:] in ("A", "B") and HAN.match(name) else name


def _strip(name: str, pattern: re.Pattern[str]) -> str:
    """Cut `pattern` from the end as often as it fits, but leave a name."""
    while (shorter := pattern.sub("", name).rstrip(" ,")) != name and len(shorter) > 1:
        name = shorter
    return name
