from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from models.story_index import MemoryEventIndex
from models.story_link import Signature, linked, signature_of
from models.story_numbers import agree, figures_of, number_of
from tests.support.meanings import signature
from tests.support.records import document

NOTES = [
    signature(f"{who} {what} {amount} million", meaning=meaning, hours=meaning)
    for who in ("Acme", "Borel")
    for what in ("wins", "loses")
    for amount in (120, 340)
    for meaning in (1, 2)
]
TELLINGS = st.lists(st.tuples(st.sampled_from([f"d{number}" for number in range(9)]), st.sampled_from(["st_a", "st_b", "st_c", "st_d"]), st.sampled_from(NOTES)), max_size=20)


@given(TELLINGS, st.integers(0, 20), st.integers(1, 5))
@settings(max_examples=60)
def test_redelivery_keeps_every_event(tellings: list[tuple[str, str, Signature]], again_from: int, step: int) -> None:
    async def twice() -> tuple[list[str], list[str]]:
        index = MemoryEventIndex()
        first = [event for at in range(0, len(tellings), step) for event in await index.assign(tellings[at : at + step])]
        return first, await index.assign(tellings[again_from:])

    first, second = asyncio.run(twice())
    assert second == first[again_from:]
    assert all(len({event for (doc_id, _, _), event in zip(tellings, first, strict=True) if doc_id == wanted}) == 1 for wanted, _, _ in tellings)


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_has_a_signature_that_is_linked_to_itself(title: str, text: str) -> None:
    made = signature_of(document(1, title=title, text=text), 0, (), None)
    assert linked(made, made) == 1.0


@given(st.text(st.sampled_from("0123456789.,%-+万亿成 bnm月年Q")))
def test_every_figure_can_be_read_back_and_agrees_with_itself(text: str) -> None:
    for form in figures_of(text)[0]:
        number = number_of(form)
        assert str(number) == form
        assert agree(number, number)
