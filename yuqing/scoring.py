"""`yuqing score`: the stream's judgement without Kafka or Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Any, cast

import msgspec

from models.registry import load_judge
from models.stories import MemoryStoryIndex, novelty, story_id_of
from models.story_index import MemoryEventIndex
from models.story_link import signature_of, unpacked
from opinion.clock import epoch_ms
from opinion.codec import checked
from opinion.errors import InvalidRecord, PoisonText, RecordError
from opinion.events import event_time
from opinion.language import detect
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Instant, Judgement
from opinion.settings import Settings

CHUNK = 256
"""Lines judged together; also how much is held in memory."""


class TextLine(msgspec.Struct, frozen=True):
    """A line of input."""

    text: str = ""
    title: str = ""
    kind: DocumentKind = DocumentKind.NEWS
    lang: str = ""
    published_at: Instant | None = None
    publisher: str = ""
    symbols: list[str] = msgspec.field(default_factory=list)


_decoder = msgspec.json.Decoder(TextLine)


def score_lines(lines: Iterable[bytes], out: IO[bytes], *, settings: Settings, explain: bool, stories: bool) -> int:
    """Write one JSON line per input line, in order; returns how many could not be judged (`{"error": .., "reason": ..}`).

    Errors:
        ModelLoadError: the model cannot be loaded.
    """
    judge = load_judge(settings)
    index, events = MemoryStoryIndex(), MemoryEventIndex()
    failed = 0
    for chunk in _chunks(lines):
        documents = [_document(number, line) for number, line in chunk]
        judged = iter(judge.judge([item for item in documents if isinstance(item, Document)]))
        for (number, _), document in zip(chunk, documents, strict=True):
            answer = document if isinstance(document, RecordError) else next(judged)
            if isinstance(answer, RecordError | PoisonText):
                failed += 1
                out.write(msgspec.json.encode({"line": number, "error": str(answer), "reason": answer.reason.value}) + b"\n")
                continue
            document = cast("Document", document)
            fields = msgspec.structs.asdict(_with_story(answer, document, events=events, index=index) if stories else answer)
            if explain:
                fields["evidence"] = judge.explain(document)
            out.write(msgspec.json.encode(_printed(fields, stories=stories)) + b"\n")
        out.flush()
    return failed


def _printed(fields: dict[str, Any], *, stories: bool) -> dict[str, Any]:
    hidden = {"embedding"} if stories else {"embedding", "story_id", "story_size", "novelty"}
    return {key: value for key, value in fields.items() if key not in hidden}


def _with_story(judgement: Judgement, document: Document, *, events: MemoryEventIndex, index: MemoryStoryIndex) -> Judgement:
    at = epoch_ms(event_time(document)[0])
    signature = signature_of(document, at, [mention.id for mention in judgement.entities], unpacked(judgement.embedding))
    (story,) = asyncio.run(events.assign([(document.doc_id, story_id_of(document), signature)]))
    (size,) = asyncio.run(index.observe([(story, document.doc_id, at)]))
    return msgspec.structs.replace(judgement, story_id=story, story_size=size, novelty=novelty(size))


def _document(number: int, line: bytes) -> Document | RecordError:
    try:
        item = _decoder.decode(line)
        now = datetime.now(UTC)
        return checked(
            Document(
                doc_id=doc_id_of("score", str(number)),
                source="score",
                publisher=item.publisher,
                kind=item.kind,
                native_id=str(number),
                title=item.title,
                text=item.text,
                lang=item.lang or detect(f"{item.title}\n{item.text}"),
                published_at=item.published_at,
                fetched_at=max(now, item.published_at) if item.published_at else now,
                symbols=item.symbols,
            )
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return InvalidRecord(f"line {number}: {error}")
    except RecordError as error:
        return type(error)(f"line {number}: {error}")


def _chunks(lines: Iterable[bytes]) -> Iterator[Sequence[tuple[int, bytes]]]:
    chunk: list[tuple[int, bytes]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            chunk.append((number, line))
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
