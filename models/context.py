"""Whether the words around an ambiguous name say that the company is meant: pure functions of the text and a span."""

from __future__ import annotations

import re
from functools import cache

from models.company_names import HAN
from models.names_table import LIKELY, LISTED, Topic, company_words

REACH = 28
"""Characters looked at on each side of a name: a verb or two."""
TOPIC_REACH, TOPIC_REACH_ZH = 200, 70
"""Characters on each side in which a company's products and people speak for it: the sentence and the next one."""
NO_TOPIC = Topic()

EN_STRONG_AFTER = re.compile(
    r"(?:['’]s)?,? +(?:inc|corp|corporation|co|ltd|limited|plc|group|holdings|shares?|stocks?|shareholders?|ceo|cfo|chief executive|market cap(?:itali[sz]ation)?|adrs?)\b"
    r"(?! (?:exchange|markets?|prices?|index|indices)\b)",
    re.IGNORECASE,
)
"""Legal forms and words for a company's equity: enough for every level."""
EN_LEGAL_AFTER = re.compile(r",? (?:Inc|Corp|Corporation|Ltd|plc|PLC|Co\.)(?![\w])")
EN_STRONG_BEFORE = re.compile(r"\b(?:shares?|stocks?|stake|shareholders|investors) (?:of|in) (?:the )?$", re.IGNORECASE)
EN_AFTER = re.compile(
    r"(?:['’]s\b|,? (?:"
    r"investors|bonds|earnings|revenues?|results|profits?|dividend|sales|q[1-4]|(?:first|second|third|fourth)-quarter"
    r"|says?|said|reports?|reported|posts?|posted|beats?|miss(?:es|ed)?|raises?|raised|cuts?|lifts?|lifted|warns?|warned|plans?|announce[sd]?"
    r"|unveil(?:s|ed)?|launch(?:es|ed)|sues?|sued|faces|agree[sd]|hires|appoints|wins|won|loses|lost|halts?|recalls?|expands|considers|settles|buys|acquires|sells"
    r"|trim(?:s|med)|names|named|expects|hikes|hiked|boosts|boosted|promise[sd]|guides|guided|doubles|doubled|recalled|acquired|hired|appointed|settled"
    r"|sold|agreed|bought|swung|earned"
    r"|asked|spun|pledged|signed|shipped|tested|tests|picks|picked|chose|paid|pays|added|adds|built|builds|scraps|scrapped|shelves|shelved|invests|invested"
    r"|partners with|partnered|teams up|teamed"
    r"|joins|joined|fires|fired|taps|tapped|merges|merged|stops|stopped|offers|offered|denies|rejects|confirms|confirmed|disclosed|told|wants|seeks|sought"
    r"|eyes|weighs|mulls|explores|reveals|revealed"
    r"|introduces|introduced|rolls out|rolled out|slashes|slashed|lays off|laid off|idles|idled|pauses|paused|suspends|lowers|lowered|swings|leads|led"
    r"|scales|bets|puts? off|shows|showed|pulls|pulled|drops|snaps up|names"
    r"|is (?:buying|selling|cutting|planning|considering|building|testing|in talks)"
    r"|will (?:buy|sell|cut|pay|build|spend|invest|launch|lay|stop|raise|add|hire|report|use|let|make|expand|spin|split|move|idle|trim|recall)"
    r"|to (?:buy|acquire|sell|cut|lay|invest|launch|report|pay|close|open|build|raise|spin|shut|recall|split)"
    r"|falls?|fell|drop(?:s|ped)?|slides?|slid|slump(?:s|ed)?|plunge[sd]?|tumble[sd]?|sinks?|sank|dips?|jump(?:s|ed)?|surge[sd]?|soar(?:s|ed)?"
    r"|rall(?:ies|ied)|gain(?:s|ed)?|climb(?:s|ed)?|rises?|rose|hits|(?:is |was )?(?:down|up) (?:\d|on\b|after\b)|is (?:down|up)|downgraded|upgraded|shed|top(?:s|ped)"
    r")\b)",
    re.IGNORECASE,
)
"""What companies do in headlines: enough for a name that is most often the company."""
EN_BEFORE = re.compile(
    r"\b(?:maker|parent|giant|retailer|rival|owner|supplier|chipmaker|carmaker|lender|insurer|like|from|with|against|versus|vs\.?|sues|buy|sell|at"
    r"|supplies|supplied|sued|fined|fines|owned by|made by|led by|run by|joined|beats|tops|overtakes) $"
)
EN_BOOKS = re.compile(r"\b(?:quarter(?:ly)?|q[1-4]|profits?|revenues?|earnings|guidance|outlook|dividend|buyback|shares|eps|ceo|cfo|layoffs)\b", re.IGNORECASE)
"""Beside what companies do, enough for a weak name too."""
PRICE_BEFORE = re.compile(r"\b(?:price|pt|the|a|an|its|no|our|my|this) $", re.IGNORECASE)
"""`price Target cut`, `the Gap widened`: the common word, whatever follows."""
GENERAL_BEFORE = re.compile(r"\b(?:for|on|of|in|and|into) $", re.IGNORECASE)
"""`software for Financial Institutions`: two capitals that may be no name."""
EN_ROLE_AFTER = re.compile(
    r"['’]?s? (?:suppliers?|stores?|executives?|engineers?|spokes(?:man|woman|person)|employees?|workers|lawyers?|customers?|factory|factories|plants?|dealers?"
    r"|subsidiary|unit|warehouses?|founder)\b"
)
"""`an Apple supplier`: the article is of the word behind the name."""
SENTENCE_END = '.!?:;\n"“”|-—–•'
LOWER_WORD = re.compile(r"(?<![\w'’-])[a-z]{4,}")
CAPITAL_WORD = re.compile(r"(?<![\w'’-])[A-Z][A-Za-z]{3,}")
WORD_BEFORE = re.compile(r"([\w.&'’-]+) $")
CAPITAL_AFTER = re.compile(r" ([A-Z][\w&'’-]*)")
SMALL_ROLE = re.compile(
    r"a|about|after|against|american|amid|an|and|are|as|at|before|between|british|but|buy|by|can|chinese|could|does|ex|for|former|from|giant|group|has|how"
    r"|if|in|inside|into|is|japanese|korean"
    r"|like|may|meet|more|near|new|not|of|on|or|over|own|says|sell|shares|since|so|stocks|than|that|the|then|though|to|under|until|up|via|vs|was|watch|what"
    r"|when|where|which|while|who|why|will"
    r"|with|would|yet|your",
    re.IGNORECASE,
)
"""Words that begin with a capital in a headline or a sentence and are no part of the name behind them."""
AMOUNT_NAME = re.compile(r"\d+[A-Z]")
"""`3M` looks like an amount, a term or a share of time."""
AMOUNT_BEFORE = re.compile(
    r"(?:[$€£¥\d]|\b(?:over|about|around|nearly|almost|some|than|another|sold|sells|bought|raised|raises|shipped|added|to|up|last|past|next|first|plus|gained|lost|a|the|per) )$",
    re.IGNORECASE,
)
AMOUNT_AFTER = re.compile(
    r" (?:users?|people|barrels?|units?|customers?|views?|followers?|tons?|tonnes|subscribers?|households|jobs|shares (?:of|in|at|traded|outstanding)"
    r"|libor|sofr|euribor|shibor|tenor|yields?|t-?bills?|implied|high|low|chg|change|and \d|vs|bpd|bbl|in |for |on ipo|dollars|euros|usd)|/",
    re.IGNORECASE,
)

ZH_STRONG_AFTER = re.compile(
    r"[\s”’」》]*(?:股份|股价|公告|涨停|跌停|董事长|实控人|实际控制人|控股股东|大股东|披露|董事会|监事|独董|回购|减持|增持|停牌|复牌|定增|年报|半年报|季报|中报|业绩预告|[:：](?:拟|预计|上半年|前三季度|第?[一二三四]季度|子公司|公司|股东|控股|董事|累计|签|中标|获|净利|关于))"
)
ZH_STRONG_BEFORE = re.compile(r"(?:证券简称|股票简称|简称|上市公司|个股|龙头股|持有|买入|卖出|加仓|减仓|清仓|满仓)[:：]?[\s“‘「《]*$")
ZH_CORPORATE = re.compile(
    r"(?:拟|筹划|中标|重整|子公司|被立案|收到|收购(?!价)|重组|定增|终止|分红|派息|扭亏|预亏|预增|[:：](?:筹划|重大|重组|停牌|终止|收到|回购|被|与|因|将|向|一季|二季|三季|四季)"
    r"|(?:20\d\d年)?(?:[一二三四]季度|上半年|前三季度|全年)?(?:净利|营收|归母|扣非|亏损|盈利)|[^，。；！？\n]{1,14}，股价(?:应声|一度|盘中|[大收]?[涨跌]|创|走|连))"
)
"""What is said of a listed company alone: enough for a word that opens a clause."""
ZH_OPENING = re.compile(r"(?:^|[，。；！？\n】\s])$")
ZH_AFTER = re.compile(
    r"[\s”’」》]*(?:集团|公司|大?涨|大?跌|收涨|收跌|高开|低开|暴跌|暴涨|飙升|重挫|宣布|发布|推出|回应|表示|称|将于|计划|收购|裁员|财报|营收|净利|市值|创始人|旗下|股|被罚|被曝|遭|联手|携手|跟进|终止|上调|下调|召回|起诉|否认|承认|警告|关闭|停产|扩产"
    r"|拆分|扭亏|任命|换帅|中标|签约|获批|投产|复产|更名|澄清|续约|退出|进军|入股|出售|考虑|拟|再度|证实|拒绝|押注|新品|门店|员工|工厂|首席|高管|总裁|旗舰|CEO|CFO|手机|汽车|云|系|[:：]|(?:20\d\d年)?(?:上半年|[一二三四]季度|前三季度|Q[1-4]))"
)
ZH_BEFORE = re.compile(r"(?:巨头|公司|厂商|平台|大厂|供应商|收购|起诉|做空|看好|看空|重仓)[\s“‘]*$")
ZH_EDGE = re.compile(r"(?:^|[^\u4e00-\u9fff]|[与和及或对向由被给让称说曝在从据悉]|巨头|龙头|公司|厂商|品牌|旗下|老板|收购|入股|持有|代工厂)$")
"""Where a Chinese name can begin that is mostly a word."""
JOIN_REACH = 24
"""Characters between two names of an enumeration."""
ITEM = r"(?:、[\u4e00-\u9fffA-Za-z]{1,8}(?=[、和与及])|, [A-Z][\w.&'-]*(?: [A-Z][\w.&'-]*)?(?=,| and ))?"
"""One thing in an enumeration that no table knows: `苹果、三星、小米`."""
JOIN_AFTER = re.compile(ITEM + r"\s*(?:, and\b|, or\b|,|，|、|/|&|和|与|及|以及|\band\b|\bor\b)\s*")
JOIN_BEFORE = re.compile(ITEM + r"\s*(?:, and\b|, or\b|,|，|、|/|&|和|与|及|以及|\band\b|\bor\b)\s*")
PARTICLES_AFTER, PARTICLES_BEFORE = frozenset("的了地得和与及等"), frozenset("的了和与及在将把被对")
"""Single characters that are words: what is left of `最美|的`, `成长|和|价值` once a neighbour has taken its share."""


def supports(text: str, start: int, *, end: int, level: int, topic: Topic = NO_TOPIC) -> bool:
    """True where the surroundings of text[start:end] say that the company is meant.

    >>> supports("Shares of Gap fell", 10, end=13, level=1), supports("The Gap widened", 4, end=7, level=1)
    (True, False)
    >>> supports("Gap hung its Old Navy signs", 0, end=3, level=1, topic=Topic(words=("Old Navy",)))
    True
    """
    if level == LISTED:
        return False
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    if HAN.match(text, start):
        if ZH_STRONG_AFTER.match(after) or ZH_STRONG_BEFORE.search(before) or (ZH_OPENING.search(before) and ZH_CORPORATE.match(after)):
            return True
        if vetoed(text, start, end=end, topic=topic):
            return False
        if level == LIKELY and (ZH_AFTER.match(after) or ZH_BEFORE.search(before)):
            return True
        return _on_topic(text, start, end=end, topic=topic) and (level == LIKELY or bool(ZH_EDGE.search(before)) or _adjacent(after, topic))
    return _supports_latin(text, start, end=end, level=level, topic=topic)


def _supports_latin(text: str, start: int, *, end: int, level: int, topic: Topic) -> bool:
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    owned = bool(EN_STRONG_BEFORE.search(before))
    if _is_amount(text, start, end=end, owned=owned):
        return False
    if EN_LEGAL_AFTER.match(after):
        return True
    if PRICE_BEFORE.search(before) and not owned:
        role = level == LIKELY and bool(EN_ROLE_AFTER.match(after))
        return role or (_adjacent(after, topic) and not vetoed(text, start, end=end, topic=topic))
    if _in_longer_name(text, start, end=end, strict=level != LIKELY, topic=topic):
        return False
    strong = owned or bool(EN_STRONG_AFTER.match(after))
    if strong or vetoed(text, start, end=end, topic=topic):
        return strong
    return _acts(text, start, end=end, level=level, topic=topic) or _on_topic(text, start, end=end, topic=topic)


def _acts(text: str, start: int, *, end: int, level: int, topic: Topic) -> bool:
    """True where the name does or undergoes what companies do, or is written as a name where nothing else makes it one."""
    before, after = text[max(0, start - REACH) : start], text[end : end + REACH]
    several = " " in text[start:end]
    if EN_AFTER.match(after) and (level == LIKELY or several or (after[0] == " " and topic.words and EN_BOOKS.search(text, end, end + 80))):
        return True
    if level == LIKELY and EN_BEFORE.search(before):
        return True
    return (level == LIKELY or (several and not GENERAL_BEFORE.search(before))) and _capital_inside(text, start, end=end)


def _is_amount(text: str, start: int, *, end: int, owned: bool) -> bool:
    """True for `3M users` and `over 3M`, not for the company."""
    if not AMOUNT_NAME.fullmatch(text, start, end):
        return False
    return bool(AMOUNT_AFTER.match(text, end) or (not owned and AMOUNT_BEFORE.search(text[max(0, start - REACH) : start])))


def has_article(text: str, start: int) -> bool:
    """True for `the Amazon`, which is the river."""
    return text[max(0, start - 4) : start].lower() == "the "


def vetoed(text: str, start: int, *, end: int, topic: Topic) -> bool:
    """True where the surroundings speak of something else of that name."""
    return bool(topic.vetoes) and _near(text, start, end=end, words=topic.vetoes)


def straddled(text: str, start: int, *, end: int) -> bool:
    """True where words end and begin inside a Chinese name: `千万|科研` is no 万科, `中国人|寿命` no 中国人寿.

    >>> straddled("千万科研经费", 1, end=3), straddled("万科地产", 0, end=2)
    (True, False)
    """
    words = company_words()
    left, right = text[start - 1 : start + 1], text[end - 1 : end + 1]
    from_left, from_right = start > 0 and left in words, right in words
    if end - start == 2:
        return (from_left and (from_right or text[start + 1] in PARTICLES_AFTER)) or (from_right and text[start] in PARTICLES_BEFORE)
    return (from_left and text[start + 1 : end] in words) or (from_right and text[start : end - 1] in words)


def listed_with(text: str, start: int, *, end: int, starts: frozenset[int], ends: frozenset[int]) -> bool:
    """True where the name stands in an enumeration beside a name that is sure: `Microsoft, Apple and ..`."""
    after = JOIN_AFTER.match(text, end)
    if after and after.end() in starts:
        return True
    return any(end in ends and JOIN_BEFORE.fullmatch(text, end, start) for end in range(max(0, start - JOIN_REACH), start))


@cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    """Any of the words: Latin ones whole, with a plural s or none."""
    ordered = sorted(words, key=len, reverse=True)
    latin = "|".join(re.escape(word) for word in ordered if word.isascii())
    han = "|".join(re.escape(word) for word in ordered if not word.isascii())
    return re.compile("|".join(part for part in (han, rf"(?<![A-Za-z])(?:{latin})(?:e?s|['’]s)?(?![A-Za-z])" if latin else "") if part), re.IGNORECASE)


def _near(text: str, start: int, *, end: int, words: tuple[str, ...]) -> bool:
    reach = TOPIC_REACH_ZH if HAN.match(text, start) else TOPIC_REACH
    pattern = _pattern(words)
    return bool(pattern.search(text, max(0, start - reach), start) or pattern.search(text, end, end + reach))


def _on_topic(text: str, start: int, *, end: int, topic: Topic) -> bool:
    return bool(topic.words) and _near(text, start, end=end, words=topic.words)


def _adjacent(after: str, topic: Topic) -> bool:
    """True where a word of the topic comes next: `the Delta flight`."""
    return bool(topic.words) and bool(_pattern(topic.words).match(after.removeprefix(" ")))


def _in_longer_name(text: str, start: int, *, end: int, strict: bool, topic: Topic) -> bool:
    """True where a capital beside the name makes it part of another: `Mekong Delta`, `Apple Bank`.

    In a headline every word has a capital; there only the word before counts, and only for names that are mostly words (`strict`).
    """
    headline = _is_headline(text, start, end=end)
    following = CAPITAL_AFTER.match(text, end)
    if (
        following
        and (strict or not headline)
        and not (EN_AFTER.match(text, end) or EN_STRONG_AFTER.match(text, end) or _adjacent(text[end : end + REACH], topic) or SMALL_ROLE.fullmatch(following[1]))
    ):
        return True
    previous = WORD_BEFORE.search(text[max(0, start - REACH) : start])
    if previous is None or not previous[1][0].isupper() or (headline and not strict):
        return False
    word = previous[1]
    if SMALL_ROLE.fullmatch(word) or word[-1] in ".'’" or word.endswith(("'s", "’s")) or EN_BEFORE.search(word.lower() + " "):
        return False
    return not (topic.words and _pattern(topic.words).fullmatch(word))


def _is_headline(text: str, start: int, *, end: int) -> bool:
    around = text[max(0, start - 80) : start] + " " + text[end : end + 80]
    return len(LOWER_WORD.findall(around)) < max(2, len(CAPITAL_WORD.findall(around)))


def _capital_inside(text: str, start: int, *, end: int) -> bool:
    """A capital in the middle of a sentence of small letters, on a word that stands alone: a name, not the start of something longer."""
    if text[start:end].isupper() and end - start > 4:
        return False
    before = text[:start].rstrip()
    if (not before or before[-1] in SENTENCE_END) and " " not in text[start:end]:
        return False
    if _is_headline(text, start, end=end):
        return False
    previous = before.rsplit(None, 1)[-1].lstrip("(\"'“‘") if before and before[-1] not in SENTENCE_END else ""
    following = text[end : end + 3].lstrip(" ")
    next_joined = text[end : end + 1] == " " and following[:1].isupper()
    return not previous[:1].isupper() and not next_joined and text[end : end + 1] != "-"
