from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable
from functools import cache

import brotli
import pytest
import zstandard

from opinion.clock import monotonic_s
from opinion.errors import BodyTooLarge, SourceUnavailable
from scrapers.decompress import ACCEPT_ENCODING, MOST_MEMBERS, RATIO_FREE_BYTES, STEP_BYTES, ZSTD_WINDOW_BYTES, decompress

CAP = 15_000_000
QUICK_S = 2.0


@cache
def gzip_of(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=1)


@cache
def zlib_of(body: bytes) -> bytes:
    return zlib.compress(body, level=1)


@cache
def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(level=1, wbits=-15)
    return stream.compress(body) + stream.flush()


@cache
def brotli_of(body: bytes) -> bytes:
    return bytes(brotli.compress(body, quality=2))


@cache
def zstd_of(body: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(body)


CODECS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip_of),
    "x-gzip": ("x-gzip", gzip_of),
    "deflate": ("deflate", zlib_of),
    "deflate without wrapper": ("deflate", raw_deflate),
    "br": ("br", brotli_of),
    "zstd": ("zstd", zstd_of),
}
each_codec = pytest.mark.parametrize(("encoding", "compress"), CODECS.values(), ids=CODECS.keys())

NOISE = random.Random(7).randbytes(200_000)
PROSE = " ".join(random.Random(7).choices(["net", "profit", "fell", "亏损", "股价", "<p>", "</p>", "12.5%"], k=60_000)).encode()
BODIES = {
    "short": b"<rss/>",
    "one step": b"a" * STEP_BYTES,
    "a byte more": b"a" * (STEP_BYTES + 1),
    "noise of one step": NOISE[:STEP_BYTES],
    "noise": NOISE,
    "prose": PROSE,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@each_codec
def test_what_was_compressed_comes_back(encoding: str, compress: Callable[[bytes], bytes], body: bytes) -> None:
    assert decompress(compress(body), encoding=encoding, max_bytes=CAP) == body


@pytest.mark.parametrize("encoding", ["", "identity", "Identity, ", " , "])
def test_a_plain_body_stays(encoding: str) -> None:
    assert decompress(b"<rss/>", encoding=encoding, max_bytes=CAP) == b"<rss/>"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", ""])
def test_nothing_is_nothing_under_any_encoding(encoding: str) -> None:
    assert decompress(b"", encoding=encoding, max_bytes=CAP) == b""


def test_every_encoding_we_ask_for_is_read() -> None:
    for name in ACCEPT_ENCODING.split(", "):
        _, compress = CODECS[name]
        assert decompress(compress(PROSE), encoding=name.upper(), max_bytes=CAP) == PROSE


@pytest.mark.parametrize("encoding", ["compress", "lzma", "utf-8", "none", "gzip;q=1"])
def test_an_encoding_that_nobody_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(SourceUnavailable, match="not asked for"):
        decompress(b"x", encoding=encoding, max_bytes=CAP)


@pytest.mark.parametrize("lost", [1, 4, 9, 100, 20_000])
@each_codec
def test_a_body_that_breaks_off_is_noticed(encoding: str, compress: Callable[[bytes], bytes], lost: int) -> None:
    with pytest.raises(SourceUnavailable, match="damaged or cut off"):
        decompress(compress(PROSE)[:-lost], encoding=encoding, max_bytes=CAP)


@pytest.mark.parametrize("body", [b"<rss/>", b"\x1f\x8b", b"\x1f\x8b\x08" + b"\xff" * 30, b"\x00" * 40, b"\xff" * 40])
@each_codec
def test_what_was_never_compressed_is_damaged(encoding: str, compress: Callable[[bytes], bytes], body: bytes) -> None:
    with pytest.raises(SourceUnavailable):
        decompress(body, encoding=encoding, max_bytes=CAP)


@each_codec
def test_a_flipped_bit_is_noticed_or_harmless(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    compressed = bytearray(compress(NOISE))
    compressed[len(compressed) // 2] ^= 0x10
    try:
        found = decompress(bytes(compressed), encoding=encoding, max_bytes=CAP)
    except SourceUnavailable:
        return
    assert len(found) == len(NOISE)  # encodings without a checksum cannot notice


@each_codec
def test_a_bomb_is_refused_before_it_unfolds(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    bomb = compress(b"\x00" * 60_000_000)
    began_s = monotonic_s()
    with pytest.raises(BodyTooLarge):
        decompress(bomb, encoding=encoding, max_bytes=CAP)
    assert monotonic_s() - began_s < QUICK_S


@each_codec
def test_a_body_over_the_cap_is_refused_though_it_is_no_bomb(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    assert decompress(compress(NOISE), encoding=encoding, max_bytes=len(NOISE)) == NOISE
    with pytest.raises(BodyTooLarge, match="over 199999 bytes"):
        decompress(compress(NOISE), encoding=encoding, max_bytes=len(NOISE) - 1)


@each_codec
def test_short_repetitive_bodies_may_compress_as_well_as_bombs(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    body = b" " * RATIO_FREE_BYTES
    assert decompress(compress(body), encoding=encoding, max_bytes=CAP) == body
    with pytest.raises(BodyTooLarge, match="a bomb"):
        decompress(compress(body * 3), encoding=encoding, max_bytes=CAP)


@pytest.mark.parametrize("encoding", ["gzip, br", "br, gzip", "zstd,deflate", "GZIP , gzip"])
def test_two_layers_are_undone_from_the_outside(encoding: str) -> None:
    body = PROSE
    for name in encoding.lower().split(","):
        body = CODECS[name.strip()][1](body)
    assert decompress(body, encoding=encoding, max_bytes=CAP) == PROSE


def test_a_bomb_in_two_layers_is_measured_from_its_first_bytes() -> None:
    bomb = gzip_of(gzip_of(b"\x00" * 60_000_000))
    with pytest.raises(BodyTooLarge, match="a bomb"):
        decompress(bomb, encoding="gzip, gzip", max_bytes=10**9)


def test_three_layers_are_nobodys_feed() -> None:
    with pytest.raises(BodyTooLarge, match="3 times over"):
        decompress(b"x", encoding="gzip, gzip, gzip", max_bytes=CAP)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_several_members_are_one_body(name: str) -> None:
    encoding, compress = CODECS[name]
    body = b"".join(compress(part) for part in (b"", PROSE, b"", NOISE, b"end"))
    assert decompress(body, encoding=encoding, max_bytes=CAP) == PROSE + NOISE + b"end"


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_the_last_of_several_members_may_not_break_off(name: str) -> None:
    encoding, compress = CODECS[name]
    with pytest.raises(SourceUnavailable):
        decompress(compress(PROSE) + compress(PROSE)[:-1], encoding=encoding, max_bytes=CAP)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_empty_members_without_end_are_refused_quickly(name: str) -> None:
    encoding, compress = CODECS[name]
    assert decompress(compress(b"") * (MOST_MEMBERS - 1) + compress(b"x"), encoding=encoding, max_bytes=CAP) == b"x"
    began_s = monotonic_s()
    with pytest.raises(BodyTooLarge, match="pieces"):
        decompress(compress(b"") * 500_000, encoding=encoding, max_bytes=CAP)
    assert monotonic_s() - began_s < QUICK_S


@pytest.mark.parametrize("padding", [b"\x00" * 8, b"junk", b"\x1f"])
def test_padding_after_gzip_is_ignored_as_browsers_do(padding: bytes) -> None:
    assert decompress(gzip_of(PROSE) + padding, encoding="gzip", max_bytes=CAP) == PROSE


def test_a_gzip_header_with_a_name_and_a_comment_is_read() -> None:
    plain = gzip_of(PROSE)
    named = plain[:3] + bytes([0x18]) + plain[4:10] + b"feed.xml\x00made today\x00" + plain[10:]
    assert decompress(named, encoding="gzip", max_bytes=CAP) == PROSE


def test_frames_to_be_skipped_are_skipped() -> None:
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    assert decompress(skipped + zstd_of(PROSE) + skipped, encoding="zstd", max_bytes=CAP) == PROSE


def test_a_frame_that_wants_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=0)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = compressor.compress(NOISE) + compressor.flush()
    assert ZSTD_WINDOW_BYTES < 1 << 27
    with pytest.raises(SourceUnavailable):
        decompress(body, encoding="zstd", max_bytes=CAP)


def test_a_zstd_bomb_of_run_length_blocks_is_refused() -> None:
    block = (131_072 << 3 | 1 << 1).to_bytes(3, "little") + b"\x00"  # 128 KiB of zeros in four bytes
    bomb = b"\x28\xb5\x2f\xfd\x00\x58" + block * 100_000
    began_s = monotonic_s()
    with pytest.raises(BodyTooLarge):
        decompress(bomb, encoding="zstd", max_bytes=CAP)
    assert monotonic_s() - began_s < QUICK_S
