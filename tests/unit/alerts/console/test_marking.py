from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from alerts.console.marking import marked


@given(st.text(max_size=60), st.lists(st.text(max_size=4), max_size=5))
def test_pieces_together_are_the_text_again(text: str, words: list[str]) -> None:
    runs = marked(text, words)
    assert "".join(piece for piece, _ in runs) == text
    assert all(first[1] != second[1] for first, second in pairwise(runs))


def test_a_word_is_not_marked_inside_another_but_chinese_has_no_spaces() -> None:
    assert marked("cut profits, shortcut", ["cut"]) == [("cut", True), (" profits, shortcut", False)]
    assert marked("公司召回产品", ["召回"]) == [("公司", False), ("召回", True), ("产品", False)]


def test_words_that_touch_or_overlap_are_one_mark() -> None:
    assert marked("盘中跌停了", ["跌停", "停了"]) == [("盘中", False), ("跌停了", True)]
    assert marked("", ["x"]) == []
