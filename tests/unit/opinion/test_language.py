from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opinion.language import detect


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("AAPL up", "en"),
        ("Velmora Foods Q2 net profit slides 38% on cocoa costs", "en"),
        ("$KRVO to the moon", "en"),
        ("La Quinta and Das Keyboard rise in the US", "en"),
        ("$AAPL https://t.co/abc", "en"),
        ("又是一字跌停，跑都跑不掉", "zh-Hans"),
        ("AAPL涨停了，iPhone 卖爆", "zh-Hans"),
        ("買了 Berkshire Hathaway 的股票，這次虧損慘重", "zh-Hant"),
        ("台積電營收創新高，外資買超", "zh-Hant"),
        ("大吉大利の股票", "zh-Hans"),
        ("トヨタの純利益が増加した", "und"),
        ("삼성전자 주가 상승", "und"),
        ("Газпром отчитался о прибыли", "und"),
        ("Le chiffre d'affaires de la société est en hausse dans les services", "und"),
        ("Das Unternehmen meldet einen Rekordgewinn für das dritte Quartal", "und"),
        ("La empresa anuncia pérdidas de 40 millones de euros por los costes", "und"),
        ("", "und"),
        ("12.5% +++ 🚀", "und"),
    ],
)
def test_language_of_known_texts(text: str, lang: str) -> None:
    assert detect(text) == lang


@given(st.text())
def test_every_text_has_one_of_four_tags(text: str) -> None:
    assert detect(text) in {"en", "zh-Hans", "zh-Hant", "und"}


def test_a_name_in_brackets_does_not_make_an_english_text_chinese() -> None:
    assert detect("Kweichow Moutai (贵州茅台) reported higher quarterly profit on strong demand") == "en"
