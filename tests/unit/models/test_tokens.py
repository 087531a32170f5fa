from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.tokens import CHARS_PER_TOKEN, Tokens, judged_text
from opinion.errors import ModelLoadError
from tests.support.model import tiny_directory


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tiny_directory(tmp_path_factory.mktemp("model")) / "tokenizer.json", max_tokens=24)


@given(st.text(max_size=300), st.text(max_size=300))
def test_every_character_is_where_it_was_or_a_blank(title: str, text: str) -> None:
    joined = f"{title}\n{text}" if title and text else title or text
    judged = judged_text(title, text, max_tokens=16)
    assert len(judged) == min(len(joined), 16 * CHARS_PER_TOKEN)
    assert all(after in (" ", before) for before, after in zip(joined, judged, strict=False))


def test_links_control_characters_and_surrogates_are_not_judged() -> None:
    assert judged_text("", "up https://t.co/abc \x00\ud800 5%", max_tokens=32).split() == ["up", "5%"]


def test_a_text_is_cut_before_it_is_tokenised() -> None:
    assert len(judged_text("t" * 10**6, "x" * 10**6, max_tokens=128)) == 128 * CHARS_PER_TOKEN


def test_no_text_has_more_tokens_than_allowed(tokens: Tokens) -> None:
    assert [len(ids) for ids in tokens.ids(["", "x y " * 100])] == [len(tokens.ids([""])[0]), 24]


def test_spans_point_at_what_the_pieces_say(tokens: Tokens) -> None:
    text = "ab 涨停"
    found = [text[start:end].strip() for start, end in tokens.pieces(text).spans if end]
    assert "".join(found) == "ab涨停"


def test_a_limit_that_leaves_no_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="leaves no room"):
        Tokens(tmp_path / "tokenizer.json", max_tokens=3)
