from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from opinion.codec import MAX_TEXT_CHARS, checked, decode, encode
from opinion.errors import EmptyDocument, InvalidRecord, RecordError, Undecodable, UnknownSchema
from opinion.records import Document, ScoredDocument
from tests.support.records import document, scored


def wire(**changes: Any) -> bytes:
    fields = json.loads(encode(document()))
    return json.dumps(fields | changes).encode()


def test_document_survives_the_round_trip() -> None:
    assert decode(encode(document()), Document) == document()
    assert decode(encode(scored()), ScoredDocument) == scored()


def test_equal_records_give_equal_bytes() -> None:
    assert encode(scored(3)) == encode(decode(encode(scored(3)), ScoredDocument))


def test_unknown_fields_are_ignored() -> None:
    assert decode(wire(invented_later=1), Document) == document()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (None, Undecodable),
        (b"", Undecodable),
        (b"\xff\xfe\x00", Undecodable),
        (b"{", Undecodable),
        (b"[" * 5000, InvalidRecord),
        (b'{"extra": ' + b"[" * 5000, InvalidRecord),
        (b'{"unknown": ' + b"[" * 5000, Undecodable),
        (b"[1]", InvalidRecord),
        (wire(schema=2), UnknownSchema),
        (wire(schema=2, kind="hologram"), UnknownSchema),
        (wire(schema=0), InvalidRecord),
        (wire(kind="hologram"), InvalidRecord),
        (wire(fetched_at="2026-11-23T09:30:00"), InvalidRecord),
        (wire(fetched_at="yesterday"), InvalidRecord),
        (wire(version="two"), InvalidRecord),
        (b'{"schema": 1}', InvalidRecord),
    ],
)
def test_bad_bytes_get_a_named_error(data: bytes | None, error: type[RecordError]) -> None:
    with pytest.raises(error):
        decode(data, Document)


def test_invalid_record_names_the_field() -> None:
    with pytest.raises(InvalidRecord, match="fetched_at"):
        decode(wire(fetched_at=7), Document)


def test_nul_and_lone_surrogates_are_removed() -> None:
    assert checked(document(title="a\x00b", text="c\ud800d\te")).title == "ab"
    assert checked(document(title="a\x00b", text="c\ud800d\te")).text == "cd\te"


def test_document_without_words_is_refused() -> None:
    with pytest.raises(EmptyDocument):
        checked(document(title=" \x00", text="\n"))


def test_deletion_needs_no_words() -> None:
    assert checked(document(op="delete", title="", text="")).op == "delete"


def test_a_megabyte_of_text_is_cut_and_marked() -> None:
    cut = checked(document(text="跌" * 1_000_000))
    assert len(cut.text) == MAX_TEXT_CHARS
    assert cut.extra["truncated"] is True


def test_future_publication_is_dropped_but_kept_raw() -> None:
    base = document()
    late = checked(document(published_at=base.fetched_at + timedelta(hours=1)))
    assert late.published_at is None
    assert late.extra["published_raw"].startswith("2026-11-23T13")


def test_clock_skew_of_minutes_is_believed() -> None:
    base = document()
    ahead = base.fetched_at + timedelta(minutes=5)
    assert checked(document(published_at=ahead)).published_at == ahead


def test_missing_id_is_refused() -> None:
    with pytest.raises(InvalidRecord):
        checked(document(doc_id=""))
