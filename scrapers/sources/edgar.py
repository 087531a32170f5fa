"""SEC EDGAR: the newest filings of one form, e.g. 8-K, from the Atom feed of current filings. One document a filing: who, what form, which items.

The feed lists a filing once for each party (filer, issuer, reporting owner), under one accession number: they are merged here. Names of reporting
owners, who are people as a rule, are left out. Wire format as of 2026-11-23, as client code reads it; the lines of a summary from general knowledge;
not tried against the live site, which answers only those who name themselves and an address in the User-Agent.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import SourceRateLimited, SourceWalled
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.dates import read_date
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.sources.feed import entries_of
from scrapers.text import one_line, plain_text
from scrapers.urls import absolute_url
from scrapers.wire import text_of

NAME = "edgar"
ADAPTER_VERSION = 1
ADDRESS = "https://www.sec.gov/cgi-bin/browse-edgar"
FORM = "8-K"
ROWS = 100
"""Most entries that the feed gives at once."""

_ACCESSION = re.compile(r"accession-number=(\d{10}-\d{2}-\d{6})", re.ASCII)
_PARTY = re.compile(r"(?P<name>.*?)\s*\((?P<cik>\d{1,10})\)\s*\((?P<role>[^()]{1,40})\)", re.ASCII)
_ITEM = re.compile(r"Item (\d{1,2}(?:\.\d\d)?)\b", re.ASCII)
_COMPANIES = ("Issuer", "Subject", "Filer", "Filed by")
"""Roles whose holder a filing is about, or is at least a company as a rule; in this order one gives the title."""


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A filing as one of its parties has it."""

    accession: str
    form: str
    name: str
    cik: str
    role: str
    url: str | None
    updated: str
    summary: str

    @property
    def order(self) -> tuple[int, str]:
        """Its place among the parties, whatever the order in the feed."""
        return (_COMPANIES.index(self.role) if self.role in _COMPANIES else len(_COMPANIES), self.cik)

    @property
    def party(self) -> dict[str, str]:
        """What is kept of it."""
        kept = {"role": self.role, "cik": self.cik, "name": self.name if self.role in _COMPANIES else ""}
        return {key: value for key, value in kept.items() if value}


def ask(feed: Feed, now: datetime) -> Ask:
    """The newest filings whose form begins with the wished one: `type` asks for no more."""
    del now
    asked = {"action": "getcurrent", "type": _form(feed), "owner": "include", "start": "0", "count": str(ROWS), "output": "atom"}
    return Ask(url=f"{ADDRESS}?{urlencode(asked, safe='/')}")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The filings of exactly the wished form, each once, in the order of the feed.

    Errors:
        PageChanged: no feed.
        SourceRateLimited: too many requests.
        SourceWalled: the site does not know who asks.
    """
    text = text_of(response)
    _refuse(text)
    problems: list[Problem] = []
    items: list[Item | Problem] = []
    filings: defaultdict[str, list[_Entry]] = defaultdict(list)
    for raw in entries_of(text, problems):
        entry = _entry(raw, base=response.url)
        if isinstance(entry, Problem):
            items.append(entry)
        elif entry.form == _form(feed):
            filings[entry.accession].append(entry)
    items += [_item(sorted(entries, key=lambda entry: entry.order), response=response) for entries in filings.values()]
    return documents_of([*problems, *items], source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _form(feed: Feed) -> str:
    return feed.option("form", FORM).strip().upper()


def _refuse(text: str) -> None:
    """Raise for the site's own pages of refusal, which say what to do."""
    if "Request Rate Threshold Exceeded" in text:
        raise SourceRateLimited("too many requests to sec.gov, whose limit is ten a second from all programs together", wait_s=600)
    if "Undeclared Automated Tool" in text:
        raise SourceWalled("sec.gov wants to know who asks: put a name and a mail address into the setting user_agent")


def _entry(raw: dict[str, Any], *, base: str) -> _Entry | Problem:
    accession = _ACCESSION.search(_field(raw, "id"))
    form = next((str(tag.get("term") or "").strip().upper() for tag in dict.get(raw, "tags") or [] if tag.get("label") == "form type"), "")
    if accession is None or not form:
        return Problem("invalid", f"{one_line(_field(raw, 'title'))[:100] or 'an entry'} has no accession number or no form")
    title = one_line(_field(raw, "title"))
    named = title[len(form) :].removeprefix(" - ") if title.upper().startswith(f"{form} - ") else title
    party = _PARTY.fullmatch(named)
    return _Entry(
        accession=accession[1],
        form=form,
        name=party["name"] if party else named,
        cik=party["cik"].zfill(10) if party else "",
        role=party["role"].strip() if party else "Filer",
        url=absolute_url(_field(raw, "link"), base=base),
        updated=_field(raw, "updated"),
        summary=_field(raw, "summary"),
    )


def _field(raw: dict[str, Any], key: str) -> str:
    """What the entry itself says: feedparser's own `get` invents `updated` from `published`."""
    return str(dict.get(raw, key) or "").strip()


def _item(parties: list[_Entry], *, response: Response) -> Item:
    """A filing; its parties come in their order."""
    first = parties[0]
    published_at, precision = read_date(first.updated, fetched_at=response.fetched_at)
    text = "\n".join(line for line in plain_text(first.summary).split("\n") if not line.startswith("Filed:"))  # day, number and size: of the envelope
    labels: dict[str, Any] = {"form": first.form, "parties": [dict(pairs) for pairs in dict.fromkeys(tuple(entry.party.items()) for entry in parties)]}
    numbers = _ITEM.findall(text)
    return Item(
        native_id=first.accession,
        title=f"{first.form} - {first.name if first.role in _COMPANIES else f'CIK {first.cik}'}",
        text=text,
        url=first.url,
        published_at=published_at,
        precision=precision,
        published_raw=first.updated,
        labels=labels | ({"items": numbers} if numbers else {}),
    )


MANNERS = Manners(
    stability="green",
    interval_s=60,
    kind=DocumentKind.FILING,
    publisher="sec.gov",
    lang="en",
    terms="public domain, ten requests a second from all your programs together; the setting user_agent must name you and a mail address, else the answer is 403",
    tried="not tried live; wire format as documented 2026-11-23 (client code read; lines of the summary from general knowledge)",
    options={"form": f"exactly this form, default {FORM}; amendments are forms of their own, e.g. 8-K/A"},
)
SOURCE = Source(NAME, ("sec",), parse, MANNERS, ask)
