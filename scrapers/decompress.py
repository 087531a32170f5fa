"""Content-encodings undone in small steps, so that a bomb is noticed before it is in memory."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator

import brotli
import zstandard

from opinion.errors import BodyTooLarge, SourceUnavailable

STEP_BYTES = 65_536
"""Most bytes one step adds."""
RATIO_CAP = 100
"""Highest growth believed of a text: real feeds reach 20."""
RATIO_FREE_BYTES = 1_000_000
"""Below this a bomb does no harm, and short repetitive bodies do compress that well."""
MOST_LAYERS = 2
MOST_MEMBERS = 10_000
"""Most gzip members or zstd frames in one body: a file packed in blocks has hundreds; each costs time, though it may hold nothing."""
ZSTD_WINDOW_BYTES = 1 << 23
"""Largest window a zstd body may ask for: 8 MiB, as RFC 8878 recommends."""

_PIECES = f"the body is compressed in more than {MOST_MEMBERS} pieces"


def decompress(body: bytes, *, encoding: str, max_bytes: int) -> bytes:
    """The body with its content-encodings undone.

    Errors:
        BodyTooLarge: over `max_bytes`, or over 100 times its compressed length.
        SourceUnavailable: cut off or damaged, or an encoding nobody asked for.
    """
    layers = [name.strip().lower() for name in encoding.split(",") if name.strip().lower() not in ("", "identity")]
    if len(layers) > MOST_LAYERS:
        raise BodyTooLarge(f"the body is compressed {len(layers)} times over")
    compressed_bytes = len(body)
    if not body:
        return body
    for name in reversed(layers):
        if name not in _STEPS:
            raise SourceUnavailable("the body has a content-encoding that was not asked for")
        body = _bounded(_STEPS[name](body), compressed_bytes=compressed_bytes, max_bytes=max_bytes)
    return body


def _bounded(steps: Iterator[bytes], *, compressed_bytes: int, max_bytes: int) -> bytes:
    parts, length = [], 0
    try:
        for part in steps:
            length += len(part)
            if length > max_bytes:
                raise BodyTooLarge(f"the body is over {max_bytes} bytes")
            if length > RATIO_FREE_BYTES and length > RATIO_CAP * compressed_bytes:
                raise BodyTooLarge(f"the body grew over {RATIO_CAP} times when decompressed: a bomb")
            parts.append(part)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise SourceUnavailable("the compressed body is damaged or cut off") from error
    return b"".join(parts)


def _gzip(body: bytes) -> Iterator[bytes]:
    """Every member, one after another; padding after the last is ignored, as browsers do."""
    at = 0
    for _ in range(MOST_MEMBERS):
        at = yield from _inflate(zlib.decompressobj(wbits=31), body, at)
        if body[at : at + 2] != b"\x1f\x8b":
            return
    raise BodyTooLarge(_PIECES)


def _deflate(body: bytes) -> Iterator[bytes]:
    """With the zlib wrapper, as the standard says, or without, as some servers do."""
    wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2]) % 31 == 0
    yield from _inflate(zlib.decompressobj(wbits=15 if wrapped else -15), body, 0)


def _inflate(stream: zlib._Decompress, body: bytes, at: int) -> Generator[bytes, None, int]:
    """The stream that begins at `at`; returns where it ends. Fed in steps, for what a stream leaves over is copied."""
    waiting = b""
    while not stream.eof:
        if not waiting:
            waiting = body[at : at + STEP_BYTES]
            at += len(waiting)
        part = stream.decompress(waiting, STEP_BYTES)
        waiting = stream.unconsumed_tail
        if not part and not waiting and at >= len(body) and not stream.eof:
            raise zlib.error("cut off")
        yield part
    return at - len(stream.unused_data)


def _brotli(body: bytes) -> Iterator[bytes]:
    stream = brotli.Decompressor()
    part = stream.process(body, output_buffer_limit=STEP_BYTES)
    while not stream.is_finished():
        if not part and stream.can_accept_more_data():  # output may be waiting after the last input was taken
            raise brotli.error("cut off")
        yield part
        part = stream.process(b"", output_buffer_limit=STEP_BYTES)
    yield part


def _zstd(body: bytes) -> Iterator[bytes]:
    """Every frame. A frame that breaks off reads as a short one, so the last must say its end."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    at = 0
    for _ in range(MOST_MEMBERS):
        frame = decompressor.decompressobj()
        while not frame.eof:
            if at >= len(body):
                raise zstandard.ZstdError("cut off")
            yield frame.decompress(body[at : at + 256])  # 256 bytes hold at most 64 blocks of 128 KiB
            at += 256
        at = min(at, len(body)) - len(frame.unused_data)
        if at == len(body):
            return
    raise BodyTooLarge(_PIECES)


_STEPS: dict[str, Callable[[bytes], Iterator[bytes]]] = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd}
ACCEPT_ENCODING = "gzip, deflate, br, zstd"
