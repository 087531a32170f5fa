"""Whether the words around an ambiguous name say that the company is meant: pure functions of the text and a span."""

from __future__ import annotations

import re

from models.company_names import HAN
from models.names_table import LIKELY

REACH = 28
"""Characters looked at on each side of a name: a verb or two."""

EN_STRONG_AFTER = re.compile(
    r"(?:['’]s)?,? +(?:inc|corp|corporation|co|ltd|limited|plc|group|holdings|shares?|stocks?|shareholders?|ceo|cfo|chief executive|market cap(?:itali[sz]ation)?|adrs?)\b"
    r"(?! (?:exchange|markets?|prices?|index|indices)\b)",
    re.IGNORECASE,
)
"""Legal forms and words for a company's equity: enough for every level."""
EN_STRONG_BEFORE = re.compile(r"\b(?:shares?|stocks?|stake|shareholders|investors) (?:of|in) (?:the )?$", re.IGNORECASE)
EN_AFTER = re.compile(
    r"(?:['’]s\b|,? (?:"
    r"investors|bonds|earnings|revenues?|results|profits?|dividend|sales|q[1-4]|(?:first|second|third|fourth)-quarter"
    r"|says?|said|reports?|reported|posts?|posted|beats?|miss(?:es|ed)?|raises?|raised|cuts?|lifts?|lifted|warns?|warned|plans?|announce[sd]?"
    r"|unveil(?:s|ed)?|launch(?:es|ed)|sues?|sued|faces|agree[sd]|hires|appoints|wins|won|loses|lost|halts?|recalls?|expands|considers|settles|buys|acquires|sells"
    r"|to (?:buy|acquire|sell|cut|lay|invest|launch|report|pay|close|open|build|raise|spin|shut|recall|split)"
    r"|falls?|fell|drop(?:s|ped)?|slides?|slid|slump(?:s|ed)?|plunge[sd]?|tumble[sd]?|sinks?|sank|dips?|jump(?:s|ed)?|surge[sd]?|soar(?:s|ed)?"
    r"|rall(?:ies|ied)|gain(?:s|ed)?|climb(?:s|ed)?|rises?|rose|hits|(?:is |was )?(?:down|up) (?:\d|on\b|after\b)|is (?:down|up)|downgraded|upgraded|shed|top(?:s|ped)"
    r")\b)",
    re.IGNORECASE,
)
"""What companies do in headlines: enough for a name that is most often the company."""
EN_BEFORE = re.compile(r"\b(?:maker|parent|giant|retailer|rival|owner|supplier|chipmaker|carmaker|lender|insurer|like|from|with|against|versus|vs\.?|sues|buy|sell|at) $")
PRICE_BEFORE = re.compile(r"\b(?:price|pt|the|a|an|its|no|our|my|this|that) $", re.IGNORECASE)
"""`price Target cut`, `the Gap widened`: the common word, whatever follows."""
SENTENCE_END = '.!?:;\n"“”|-—–•'
LOWER_WORD = re.compile(r"(?<![\w'’-])[a-z]{4,}")
CAPITAL_WORD = re.compile(r"(?<![\w'’-])[A-Z][A-Za-z]{3,}")

ZH_STRONG_AFTER = re.compile(
    r"[\s”’」》]*(?:股份|股价|公告|涨停|跌停|董事长|实控人|实际控制人|控股股东|大股东|披露|董事会|监事|独董|回购|减持|增持|停牌|复牌|定增|年报|半年报|季报|中报|业绩预告|[:：](?:拟|预计|上半年|前三季度|第?[一二三四]季度|子公司|公司|股东|控股|董事|累计|签|中标|获|净利|关于))"
)
ZH_STRONG_BEFORE = re.compile(r"(?:证券简称|股票简称|简称|上市公司|个股|龙头股|持有|买入|卖出|加仓|减仓|清仓|满仓)[:：]?[\s“‘「《]*$")
ZH_AFTER = re.compile(
    r"[\s”’」》]*(?:集团|公司|大?涨|大?跌|收涨|收跌|高开|低开|暴跌|暴涨|飙升|重挫|宣布|发布|推出|回应|表示|称|将于|计划|收购|裁员|财报|营收|净利|市值|创始人|旗下|股|被罚|被曝|遭|联手|携手|、|CEO|CFO|手机|汽车|云|系|[:：]|(?:20\d\d年)?(?:上半年|[一二三四]季度|前三季度|Q[1-4]))"
)
ZH_BEFORE = re.compile(r"(?:巨头|公司|厂商|平台|大厂|供应商|收购|起诉|做空|看好|看空|重仓|、|与|和)[\s“‘]*$")
JOIN_AFTER = re.compile(r"\s*(?:,|，|、|/|&|和|与|及|以及|\band\b|\bor\b)\s*")
JOIN_BEFORE = re.compile(r"\s*(?:,|，|、|/|&|和|与|及|以及|\band\b|\bor\b)\s*$")


def supports(text: str, start: int, *, end: int, level: int) -> bool:
    """True where the surroundings of text[start:end] say that the company is meant.

    >>> supports("Shares of Gap fell", 10, end=13, level=1), supports("The Gap widened", 4, end=7, level=1)
    (True, False)
    """
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    if HAN.match(text, start):
        strong = ZH_STRONG_AFTER.match(after) or ZH_STRONG_BEFORE.search(before)
        return bool(strong or (level == LIKELY and (ZH_AFTER.match(after) or ZH_BEFORE.search(before))))
    if PRICE_BEFORE.search(before):
        return False
    if EN_STRONG_AFTER.match(after) or EN_STRONG_BEFORE.search(before):
        return True
    return level == LIKELY and bool(EN_AFTER.match(after) or EN_BEFORE.search(before) or _capital_inside(text, start, end=end))


def listed_with(text: str, start: int, *, end: int, starts: frozenset[int], ends: frozenset[int]) -> bool:
    """True where the name stands in an enumeration beside a name that is sure: `Microsoft, Apple and ..`."""
    after = JOIN_AFTER.match(text, end)
    if after and after.end() in starts:
        return True
    window = max(0, start - 8)
    before = JOIN_BEFORE.search(text[window:start])
    return before is not None and window + before.start() in ends


def _capital_inside(text: str, start: int, *, end: int) -> bool:
    """A capital in the middle of a sentence of small letters, on a word that stands alone: a name, not the start of something longer."""
    if text[start:end].isupper() and end - start > 4:
        return False
    before = text[:start].rstrip()
    if not before or before[-1] in SENTENCE_END:
        return False
    around = text[max(0, start - 80) : start] + " " + text[end : end + 80]
    if len(LOWER_WORD.findall(around)) < max(2, len(CAPITAL_WORD.findall(around))):
        return False
    previous = before.rsplit(None, 1)[-1].lstrip("(\"'“‘")
    following = text[end : end + 3].lstrip(" ")
    next_joined = text[end : end + 1] == " " and following[:1].isupper()
    return not previous[:1].isupper() and not next_joined and text[end : end + 1] != "-"
