"""What every source promises, over its samples in tests/data/<source>/. A new source is found by scanning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from opinion.clock import monotonic_s
from opinion.codec import checked, decode, encode
from opinion.errors import SourceError
from opinion.records import Document, Op
from scrapers.source import Source, all_sources
from tests.support.records import NOON
from tests.support.samples import DATA, EXPECTED, RECIPE, bodies_of, expectation_of, outcome, parsed

MOST_S = 5.0
"""Longest that reading one body may take: a poll interval of the fastest feeds."""

SOURCES = all_sources()
CASES = [pytest.param(source, body, id=f"{source.name}/{body.relative_to(DATA / source.name)}") for source in SOURCES for body in bodies_of(source.name)]

each_source = pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
each_body = pytest.mark.parametrize(("source", "body"), CASES)


def documents(source: Source, body: Path, *, days_later: int = 0) -> list[Document]:
    """The documents of a body; none where it is refused."""
    try:
        return parsed(source, body, fetched_at=NOON + timedelta(days=days_later)).documents
    except SourceError:
        return []


def instants(document: Document) -> Iterator[timedelta | None]:
    yield document.fetched_at.utcoffset()
    if document.published_at is not None:
        yield document.published_at.utcoffset()


@each_source
def test_a_source_has_samples(source: Source) -> None:
    assert bodies_of(source.name), RECIPE.format(name=source.name)


@each_source
def test_the_samples_hold_documents_and_refusals(source: Source) -> None:
    outcomes = [json.loads(expectation_of(body).read_bytes()) for body in bodies_of(source.name)]
    assert any(found.get("documents") for found in outcomes)
    assert any("error" in found for found in outcomes)


@each_source
def test_every_expectation_is_of_a_body(source: Source) -> None:
    expectations = set((DATA / source.name).rglob("*" + EXPECTED))
    assert expectations == {expectation_of(body) for body in bodies_of(source.name)}


@each_body
def test_a_body_gives_what_is_expected(source: Source, body: Path) -> None:
    began_s = monotonic_s()
    found = outcome(source, body)
    assert monotonic_s() - began_s < MOST_S
    assert found == json.loads(expectation_of(body).read_bytes())


@each_body
def test_the_same_body_gives_the_same_documents(source: Source, body: Path) -> None:
    assert documents(source, body) == documents(source, body)


@each_body
def test_ids_do_not_depend_on_when_a_body_was_fetched(source: Source, body: Path) -> None:
    ids = [(document.doc_id, document.content_hash) for document in documents(source, body)]
    assert ids == [(document.doc_id, document.content_hash) for document in documents(source, body, days_later=400)]


@each_body
def test_an_id_occurs_once_in_a_body(source: Source, body: Path) -> None:
    ids = [document.doc_id for document in documents(source, body)]
    assert len(ids) == len(set(ids))
    assert all(doc_id.startswith(f"{source.name}:") for doc_id in ids)


@each_body
def test_a_document_says_something_somewhere_sometime(source: Source, body: Path) -> None:
    for document in documents(source, body):
        assert document.title or document.text or document.op is Op.DELETE
        assert all(offset == timedelta(0) for offset in instants(document))
        assert (document.published_at is None) == (document.published_precision is None)
        for url in (document.url, document.canonical_url):
            assert url is None or url.startswith(("http://", "https://"))


@each_body
def test_a_document_survives_the_wire_and_its_checks(source: Source, body: Path) -> None:
    for document in documents(source, body):
        assert decode(encode(document), Document) == document
        assert checked(document) == document
