"""Entity linking: which listed companies a document names, and how much it is about each of them.

Four kinds of evidence: the source's own tags, codes in the text (codes.py), names that are sure, and ambiguous names whose
surroundings support them (context.py). Listings of one company (share classes, Shanghai and Hong Kong) are one entity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import ahocorasick
from msgspec import Struct

from models.codes import find_beside, find_codes
from models.company_names import HAN, simplified
from models.context import NO_TOPIC, has_article, listed_with, straddled, supports, vetoed
from models.names_table import LIKELY, SURE, US, Company, Name, Table, Topic, decoys, load_table, ordinary_words
from models.relevance import Place, relevance
from opinion.records import Document

MAX_CHARS = 4_000
"""Beginning of a document that is looked at: whom an article is about, it says early; a 1 MB text must not stop the stream."""
MAINLAND = ("XSHG:", "XSHE:", "XBSE:")
GLUED = "@/._$-"
"""Before a word these make it part of a handle, an address or a compound."""
ADDRESS = (".", "@", "/", "_")
"""After a word, with a small letter behind: `apple.com`."""
HANDLE = re.compile(r"@[\w\u4e00-\u9fff-]{1,24}")
"""`@小米手机`: an account, which is somebody's name for himself and not what the text is about."""
MAX_CHAIN = 8
"""Rounds in which names of an enumeration carry their neighbours; bounds the work on a text that is nothing but names."""
MAX_STRADDLED = 4
"""Characters of the longest Chinese name whose letters are met as parts of other words."""
INDUSTRY, FIGURES = "业", ("绩", "务")
"""`中国银行业` is an industry, `中国银行业绩` the figures of a bank."""
SMALL_WORDS = frozenset({"of", "and", "the", "for", "de", "du", "van", "von", "&", "in", "on", "at", "by", "y", "la", "com"})
"""Words within a company's name that keep a small letter in a headline."""


class LinkedEntity(Struct, frozen=True):
    """A company that a document names."""

    id: str  # `<MIC>:<code>`; the subject is `entity:` before it
    name: str  # one name per listing, whatever the language of the document
    relevance: float  # (0, 1], see relevance.py
    spans: tuple[tuple[int, int], ...] = ()  # [start, end) in `linked_text(document)`; empty where only the source's tag names it


class Mention(NamedTuple):
    """A place where a name or code stands."""

    start: int
    end: int
    name: Name | None  # None: a decoy, or a code
    listing: str = ""  # set for codes


class Doubt(NamedTuple):
    """A name that counts only if something supports it."""

    mention: Mention
    groups: tuple[str, ...]  # companies of that name
    level: int  # LIKELY or WEAK
    topic: Topic


def linked_text(document: Document) -> str:
    """The text that spans count in: title, a line break, text, cut at MAX_CHARS."""
    if document.title and document.text:
        return f"{document.title}\n{document.text[:MAX_CHARS]}"[:MAX_CHARS]
    return (document.title or document.text)[:MAX_CHARS]


class Linker:
    """Finds the companies of a document. Holds only read-only tables; one instance serves all threads."""

    def __init__(self, table: Table) -> None:
        self._companies = table.companies
        self._groups = table.groups
        self._tickers = table.tickers
        self._topics = table.topics
        self._automaton = ahocorasick.Automaton()
        for key in decoys():
            self._automaton.add_word(simplified(key.lower()), (len(key), None, key.isascii()))
        for key, name in table.names.items():
            self._automaton.add_word(key, (len(key), name, not HAN.search(key)))
        self._automaton.make_automaton()

    @classmethod
    def load(cls, *, extra: Sequence[Path] = ()) -> Linker:
        """A linker of the shipped companies and those of `extra` CSV files (columns id,name,name_zh,aliases; aliases separated by |).

        Errors:
            ConfigError: a file of `extra` is missing or not of that form.
        """
        return cls(load_table(extra))

    def company(self, entity_id: str) -> Company | None:
        """What is known of a listing; None for an id that is not in the tables."""
        return self._companies.get(entity_id)

    def link(self, document: Document) -> list[LinkedEntity]:
        """The companies of a document, most relevant first, then by id.

        The listing of a company: the one tagged or coded, else for Chinese documents Shanghai and Shenzhen, then
        Hong Kong, then New York, and for others the other way round.
        """
        text = simplified(linked_text(document))
        coded = [Mention(start, end, None, listing) for start, end, listing in find_codes(text, companies=self._companies, tickers=self._tickers)]
        named = self._names(text)
        if not (named or coded or document.symbols):
            return []
        found = self._confirmed(text, named, coded=coded, tagged=document.symbols)
        return self._entities(document, found, title_chars=len(document.title) if document.title and document.text else 0)

    def _names(self, text: str) -> list[Mention]:
        """Names in the text, leftmost and longest first, no two overlapping; decoys have hidden what they cover."""
        low = text.lower()
        if len(low) != len(text):
            low = "".join(char.lower() if len(char.lower()) == 1 else char for char in text)
        low = low.replace("’", "'")
        hits: list[tuple[int, int, Name | None]] = []
        for last, (length, name, latin) in self._automaton.iter(low):
            start = last + 1 - length
            if _stands_alone(text, start, end=last + 1, name=name) if latin else _is_word(text, start, end=last + 1, name=name):
                hits.append((start, -length, name))
        if hits and "@" in text:
            handles = [match.span() for match in HANDLE.finditer(text)]
            hits = [hit for hit in hits if not any(start <= hit[0] < end for start, end in handles)]
        hits.sort(key=lambda hit: hit[:2])
        mentions: list[Mention] = []
        covered = 0
        for start, negative_length, name in hits:
            if start >= covered:
                covered = start - negative_length
                if name is not None:
                    mentions.append(Mention(start, covered, name))
        return mentions

    def _confirmed(self, text: str, named: list[Mention], *, coded: list[Mention], tagged: Sequence[str]) -> dict[str, list[Mention]]:
        """Group -> its mentions that count. A group that only a tag names has none."""
        found: dict[str, list[Mention]] = {self._group_of(listing): [] for listing in tagged}
        for mention in coded:
            found.setdefault(self._group_of(mention.listing), []).append(mention)
        doubtful: list[Doubt] = []
        for mention in named:
            assert mention.name is not None
            groups = mention.name.groups
            topic = self._topics.get(groups[0], NO_TOPIC)
            if mention.name.level != SURE:
                doubtful.append(Doubt(mention, groups, mention.name.level, topic))
            elif topic.vetoes and mention.name.text.lower() in ordinary_words() and (has_article(text, mention.start) or vetoed(text, mention.start, end=mention.end, topic=topic)):
                doubtful.append(Doubt(mention, groups, LIKELY, Topic(words=topic.words)))  # a forest beside `Amazon`: the company must do something
            else:
                found.setdefault(groups[0], []).append(mention)
        for start, end, listing in find_beside(text, companies=self._companies, tickers=self._tickers):
            group = self._group_of(listing)
            if group in found or _names_before(named, start, group):
                found.setdefault(group, []).append(Mention(start, end, None, listing))
        if doubtful:
            self._settle(text, doubtful, found)
        return found

    def _settle(self, text: str, doubtful: list[Doubt], found: dict[str, list[Mention]]) -> None:
        """Add the ambiguous names that their surroundings, an enumeration or the company's other mentions support."""
        waiting: list[Doubt] = []
        for doubt in doubtful:
            mention = doubt.mention
            if len(doubt.groups) == 1 and supports(text, mention.start, end=mention.end, level=doubt.level, topic=doubt.topic):
                found.setdefault(doubt.groups[0], []).append(mention)
            else:
                waiting.append(doubt)
        possible = [doubt for doubt in waiting if len(doubt.groups) == 1 and not vetoed(text, doubt.mention.start, end=doubt.mention.end, topic=doubt.topic)]
        for _ in range(MAX_CHAIN if possible else 0):
            joined = self._enumerated(text, possible, found)
            if not joined:
                break
            for doubt in joined:
                found.setdefault(doubt.groups[0], []).append(doubt.mention)
            taken = {doubt.mention.start for doubt in joined}
            possible = [doubt for doubt in possible if doubt.mention.start not in taken]
            waiting = [doubt for doubt in waiting if doubt.mention.start not in taken]
        for doubt in waiting:
            for group in doubt.groups:
                if group in found:
                    found[group].append(doubt.mention)

    def _enumerated(self, text: str, possible: list[Doubt], found: dict[str, list[Mention]]) -> list[Doubt]:
        """Those in an enumeration with a name that counts, or with another of their trade; a weak name needs its trade there in any case."""
        borders: dict[tuple[str, int], tuple[frozenset[int], frozenset[int]]] = {}
        joined = []
        for doubt in possible:
            key = doubt.groups[0], doubt.level
            if key not in borders:
                beside = [other for known, mentions in found.items() if doubt.level == LIKELY or self._share_trade(key[0], known) for other in mentions]
                beside += [other.mention for other in possible if other.groups[0] != key[0] and self._share_trade(key[0], other.groups[0])]
                borders[key] = frozenset(other.start for other in beside), frozenset(other.end for other in beside)
            starts, ends = borders[key]
            if listed_with(text, doubt.mention.start, end=doubt.mention.end, starts=starts, ends=ends):
                joined.append(doubt)
        return joined

    def _share_trade(self, first: str, second: str) -> bool:
        return not set(self._topics.get(first, NO_TOPIC).trades).isdisjoint(self._topics.get(second, NO_TOPIC).trades)

    def _entities(self, document: Document, found: dict[str, list[Mention]], *, title_chars: int) -> list[LinkedEntity]:
        entities = []
        tagged = {self._group_of(listing) for listing in document.symbols}
        spans = {group: _distinct(mentions) for group, mentions in found.items()}
        in_title = sum(bool(places) and places[0][0] < title_chars for places in spans.values())
        for group, places in spans.items():
            in_front = bool(places) and places[0][0] < title_chars
            place = Place(
                title=in_front,
                first=places[0][0] - title_chars if places else 0,
                mentions=len(places),
                companies=len(tagged) if group in tagged else in_title if in_front else len(found),
                tagged=group in tagged,
                titled=title_chars > 0,
            )
            listing = self._listing(group, found[group], document=document)
            known = self._companies.get(listing)
            entities.append(LinkedEntity(listing, _display(known) if known else listing.rpartition(":")[2], relevance(place), places))
        entities.sort(key=lambda entity: (-entity.relevance, entity.id))
        return entities

    def _listing(self, group: str, mentions: Iterable[Mention], *, document: Document) -> str:
        """The one listing that stands for the company in this document."""
        tagged = [listing for listing in document.symbols if self._group_of(listing) == group]
        named = tagged or [mention.listing for mention in mentions if mention.listing]
        choice = named or self._groups.get(group, (group,))
        if len(choice) == 1:
            return choice[0]
        chinese = document.lang.startswith("zh") or (document.lang == "und" and bool(HAN.search(linked_text(document))))
        return min(choice, key=lambda listing: (not listing.startswith(MAINLAND if chinese else US), listing.startswith(US if chinese else MAINLAND), listing))

    def _group_of(self, listing: str) -> str:
        known = self._companies.get(listing)
        return known.group if known else listing


def _display(company: Company) -> str:
    """Chinese short name for mainland listings, English for the others."""
    return company.name_zh if company.id.startswith(MAINLAND) and company.name_zh else company.name


def _distinct(mentions: Iterable[Mention]) -> tuple[tuple[int, int], ...]:
    """The spans in order; of two that overlap (a name that is also a code) the first."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted((mention.start, mention.end) for mention in mentions):
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
    return tuple(spans)


def _names_before(named: Iterable[Mention], start: int, group: str) -> bool:
    """True where a name of the company stands right before a bracket: `Apple (AAPL)`, `Apple Inc. (AAPL)`."""
    return any(0 <= start - mention.end <= 8 and mention.name is not None and group in mention.name.groups for mention in named)


def _is_word(text: str, start: int, *, end: int, name: Name | None) -> bool:
    """True for a Chinese hit whose borders are borders of words, and for a decoy that hides what it should."""
    if name is None:
        return text[end - 1] != INDUSTRY or text[end : end + 1] not in FIGURES
    return end - start > MAX_STRADDLED or not straddled(text, start, end=end)


def _stands_alone(text: str, start: int, *, end: int, name: Name | None) -> bool:
    """True for whole words that are written as a name: not inside another word, an address or a handle, and with its capitals."""
    if start and (text[start - 1] in GLUED or (text[start - 1].isascii() and text[start - 1].isalnum())):
        return False
    after = text[end : end + 2]
    if (after[:1].isascii() and after[:1].isalnum()) or (after[:1] in ADDRESS and after[1:].islower()):
        return False
    surface = text[start:end].replace("’", "'")
    return name is None or surface == name.text or (name.fold and _capitalised(surface)) or (name.small and surface.islower())


def _capitalised(surface: str) -> bool:
    return all(not word[0].islower() or word in SMALL_WORDS for word in surface.split()) and not surface[0].islower()
