from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from opinion.records import Document, Op
from scrapers.cursor import MOST_MARKS, MOST_VERSIONS, Seen, marks_of, remembered, unpublished
from tests.support.records import document


def worded(number: int, words: str) -> Document:
    return document(number, content_hash=words)


def test_an_item_is_published_once() -> None:
    fresh = unpublished([worded(1, "a"), worded(2, "b")], {})
    seen = remembered(fresh, {})
    assert [item.version for item in fresh] == [1, 1]
    assert unpublished([worded(2, "b"), worded(1, "a")], seen) == []


def test_an_edit_is_an_update_with_a_higher_version_under_the_same_id() -> None:
    first = unpublished([worded(1, "a")], {})
    (edited,) = unpublished([worded(1, "b")], remembered(first, {}))
    assert (edited.op, edited.version, edited.doc_id) == (Op.UPDATE, 2, first[0].doc_id)


def test_an_item_that_never_stops_changing_is_left_alone_after_a_while() -> None:
    seen: dict[str, Seen] = {}
    published = 0
    for turn in range(3 * MOST_VERSIONS):
        fresh = unpublished([worded(1, str(turn))], seen)
        published += len(fresh)
        seen |= remembered(fresh, seen)
    assert published == MOST_VERSIONS


def listed(number: int, words: str, *, at: str | None) -> Document:
    return document(number, content_hash=words, canonical_url=at)


def test_the_same_text_at_the_same_address_is_nothing_new_under_another_id() -> None:
    before = marks_of([listed(1, "a", at="https://x.example/1"), listed(2, "a", at=None)])
    now = [listed(3, "a", at="https://x.example/1"), listed(4, "b", at="https://x.example/1"), listed(5, "a", at="https://x.example/2"), listed(6, "a", at=None)]
    assert unpublished(now, {}, marks=before) == now[1:]


def test_an_edit_is_told_though_an_item_said_the_same_before() -> None:
    before = [listed(1, "a", at="https://x.example/1"), listed(2, "b", at="https://x.example/1")]
    (edited,) = unpublished([listed(1, "b", at="https://x.example/1")], remembered(before, {}), marks=marks_of(before))
    assert edited.op is Op.UPDATE


def test_no_more_items_are_known_by_their_texts_than_feeds_have() -> None:
    assert len(marks_of([listed(number, "a", at=f"https://x.example/{number}") for number in range(2 * MOST_MARKS)])) == MOST_MARKS


def test_what_is_still_listed_is_carried_over_to_today() -> None:
    old = {"feed:1": Seen(1, "a", today=False), "feed:2": Seen(2, "b")}
    assert remembered([], old) == {"feed:1": old["feed:1"]}


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), max_size=6, unique_by=lambda pair: pair[0]), max_size=8))
def test_however_a_feed_reorders_drops_and_repeats_its_items_versions_only_rise(polls: list[list[tuple[int, str]]]) -> None:
    seen: dict[str, Seen] = {}
    versions: dict[str, list[int]] = {}
    for poll in polls:
        fresh = unpublished([worded(number, words) for number, words in poll], seen)
        for item in fresh:
            versions.setdefault(item.doc_id, []).append(item.version)
        seen |= remembered(fresh, seen)
        assert unpublished([worded(number, words) for number, words in poll], seen) == []
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())


def test_a_deletion_is_told_once_and_nothing_brings_the_item_back() -> None:
    seen = remembered(unpublished([worded(1, "a")], {}), {})
    gone = replace(worded(1, "a"), op=Op.DELETE)
    told = unpublished([gone], seen)
    assert [(item.op, item.version) for item in told] == [(Op.DELETE, 2)]
    seen |= remembered(told, seen)
    assert unpublished([gone], seen) == []
    assert unpublished([worded(1, "a"), worded(1, "b")], seen) == []


def test_a_deletion_of_what_was_never_told_is_told_too() -> None:
    gone = replace(worded(1, "a"), op=Op.DELETE)
    assert [item.op for item in unpublished([gone], {})] == [Op.DELETE]


def test_a_deletion_says_what_is_gone_and_nothing_of_what_it_was() -> None:
    told = worded(1, "a")
    whole = replace(told, op=Op.DELETE, canonical_url=told.url, author_hash="b" * 64, labels={"native_sentiment": "bearish"}, extra={"http_status": 200}, symbols=["XNAS:AAPL"])
    for seen in ({}, {whole.doc_id: Seen(3, "a")}):
        (gone,) = unpublished([whole], seen)
        assert gone == Document(
            op=Op.DELETE,
            doc_id=told.doc_id,
            source="feed",
            publisher=told.publisher,
            kind=told.kind,
            native_id="1",
            fetched_at=told.fetched_at,
            version=4 if seen else 1,
        )
