from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.batching import ALIKE, WORTH_TOKENS, plan

LENGTHS = st.lists(st.integers(min_value=1, max_value=512), max_size=200)


@given(LENGTHS, st.integers(min_value=1, max_value=4096), st.integers(min_value=1, max_value=64))
def test_every_text_is_in_exactly_one_batch(lengths: list[int], most_tokens: int, most_documents: int) -> None:
    batches = plan(lengths, most_tokens=most_tokens, most_documents=most_documents)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))


@given(LENGTHS, st.integers(min_value=1, max_value=4096), st.integers(min_value=1, max_value=64))
def test_a_batch_keeps_both_limits_unless_one_text_alone_breaks_them(lengths: list[int], most_tokens: int, most_documents: int) -> None:
    for batch in plan(lengths, most_tokens=most_tokens, most_documents=most_documents):
        assert len(batch) <= most_documents
        assert len(batch) == 1 or max(lengths[index] for index in batch) * len(batch) <= most_tokens


def test_like_lengths_share_a_batch() -> None:
    assert plan([100, 1, 100, 1], most_tokens=200, most_documents=10) == [[1, 3], [0, 2]]


@given(LENGTHS)
def test_padding_never_costs_more_than_a_short_pass_and_a_quarter(lengths: list[int]) -> None:
    for batch in plan(lengths, most_tokens=4096, most_documents=64):
        found = sorted(lengths[index] for index in batch)
        assert found[-1] <= ALIKE * found[0] or (len(found) - 1) * found[-2] < WORTH_TOKENS


def test_nothing_waiting_is_no_batch() -> None:
    assert plan([], most_tokens=10, most_documents=10) == []
