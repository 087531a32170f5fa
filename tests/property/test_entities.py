from __future__ import annotations

from functools import cache
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from models.entities import Linker, linked_text
from tests.support.records import document

PARTS = [
    "Tesla",
    "Apple",
    "shares of Apple",
    "$TSLA",
    "(600519)",
    "腾讯",
    "机器人",
    "阿里、",
    "NYSE: IBM",
    "00700.HK",
    "Gap",
    "İ",
    "\x00",
    "\ud800",
    "$",
    "(",
    "平安",
    "高通胀",
    " ",
    ", ",
    "。",
    "\n",
    "sales fell",
    "x",
]
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PARTS), max_size=25).map("".join))


@cache
def linker() -> Linker:
    return Linker.load()


@given(TEXTS, TEXTS, st.sampled_from(["en", "zh-Hans", "und"]), st.lists(st.sampled_from(["XNAS:TSLA", "XSHG:600519", "odd", ""]), max_size=3))
def test_linking_any_text_gives_sound_entities(title: str, text: str, lang: str, symbols: list[str]) -> None:
    item = document(1, title=title, text=text, lang=lang, symbols=symbols)
    entities = linker().link(item)
    shown = linked_text(item)
    assert entities == linker().link(item)
    assert len({entity.id for entity in entities}) == len(entities)
    for entity in entities:
        assert 0 < entity.relevance <= 1
        assert all(0 <= start < end <= len(shown) for start, end in entity.spans)
        assert all(first[1] <= second[0] for first, second in pairwise(entity.spans))


@given(TEXTS)
def test_a_sure_mention_added_in_front_is_always_found(text: str) -> None:
    assert "XNAS:NVDA" in {entity.id for entity in linker().link(document(1, title="", text=f"Nvidia. {text}"))}
