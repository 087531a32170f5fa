from __future__ import annotations

import pytest

from models.story_numbers import MOST_NUMBERS, agree, figures_of, number_of


def numbers(text: str) -> list[str]:
    return figures_of(text)[0]


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("a loss of 1.8 billion yuan", "亏损18亿元"),
        ("1,800 million yuan", "18亿元"),
        ("raise 20 billion", "募资200亿元"),
        ("48,600 cars", "4.86万辆"),
        ("280,000 tonnes a year", "年产28万吨"),
        ("put in 450m euros", "出资4.5亿欧元"),
        ("assets of 1.31 trillion", "资产1.31万亿"),
        ("shares of $58", "每股58美元"),
        ("618,000 yuan", "61.8万元"),
        ("2 crore shares", "2000万股"),
    ],
)
def test_both_languages_write_one_amount_alike(english: str, chinese: str) -> None:
    assert numbers(english) == numbers(chinese) != []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sales fell 4.5%", ["-4.5e0%"]),
        ("销售额同比下降4.5%", ["-4.5e0%"]),
        ("up 60 percent", ["+6e1%"]),
        ("涨幅60%", ["+6e1%"]),
        ("-3.2%", ["-3.2e0%"]),
        ("a rate of 2.25 per cent", ["2.25e0%"]),
        ("上调48个基点", ["+4.8e1bp"]),
        ("by 25 basis points", ["2.5e1bp"]),
        ("不良率上升0.6个百分点", ["+6e-1%"]),
    ],
)
def test_percentages_keep_sign_and_unit(text: str, expected: list[str]) -> None:
    assert numbers(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("三成用户", ["~3e1%"]), ("nearly 2 million", ["~2e6"]), ("four people", ["~4e0"]), ("9人受伤", ["~9e0"]), ("约9.2亿", ["~9.2e8"])])
def test_what_is_rounded_spelt_out_or_small_is_soft(text: str, expected: list[str]) -> None:
    assert numbers(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Q3 revenue", ["q3"]),
        ("third-quarter revenue", ["q3"]),
        ("第三季度营收", ["q3"]),
        ("上半年净利", ["h1"]),
        ("first-half profit", ["h1"]),
        ("截至5月31日", ["m5", "d5-31"]),
        ("as of 31 May", ["m5", "d5-31"]),
        ("payable April 3", ["m4", "d4-3"]),
        ("in May", ["m5"]),
        ("JULY 4", ["m7", "d7-4"]),
        ("2026年", ["y2026"]),
        ("from 2028", ["y2028"]),
        ("5月交付", ["m5"]),
    ],
)
def test_periods_are_no_figures(text: str, expected: list[str]) -> None:
    assert figures_of(text) == ([], expected)


@pytest.mark.parametrize("text", ["X12 phones", "5G network", "at 13:50", "明火于5时20分扑灭", "25日晚间", "第18位", "the 3rd time", "1号机组", "may fall", "none"])
def test_codes_hours_ranks_and_bare_days_are_nothing(text: str) -> None:
    assert figures_of(text) == ([], [])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2.1306e4", "2.1e4", True),
        ("1.87e8", "1.9e8", True),
        ("8.65e4", "8.72e4", False),
        ("1.8e9", "1.8e8", False),
        ("6e0%", "6e0", False),
        ("+6e0%", "-6e0%", False),
        ("6e0%", "-6e0%", True),
        ("~3e1%", "3.1e1%", True),
        ("3e1%", "3.1e1%", False),
        ("~2e8", "1.9e8", True),
        ("~4e2", "3.5e2", False),
    ],
)
def test_figures_agree_up_to_rounding(one: str, other: str, *, same: bool) -> None:
    assert agree(number_of(one), number_of(other)) is agree(number_of(other), number_of(one)) is same


@pytest.mark.parametrize("form", ["1.8e9", "~-4.5e0%", "+2.5e1bp", "4.2e-1"])
def test_a_figure_is_written_as_it_is_read(form: str) -> None:
    assert str(number_of(form)) == form


def test_a_list_of_figures_is_cut() -> None:
    assert len(numbers(" ".join(str(1000 + number) + "," for number in range(100)))) == MOST_NUMBERS
    assert numbers("0 and 0.0%") == []
