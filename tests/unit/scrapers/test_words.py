from __future__ import annotations

import pytest

from scrapers.words import FINANCE, listed, speaking

ON_FINANCE = [
    "$AAPL to the moon",
    "Is $brk.b cheap?",
    "Stocks slump.",
    "the S&P 500 is down",
    "Chapter 11, says the court",
    "茅台股价创新低",
    "今天A股怎么了",
    "港股IPO遇冷",
    "聯準會降息了",
    "美联储加息预期",
]
ON_OTHERS = ["I fed my cat", "stockings", "tips: $5 or $AAPL1 or US$$", "livestocks", "merging lanes", "我的猫睡了", "shared a post", "$", "", "ecbatana", "_stocks_"]


@pytest.mark.parametrize("text", ON_FINANCE)
def test_posts_on_finance_are_taken(text: str) -> None:
    assert speaking(FINANCE)(text)


@pytest.mark.parametrize("text", ON_OTHERS)
def test_others_are_not(text: str) -> None:
    assert not speaking(FINANCE)(text)


def test_letters_around_a_latin_word_make_it_another_but_chinese_ones_do_not() -> None:
    speaks = speaking("Tesla")
    assert [speaks(text) for text in ("Teslas", "aTesla", "Tesla's", "买Tesla吧", "TESLA", "été-Tesla", "éTesla", "Tesla2")] == [False, False, True, True, True, True, False, False]


def test_a_cashtag_may_be_meant_by_name_or_any() -> None:
    assert [speaking("$aapl")(text) for text in ("$AAPL", "$AAPLX", "$MSFT")] == [True, False, False]
    assert [speaking("$")(text) for text in ("$AAPL", "$AAPL,", "stocks")] == [True, True, False]


def test_the_words_of_finance_are_each_said_once() -> None:
    words = [word.lower() for word in listed(FINANCE)]
    assert len(words) == len(set(words))
    assert len(words) > 100
