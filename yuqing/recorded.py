"""What a backtest reads: count rows or ScoredDocuments as JSON Lines, gathered per subject."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple, Protocol

import msgspec
import numpy as np
from msgspec import Meta, Struct

from alerts.detect.series import CLEAR, ROWS, Ints
from opinion.clock import epoch_ms
from opinion.codec import decode
from opinion.errors import InvalidRecord, RecordError
from opinion.events import telling_day
from opinion.names import digest
from opinion.records import Instant, PaneKind, ScoredDocument
from opinion.windows import PANE_S, QUARTER_S, Breadth

UNKNOWN = -1
"""Stands for a count that a row does not give."""
LONE_PANE_S = 300
"""Width of a pane where no subject has two rows to tell it by."""

_Counted = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class CountRow(Struct, frozen=True):
    """What happened in the pane of one subject that begins at `at`."""

    at: Instant
    subject: Annotated[str, Meta(min_length=1)]
    total: _Counted
    negative: _Counted
    stories: _Counted | None = None  # distinct stories among the negatives
    authors: _Counted | None = None
    clear: _Counted | None = None  # of the negatives: those that are so clearly


class Manner(NamedTuple):
    """How a text is told, as far as breadth depends on it."""

    social: bool
    authored: bool  # its author is known
    clear: bool = False  # it is clearly negative


COUNTED = Manner(social=False, authored=True)
"""How texts of count rows are told: each adds to both counts that a row may give."""


class Further(NamedTuple):
    """A negative text added to a record."""

    at_s: int  # epoch seconds
    name: str  # of its story, its publisher and, where its manner has one, its author: nothing else has it
    manner: Manner


class Voices(Protocol):
    """Who told a subject negatively, and when."""

    def breadth(self, start_s: int, end_s: int) -> Breadth:
        """How many told it in [start_s, end_s), epoch seconds; 0 is unknown."""
        ...

    def tellings_of(self, start_s: int, end_s: int) -> frozenset[tuple[str, str]]:
        """Story and publisher of each negative telling in [start_s, end_s); none where the record does not say."""
        ...

    def manners(self) -> list[Manner]:
        """How each negative text was told; none where the record does not say."""
        ...

    def joined(self, texts: Sequence[Further]) -> Voices:
        """These and further ones."""
        ...


@dataclass(frozen=True, slots=True)
class Track:
    """The record of one subject: its panes, oldest first, and who spoke in them."""

    pane_s: int
    starts_s: Ints
    counts: Ints  # (3, n): total, negative, clearly negative
    voices: Voices

    @property
    def first_s(self) -> int:
        """When its first pane began (epoch seconds)."""
        return int(self.starts_s[0])

    @property
    def last_s(self) -> int:
        """When its last pane began."""
        return int(self.starts_s[-1])

    @property
    def end_s(self) -> int:
        """When its last pane closed."""
        return self.last_s + self.pane_s

    def with_negatives(self, texts: Sequence[Further]) -> Track:
        """The same record with further negative texts, each in its pane."""
        at_s = np.array([text.at_s for text in texts], np.int64)
        added = self.first_s + (at_s - self.first_s) // self.pane_s * self.pane_s
        starts, where = np.unique(np.concatenate([self.starts_s, added]), return_inverse=True)
        counts = np.zeros((ROWS, len(starts)), np.int64)
        counts[:, where[: len(self.starts_s)]] = self.counts
        place, clear = where[len(self.starts_s) :], np.array([text.manner.clear for text in texts], bool)
        counts += np.bincount(place, minlength=len(starts))
        counts[CLEAR] -= np.bincount(place[~clear], minlength=len(starts))
        in_panes = [text._replace(at_s=start) for text, start in zip(texts, added.tolist(), strict=True)]
        return Track(self.pane_s, starts, counts, self.voices.joined(in_panes))


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole input."""

    rows: int
    tracks: Mapping[str, Track]


def read_recording(lines: Iterable[bytes]) -> Recording:
    """The input, every row of the form that the first one has; blank lines are passed over.

    Errors:
        InvalidRecord: a row of another form or with impossible counts, or rows of a subject that do not rise in time; the message gives the line.
    """
    tracks: _CountTracks | _ToldTracks | None = None
    rows = 0
    for number, line in enumerate(lines, 1):
        if line.isspace() or not line:
            continue
        try:
            if tracks is None:
                tracks = _ToldTracks() if "document" in msgspec.json.decode(line, type=dict) else _CountTracks()
            tracks.take(line)
        except (RecordError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidRecord(f"line {number}: {error}") from error
        rows += 1
    return Recording(rows, {} if tracks is None else tracks.finished())


@dataclass(slots=True)
class _Columns:
    """Count rows of one subject, by column: a year of five-minute rows is 3 MB."""

    at_s: array[int] = field(default_factory=lambda: array("q"))
    total: array[int] = field(default_factory=lambda: array("i"))
    negative: array[int] = field(default_factory=lambda: array("i"))
    stories: array[int] = field(default_factory=lambda: array("i"))
    authors: array[int] = field(default_factory=lambda: array("i"))
    clear: array[int] = field(default_factory=lambda: array("i"))

    def breadth(self, start_s: int, end_s: int) -> Breadth:
        """Sums over rows, so at most too many; unknown where a row with negatives does not say."""
        rows = slice(bisect_left(self.at_s, start_s), bisect_left(self.at_s, end_s))
        told = np.asarray(self.negative[rows]) > 0
        sums = [0 if (column[told] == UNKNOWN).any() else int(column[told].sum()) for column in (np.asarray(self.stories[rows]), np.asarray(self.authors[rows]))]
        return Breadth(stories=sums[0], authors=sums[1])

    def tellings_of(self, start_s: int, end_s: int) -> frozenset[tuple[str, str]]:
        """None: counts do not say what was told."""
        del start_s, end_s
        return frozenset()

    def manners(self) -> list[Manner]:
        """Clear ones and others as often as they were counted; where none was counted clear, nothing is known."""
        clear, negative = sum(self.clear), sum(self.negative)
        return [COUNTED._replace(clear=number < clear) for number in range(negative)] if clear else []

    def joined(self, texts: Sequence[Further]) -> _Columns:
        """A row more for each text; it says how many told it where others do."""
        further = np.array([text.at_s for text in texts], np.int64)
        ones = np.ones(len(further), np.int64)
        told = [ones if (np.asarray(column) != UNKNOWN).any() else ones * UNKNOWN for column in (self.stories, self.authors)]
        order = np.argsort(np.concatenate([self.at_s, further]), kind="stable")
        clear = np.array([text.manner.clear for text in texts], np.int64)
        pairs = zip((self.at_s, self.total, self.negative, self.stories, self.authors, self.clear), (further, ones, ones, *told, clear), strict=True)
        return _Columns(*(array(own.typecode, np.concatenate([own, more])[order].astype(own.typecode).tobytes()) for own, more in pairs))


class _CountTracks:
    """Count rows, as they come."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(CountRow).decode
        self._columns: dict[str, _Columns] = {}

    def take(self, line: bytes) -> None:
        row = self._decode(line)
        if row.negative > row.total:
            raise InvalidRecord(f"{row.negative} negatives among {row.total} texts")
        if row.clear is not None and row.clear > row.negative:
            raise InvalidRecord(f"{row.clear} clear ones among {row.negative} negatives")
        at_s = int(row.at.timestamp())
        columns = self._columns.get(row.subject)
        if columns is None:
            columns = self._columns[row.subject] = _Columns()
        elif at_s <= columns.at_s[-1]:
            raise InvalidRecord(f"rows of {row.subject} are not in time order")
        columns.at_s.append(at_s)
        columns.total.append(row.total)
        columns.negative.append(row.negative)
        columns.stories.append(UNKNOWN if row.stories is None else row.stories)
        columns.authors.append(UNKNOWN if row.authors is None else row.authors)
        columns.clear.append(row.clear or 0)

    def finished(self) -> dict[str, Track]:
        starts = {subject: np.asarray(columns.at_s, np.int64) for subject, columns in self._columns.items()}
        widths = {subject: int(np.diff(at_s).min()) for subject, at_s in starts.items() if len(at_s) > 1}
        lone_s = min(widths.values(), default=LONE_PANE_S)
        return {
            subject: Track(widths.get(subject, lone_s), starts[subject], np.array([columns.total, columns.negative, columns.clear], np.int64), columns)
            for subject, columns in self._columns.items()
        }


@dataclass(slots=True)
class _Told:
    """Scored documents of one subject, counted the way `windows.lua` counts: a telling once, at its earliest."""

    documents: dict[tuple[int, str], str] = field(default_factory=dict)  # (day, doc_id) -> story
    tellings: dict[tuple[int, str, str], tuple[int, str, bool, bool, bool]] = field(
        default_factory=dict
    )  # (day, story, publisher) -> (event_ms, document, negative, clear, social)
    told: list[int] = field(default_factory=list)  # event_s of negative tellings, sorted at the end
    posts: list[int] = field(default_factory=list)  # of those of authors
    negatives: list[tuple[int, str, str, str, bool, bool]] = field(default_factory=list)  # (event_s, story, publisher, author, social, clear), sorted at the end

    def take(self, scored: ScoredDocument, *, subject: str) -> None:
        document, event_ms = scored.document, epoch_ms(scored.event_at)
        day = telling_day(document, scored.event_at)
        if self.documents.setdefault((day, document.doc_id), scored.telling_id) != scored.telling_id:
            return  # an edit of a document that was counted: it counts once
        sentiment = scored.sentiment_on(subject)
        negative, clear = sentiment.label == "negative", sentiment.clearly_negative
        social = PaneKind.of(document.kind) is PaneKind.SOCIAL
        telling = event_ms, digest(document.doc_id), negative, clear, social
        key = day, scored.telling_id, document.publisher
        self.tellings[key] = min(self.tellings.get(key, telling), telling)
        if negative:
            self.negatives.append((event_ms // 1000, scored.telling_id, document.publisher, document.author_hash or "", social, clear))

    def track(self) -> Track:
        """The panes that hold a telling."""
        self.negatives.sort()
        self.told = sorted(event_ms // 1000 for event_ms, _, negative, *_ in self.tellings.values() if negative)
        self.posts = sorted(event_ms // 1000 for event_ms, _, negative, _, social in self.tellings.values() if negative and social)
        told = np.array([[event_ms // 1000 // PANE_S * PANE_S, negative, clear] for event_ms, _, negative, clear, _ in self.tellings.values()], np.int64)
        starts, where, total = np.unique(told[:, 0], return_inverse=True, return_counts=True)
        negative, clear = (np.bincount(where, weights=told[:, column]).astype(np.int64) for column in (1, 2))
        return Track(PANE_S, starts, np.stack([total, negative, clear]), self)

    def breadth(self, start_s: int, end_s: int) -> Breadth:
        """Distinct ones, from the beginning of the quarter hour, as the alerter's sketches have it."""
        quarter_s = start_s // QUARTER_S * QUARTER_S
        found = self.negatives[bisect_left(self.negatives, (quarter_s,)) : bisect_left(self.negatives, (end_s,))]
        stories, publishers, authors = ({row[column] for row in found} for column in (1, 2, 3))
        end = bisect_left(self.posts, end_s)
        authored, posts = (end - bisect_left(self.posts, begin_s) for begin_s in (start_s, quarter_s))
        tellings = bisect_left(self.told, end_s) - bisect_left(self.told, quarter_s)
        return Breadth(len(stories), len(publishers), len(authors - {""}), authored, tellings, posts)

    def tellings_of(self, start_s: int, end_s: int) -> frozenset[tuple[str, str]]:
        """Those of exactly this time."""
        rows = self.negatives[bisect_left(self.negatives, (start_s,)) : bisect_left(self.negatives, (end_s,))]
        return frozenset((story, publisher) for _, story, publisher, *_ in rows)

    def manners(self) -> list[Manner]:
        """Those of all, copies included."""
        return [Manner(social, bool(author), clear) for *_, author, social, clear in self.negatives]

    def joined(self, texts: Sequence[Further]) -> _Told:
        """Without the documents: these are counted already."""
        told = [(at_s, name, name, name if manner.authored else "", manner.social, manner.clear) for at_s, name, manner in texts]
        posts = [text.at_s for text in texts if text.manner.social]
        every = sorted([*self.told, *(text.at_s for text in texts)])
        return _Told(told=every, posts=sorted([*self.posts, *posts]), negatives=sorted([*self.negatives, *told]))


class _ToldTracks:
    """Scored documents, as they come."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}

    def take(self, line: bytes) -> None:
        scored = decode(line, ScoredDocument)
        if scored.counted:
            for subject in scored.subjects:
                self._told.setdefault(subject, _Told()).take(scored, subject=subject)

    def finished(self) -> dict[str, Track]:
        return {subject: told.track() for subject, told in self._told.items()}
