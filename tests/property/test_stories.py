from __future__ import annotations

import asyncio
import re

from hypothesis import given
from hypothesis import strategies as st

from models.stories import MemoryStoryIndex
from models.story_text import NORMAL_CHARS, normal_form, story_id_of
from tests.support.records import document

BODY = st.text(st.sampled_from("abcdefgh 重组业绩增长亏损 0123456789,，。%"), min_size=60, max_size=200).filter(lambda text: len(re.sub(r"\W", "", text)) >= 45)
MARKS = st.sampled_from(["RT @desk: {}", "{} https://t.co/x1", "(Reuters) - {}", "{}\n责任编辑：李四", "{}（完）", "【快讯】{}", "\U0001f6a8 {}", "//@某人: {}", "{} Read more"])


def story(text: str) -> str:
    return story_id_of(document(1, title="", text=text))


@given(st.text(max_size=400))
def test_the_normal_form_of_a_normal_form_is_itself(text: str) -> None:
    once = normal_form(text)
    assert normal_form(once) == once
    assert len(once) <= NORMAL_CHARS


@given(BODY, MARKS)
def test_reprint_marks_do_not_change_the_story(text: str, mark: str) -> None:
    body = "x" + text + "y"  # no mark of its own at either end
    assert story(mark.format(body)) == story(body)


@given(BODY, st.data())
def test_changing_any_digit_changes_the_story(text: str, data: st.DataObject) -> None:
    body = "x5" + text + "y"
    place = data.draw(st.sampled_from([match.start() for match in re.finditer(r"\d", body)]))
    digit = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != body[place]]))
    assert story(body[:place] + digit + body[place + 1 :]) != story(body)


@given(st.text(max_size=300), st.text(max_size=300))
def test_the_story_does_not_depend_on_when_or_by_whom(title: str, text: str) -> None:
    first = document(1, title=title, text=text)
    assert story_id_of(first) == story_id_of(document(1, title=title, text=text, publisher="other.example", url=None, published_at=None))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("pqrstu")), max_size=30), st.integers(0, 30))
def test_redelivery_keeps_every_place(tellings: list[tuple[str, str]], again_from: int) -> None:
    batch = [(story_id, doc_id, 1_000) for story_id, doc_id in tellings]

    async def twice() -> tuple[list[int], list[int]]:
        index = MemoryStoryIndex()
        return await index.observe(batch), await index.observe(batch[again_from:])

    first, second = asyncio.run(twice())
    assert second == first[again_from:]
