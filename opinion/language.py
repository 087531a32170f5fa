"""Which language a text is in, from its script and its commonest words: a microsecond, no model, no memory."""

from __future__ import annotations

import re

SAMPLE_CHARS = 2_000
"""How much of a text is looked at: a title and a lead decide, the rest repeats it."""
HAN_SHARE = 0.2
"""Share of Han characters among letters from which a text is Chinese: posts mix tickers and product names in."""
KANA_SHARE = 0.25
"""Share of kana among Han and kana from which a text is Japanese; a Chinese post may hold a stray の."""

_LETTERS = re.compile(r"[^\W\d_]+")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]+")
_KANA = re.compile("[\u3041-\u30ff]+")
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]+")
_WORDS = re.compile("[a-z\u00df-\u024f]+")
_LINKS = re.compile(r"https?://\S+|[$#@]\w+")

_TRADITIONAL = frozenset(
    "們個來為時過國學對發會經關與東車長門問間電話語說論證這麼業務報導總統資產買賣價貨銀錢財漲賺虧損盤股東權轉從後應單億萬幾還沒實現機構預計開戶歲級認識聯準歐標準優勢際壓力勞動據點處環節"
)
_SIMPLIFIED = frozenset(
    "们个来为时过国学对发会经关与东车长门问间电话语说论证这么业务报导总统资产买卖价货银钱财涨赚亏损盘股东权转从后应单亿万几还没实现机构预计开户岁级认识联准欧标准优势际压力劳动据点处环节"
)
_ONLY_TRADITIONAL = _TRADITIONAL - _SIMPLIFIED
_ONLY_SIMPLIFIED = _SIMPLIFIED - _TRADITIONAL

_ENGLISH = frozenset(
    re.findall(r"\w+", "the of and to in for is on with by from at as its after that this are has will be it was you not but how what why than over says said up down more")
)
_OTHER_LATIN = frozenset(  # commonest words of French, German, Spanish, Portuguese, Italian, Dutch and Swedish that English does not use
    re.findall(
        r"\w+",
        "le la les des une du dans pour que qui sur avec aux der die das und den dem ein eine von mit für ist auf nicht zu el los las del por para con una "
        "se su más dos da em não uma ao il di che della nel sono het een van voor niet och att som är på",
    )
)


def detect(text: str) -> str:
    """The BCP 47 tag of the text's language: `en`, `zh-Hans`, `zh-Hant`, or `und` for all others and for texts without letters.

    >>> detect("公司净利润同比增长"), detect("公司淨利潤同比增長，資產總額"), detect("Shares slide 5%"), detect("12.5%")
    ('zh-Hans', 'zh-Hant', 'en', 'und')
    """
    sample = _LINKS.sub(" ", text[:SAMPLE_CHARS])
    letters = _length(_LETTERS, sample)
    if not letters:
        return "en" if _LATIN.search(text[:SAMPLE_CHARS]) else "und"  # only links and cashtags: our feeds write those in English
    han, kana = _length(_HAN, sample), _length(_KANA, sample)
    if kana > KANA_SHARE * (han + kana):
        return "und"
    if han >= HAN_SHARE * letters:
        return _chinese(sample)
    if _length(_LATIN, sample) < letters / 2:
        return "und"
    return _latin(sample)


def _length(runs: re.Pattern[str], sample: str) -> int:
    """How many characters the runs hold together."""
    return sum(map(len, runs.findall(sample)))


def _chinese(sample: str) -> str:
    traditional = sum(map(_ONLY_TRADITIONAL.__contains__, sample))
    simplified = sum(map(_ONLY_SIMPLIFIED.__contains__, sample))
    return "zh-Hant" if traditional > simplified else "zh-Hans"


def _latin(sample: str) -> str:
    """English unless the small words say otherwise: headlines often hold none at all."""
    words = _WORDS.findall(sample.lower())
    english = sum(word in _ENGLISH for word in words)
    other = sum(word in _OTHER_LATIN for word in words)
    return "und" if other >= 2 and other > english else "en"
