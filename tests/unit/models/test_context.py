from __future__ import annotations

import pytest

from models.context import supports
from models.names_table import LIKELY, WEAK


def said(text: str, name: str, level: int) -> bool:
    start = text.index(name)
    return supports(text, start, end=start + len(name), level=level)


@pytest.mark.parametrize("text", ["Gap shares fell", "shares of Gap fell", "Gap Inc. fell", "the stake in Gap grew", "Gap CEO quits"])
def test_words_of_equity_are_enough_for_any_name(text: str) -> None:
    assert said(text, "Gap", WEAK)
    assert said(text, "Gap", LIKELY)


@pytest.mark.parametrize("text", ["Gap reports profit", "Gap's plan", "rival Gap", "analysts said that sales at old Gap were weak"])
def test_what_companies_do_is_enough_for_a_likely_name_alone(text: str) -> None:
    assert said(text, "Gap", LIKELY)
    assert not said(text, "Gap", WEAK)


@pytest.mark.parametrize("text", ["Gap widens", "The Gap widened", "Price Gap reported", "Gap Year Plans", "Mind the Gap shares a stage", "In London Gap Year students"])
def test_the_common_word_does_not_count(text: str) -> None:
    assert not said(text, "Gap", LIKELY)


def test_a_capital_says_nothing_in_a_headline_of_capitals() -> None:
    assert not said("Stocks Close Yawning Gap After Strong Data", "Gap", LIKELY)


def test_a_stock_exchange_is_not_a_stock() -> None:
    assert not said("Toronto stock exchange", "Toronto", WEAK)


@pytest.mark.parametrize("text", ["机器人股价大跌", "机器人公告称", "上市公司机器人昨日", "机器人涨停", "机器人：签订合同"])
def test_chinese_words_of_equity_are_enough(text: str) -> None:
    assert said(text, "机器人", WEAK)


@pytest.mark.parametrize("text", ["机器人行业", "机器人概念股", "机器人大涨", "人形机器人", "机器人：未来已来"])
def test_chinese_common_words_do_not_count(text: str) -> None:
    assert not said(text, "机器人", WEAK)


@pytest.mark.parametrize("text", ["阿里大涨5%", "阿里发布财报", "收购阿里", "阿里云降价"])
def test_chinese_brands_need_less(text: str) -> None:
    assert said(text, "阿里", LIKELY)
    assert not said(text, "阿里", WEAK)
