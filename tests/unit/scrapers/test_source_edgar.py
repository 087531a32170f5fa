from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations

import pytest
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceRateLimited, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.edgar import ADDRESS, SOURCE, parse
from tests.support.records import NOON

ACCESSION = "0001045810-26-000001"


def feed(**options: str) -> Feed:
    return fitted(Feed(source="edgar", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(*entries: str, charset: str = "iso-8859-1", **options: str) -> Parsed:
    body = f'<?xml version="1.0" encoding="ISO-8859-1"?><feed xmlns="http://www.w3.org/2005/Atom"><title>t</title>{"".join(entries)}</feed>'
    return parse(Response(url=ADDRESS, body=body.encode(charset), fetched_at=NOON), feed=feed(**options))


def entry(
    name: str = "NVIDIA CORP",
    cik: str = "0001045810",
    role: str = "Filer",
    *,
    form: str = "8-K",
    accession: str = ACCESSION,
    updated: str = "2026-11-20T17:30:48-05:00",
    items: str = "",
) -> str:
    return (
        f'<entry><title>{form} - {name} ({cik}) ({role})</title><link rel="alternate" href="https://www.sec.gov/Archives/edgar/data/{int(cik)}/x-index.htm"/>'
        f'<summary type="html">&lt;b&gt;Filed:&lt;/b&gt; 2026-11-20 &lt;b&gt;AccNo:&lt;/b&gt; {accession} &lt;b&gt;Size:&lt;/b&gt; 1 MB{items}</summary>'
        f'<updated>{updated}</updated><category scheme="https://www.sec.gov/" label="form type" term="{form}"/>'
        f"<id>urn:tag:sec.gov,2008:accession-number={accession}</id></entry>"
    )


def only(*entries: str, **options: str) -> Document:
    (document,) = read(*entries, **options).documents
    return document


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert asked.url == "https://www.sec.gov/cgi-bin/browse-edgar?action=getcurrent&type=8-K&owner=include&start=0&count=100&output=atom"
    assert (asked.headers, asked.form) == ({}, None)  # who asks is the setting user_agent's business


@pytest.mark.parametrize(("form", "asked"), [("4", "type=4&"), ("8-k/a", "type=8-K/A&"), ("SC 13D", "type=SC+13D&")])
def test_another_form_is_asked_for(form: str, asked: str) -> None:
    assert asked in SOURCE.request(feed(form=form), now=NOON).url


def test_the_operator_is_told_of_the_user_agent() -> None:
    assert "user_agent" in SOURCE.manners.terms


def test_a_filing_is_a_document() -> None:
    found = only(entry(items="&lt;br&gt;Item 2.02: Results of Operations&lt;br&gt;Item 9.01: Exhibits"))
    assert (found.doc_id, found.kind, found.publisher, found.lang) == (doc_id_of("edgar", ACCESSION), DocumentKind.FILING, "sec.gov", "en")
    assert (found.title, found.text) == ("8-K - NVIDIA CORP", "Item 2.02: Results of Operations\nItem 9.01: Exhibits")
    assert found.labels == {"form": "8-K", "items": ["2.02", "9.01"], "parties": [{"role": "Filer", "cik": "0001045810", "name": "NVIDIA CORP"}]}
    assert found.symbols == []


@pytest.mark.parametrize(
    ("updated", "at"),
    [
        ("2026-11-20T17:30:48-05:00", datetime(2026, 11, 20, 22, 30, 48, tzinfo=UTC)),
        ("2026-08-24T17:30:48-04:00", datetime(2026, 8, 24, 21, 30, 48, tzinfo=UTC)),
    ],
)
def test_times_are_instants_whatever_the_season(updated: str, at: datetime) -> None:
    found = only(entry(updated=updated))
    assert (found.published_at, found.published_precision) == (at, Precision.SECOND)


@pytest.mark.parametrize("updated", ["2026-11-20T17:30:48", "2026-11-25T17:30:48-05:00", "soon"])
def test_times_that_cannot_be_trusted_are_kept_as_they_came(updated: str) -> None:
    found = only(entry(updated=updated))
    assert (found.published_at, found.extra["published_raw"]) == (None, updated)


def test_parties_of_a_filing_are_merged_in_any_order() -> None:
    parties = [
        entry("ZED CORP", "0000000009", "Filer"),
        entry("ABLE INC", "0000000008", "Filer"),
        entry("TARGET CO", "0000000010", "Subject"),
        entry("Doe Jane", "0000000001", "Reporting"),
    ]
    found = [only(*some) for some in permutations(parties)]
    assert all(document == found[0] for document in found)
    assert (found[0].title, found[0].url) == ("8-K - TARGET CO", "https://www.sec.gov/Archives/edgar/data/10/x-index.htm")
    assert [(party["role"], party["cik"]) for party in found[0].labels["parties"]] == [
        ("Subject", "0000000010"),
        ("Filer", "0000000008"),
        ("Filer", "0000000009"),
        ("Reporting", "0000000001"),
    ]


def test_merging_is_no_problem() -> None:
    assert read(entry(), entry(), entry("OTHER", "0000000002")).problems == []
    assert len(only(entry(), entry()).labels["parties"]) == 1


def test_people_are_not_named() -> None:
    found = only(entry("Doe Jane", "0000000001", "Reporting", form="4"), form="4")
    assert "Doe" not in str(found)
    assert found.title == "4 - CIK 0000000001"


def test_only_the_very_form_is_kept() -> None:
    entries = [entry(form=form, accession=f"0001045810-26-{number:06}") for number, form in enumerate(["8-K", "8-K/A", "8-K12B"])]
    assert [document.labels["form"] for document in read(*entries).documents] == ["8-K"]
    assert [document.labels["form"] for document in read(*entries, form="8-k/a").documents] == ["8-K/A"]


def test_filings_keep_the_order_of_the_feed() -> None:
    numbers = [f"0001045810-26-00000{number}" for number in (3, 1, 2)]
    assert [document.native_id for document in read(*(entry(accession=number) for number in numbers)).documents] == numbers


@pytest.mark.parametrize("name", ["A (B) CO", "A - B CO", "8-K - CO", "CO /DE/"])
def test_names_with_signs_stay_whole(name: str) -> None:
    assert only(entry(name)).title == f"8-K - {name}"


def test_a_body_that_is_latin_1_is_read_as_such() -> None:
    assert only(entry("Peña")).title == "8-K - Peña"
    assert read(entry("Peña"), charset="utf-8").documents[0].title == "8-K - Peña"


def test_an_entry_without_number_costs_no_other() -> None:
    found = read(entry(accession="7"), entry())
    assert ([document.native_id for document in found.documents], [problem.reason for problem in found.problems]) == ([ACCESSION], ["invalid"])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html><body>Request Rate Threshold Exceeded</body></html>", SourceRateLimited),
        (b"<html><body>Your Request Originates from an Undeclared Automated Tool</body></html>", SourceWalled),
        (b"<html><body>maintenance</body></html>", PageChanged),
        (b'{"a":1}', PageChanged),
        (b"", PageChanged),
    ],
)
def test_refusals(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        parse(Response(url=ADDRESS, body=body, fetched_at=NOON), feed=feed())


def test_entities_are_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY a "aaaa">]><feed xmlns="http://www.w3.org/2005/Atom"><entry><title>&a;</title></entry></feed>'
    with pytest.raises(PageChanged, match="entities"):
        parse(Response(url=ADDRESS, body=bomb, fetched_at=NOON), feed=feed())
