from __future__ import annotations

import pytest

from models.story_names import names_of, terms_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Fenwick Bank to close 62 branches", ["fenwick"]),
        ("TALLIS DEVICES Q1", ["tallis", "devices"]),
        ("A fire damaged it. Deliveries will be late, Dexter said", ["dexter"]),
        ("Fire at a warehouse. The fire is out", []),
        ("渝川城商银行行长被查", ["渝川"]),
        ("鹿鸣消金要补血", ["鹿鸣"]),
        ("青峦电子:控股股东拟减持", ["青峦"]),
        ("中国银行与美国银行", []),
        ("今日开展7天期逆回购操作", []),
    ],
)
def test_names(text: str, expected: list[str]) -> None:
    assert names_of(text) == expected


def test_terms_are_words_and_pairs_of_characters() -> None:
    assert terms_of("Buy AI, buy 半导体") == ["buy", "ai", "半导", "导体"]
