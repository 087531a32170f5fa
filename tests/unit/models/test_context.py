from __future__ import annotations

import pytest

from models.context import NO_TOPIC, listed_with, straddled, supports
from models.names_table import LIKELY, LISTED, WEAK, Topic

AIRLINE = Topic(words=("flight", "pilot", "Ed Bastian", "航班"), vetoes=("river", "gamma"))
GRAIN = Topic(words=("手机", "雷军"), vetoes=("玉米", "斤"))


def said(text: str, name: str, level: int, topic: Topic = NO_TOPIC) -> bool:
    start = text.index(name)
    return supports(text, start, end=start + len(name), level=level, topic=topic)


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


@pytest.mark.parametrize(
    "text", ["Delta has more flights in June", "Ed Bastian spoke for Delta", "a pilot’s union at Delta", "the Delta flight was late", "Delta Pilots Vote on Strike"]
)
def test_the_words_of_its_trade_speak_for_a_company(text: str) -> None:
    assert said(text, "Delta", WEAK, AIRLINE)
    assert not said(text, "Delta", WEAK)


@pytest.mark.parametrize("text", ["Delta and gamma fell as flights resumed", "the Delta is a river, said a pilot", "x" * 300 + " flights"])
def test_what_speaks_of_something_else_or_far_away_does_not(text: str) -> None:
    assert not said(text.replace("x" * 300, "Delta " + "x" * 300), "Delta", LIKELY, AIRLINE)


def test_equity_outweighs_a_veto() -> None:
    assert said("Delta shares rose beside the river", "Delta", WEAK, AIRLINE)


@pytest.mark.parametrize("text", ["Mekong Delta pilots", "Delta Dental covers pilots", "Delta Kappa said a pilot joined", "the Nile Delta flight"])
def test_a_capital_beside_it_makes_another_name(text: str) -> None:
    assert not said(text.replace("the ", "near "), "Delta", WEAK, AIRLINE)


@pytest.mark.parametrize("text", ["Anglo American CEO quits after a long fight", "his stake in United Spirits fell again"])
def test_a_word_of_equity_belongs_to_the_whole_name(text: str) -> None:
    assert not said(text, "American" if "American" in text else "United", WEAK)


@pytest.mark.parametrize("text", ["Former Gap CEO sees discounts", "investors like Gap stores now", "an Gap supplier closed"])
def test_small_words_and_roles_leave_the_name_alone(text: str) -> None:
    assert said(text, "Gap", LIKELY)


@pytest.mark.parametrize("text", ["it has 3M users", "sold 3M barrels", "3M LIBOR fell", "over 3M fell", "GDP (3M/3M) rose", "He sold 3M shares of it"])
def test_an_amount_is_no_company(text: str) -> None:
    assert not said(text, "3M", LIKELY)


@pytest.mark.parametrize("text", ["3M shares sink", "the stake in 3M rose", "rules that 3M must pay", "3M to pay a fine"])
def test_a_name_that_looks_like_an_amount_may_be_the_company(text: str) -> None:
    assert said(text, "3M", LIKELY)


def test_a_name_for_lists_needs_a_list() -> None:
    assert not said("American shares fell", "American", LISTED, AIRLINE)


@pytest.mark.parametrize("text", ["雷军透露小米今年加大投入", "小米新手机开售"])
def test_chinese_products_and_people_speak_for_a_company(text: str) -> None:
    assert said(text, "小米", LIKELY, GRAIN)


@pytest.mark.parametrize("text", ["小米、玉米和手机一起卖", "一斤小米换一部手机", "小米丰收"])
def test_chinese_vetoes_hold(text: str) -> None:
    assert not said(text, "小米", LIKELY, GRAIN)


def test_a_weak_chinese_name_must_begin_something() -> None:
    assert said("小米的手机降价", "小米", WEAK, GRAIN)
    assert not said("大家吃小米也玩手机", "小米", WEAK, GRAIN)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("千万科研经费", "万科"),
        ("中国人寿命延长", "中国人寿"),
        ("京东方面回应", "京东方"),
        ("完美的开局", "美的"),
        ("全新东方舞剧", "新东方"),
        ("严格力度", "格力"),
        ("在建行业标准", "建行"),
    ],
)
def test_a_name_across_two_words_is_seen(text: str, name: str) -> None:
    start = text.index(name)
    assert straddled(text, start, end=start + len(name))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("上海万科地产", "万科"),
        ("中国人寿保费", "中国人寿"),
        ("京东方扩产", "京东方"),
        ("收购美的集团", "美的"),
        ("新东方股价", "新东方"),
        ("格力电器", "格力"),
        ("海天下调价格", "海天"),
    ],
)
def test_a_name_between_words_is_left_alone(text: str, name: str) -> None:
    start = text.index(name)
    assert not straddled(text, start, end=start + len(name))


@pytest.mark.parametrize(("text", "name", "sure"), [("苹果、三星、小米", "苹果", "小米"), ("Ford, Nissan and Tesla", "Ford", "Tesla"), ("Tesla, and Ford", "Ford", "Tesla")])
def test_an_enumeration_may_hold_one_unknown_thing(text: str, name: str, sure: str) -> None:
    start, known = text.index(name), text.index(sure)
    assert listed_with(text, start, end=start + len(name), starts=frozenset({known}), ends=frozenset({known + len(sure)}))


def test_a_sentence_is_no_enumeration() -> None:
    text = "苹果降价，市场担心小米"
    assert not listed_with(text, 0, end=2, starts=frozenset({text.index("小米")}), ends=frozenset())
