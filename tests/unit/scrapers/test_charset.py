from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from opinion.clock import monotonic_s
from scrapers.charset import decode_body

SAMPLES = Path(__file__).parents[2] / "data" / "feed"
SIMPLIFIED = "公司承认三年来虚增收入，董事长已辞职，股价跌停。"
TRADITIONAL = "集團發出盈利警告，料虧損達三億元，股價開市急挫。"


def xml(text: str, *, label: str, charset: str) -> bytes:
    return f'<?xml version="1.0" encoding="{label}"?><title>{text}</title>'.encode(charset)


def html_type(label: str) -> str:
    return f"text/xml; charset={label}"


@pytest.mark.parametrize(
    ("name", "shown", "charset", "source"),
    [
        ("encoding__utf8.xml", "Café", "utf-8", "utf-8"),
        ("encoding__utf8-incorrect-prolog.xml", "Café", "utf-8", "utf-8"),
        ("encoding__invalid-prolog.xml", "Café", "utf-8", "utf-8"),
        ("encoding__windows-1252-incorrect-prolog.xml", "Euro €", "utf-8", "utf-8"),
        ("encoding__windows-1252.xml", "Euro €", "cp1252", "xml"),
        ("encoding__iso-8859-1.xml", "Présentation", "cp1252", "xml"),
        ("encoding__koi8r.xml", "Ёжик, чай, Москва", "koi8-r", "xml"),
        ("xml__iso88591.xml", "Anaïs", "cp1252", "xml"),
    ],
)
def test_public_samples_read_as_people_wrote_them(name: str, shown: str, charset: str, source: str) -> None:
    decoded = decode_body((SAMPLES / "miniflux" / name).read_bytes())
    assert shown in decoded.text
    assert (decoded.charset, decoded.source, decoded.replaced) == (charset, source, 0)


@pytest.mark.parametrize("label", ["gb2312", "GBK", "big5", "iso-8859-1", "iso-8859-2", "windows-1251", "shift_jis", "euc-jp", "utf-16", "nonsense"])
def test_valid_utf8_wins_over_any_label(label: str) -> None:
    decoded = decode_body(xml(SIMPLIFIED, label=label, charset="utf-8"), content_type=html_type(label))
    assert SIMPLIFIED in decoded.text
    assert decoded[1:] == ("utf-8", "utf-8", 0)


@pytest.mark.parametrize("label", ["gb2312", "gbk", "big5", "iso-8859-1", "iso-8859-2", "koi8-r", "windows-1251", "shift_jis"])
def test_utf8_cut_inside_a_character_still_wins(label: str) -> None:
    decoded = decode_body(SIMPLIFIED.encode()[:-1] + b"</title>", content_type=html_type(label))
    assert decoded.text == SIMPLIFIED[:-1] + "\ufffd</title>"
    assert decoded[1:] == ("utf-8", "utf-8", 1)


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_a_byte_order_mark_wins_over_labels_and_is_removed(mark: bytes) -> None:
    charset = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}[mark]
    decoded = decode_body(mark + xml(SIMPLIFIED, label="iso-8859-1", charset=charset), content_type=html_type("gb2312"))
    assert decoded.text.startswith("<?xml")
    assert SIMPLIFIED in decoded.text
    assert decoded[1:] == (charset, "bom", 0)


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_known_by_its_zeros(charset: str) -> None:
    decoded = decode_body(xml(SIMPLIFIED, label="utf-16", charset=charset))
    assert SIMPLIFIED in decoded.text
    assert decoded.charset == charset


@pytest.mark.parametrize("label", ["gb2312", "GB2312", "gbk", "GB18030", "cp936"])
def test_chinese_labels_mean_gb18030(label: str) -> None:
    text = SIMPLIFIED + "镕€𠮷"  # in none but gb18030
    decoded = decode_body(xml(text, label=label, charset="gb18030"))
    assert text in decoded.text
    assert decoded[1:] == ("gb18030", "xml", 0)


def test_the_http_label_wins_over_the_label_in_the_document() -> None:
    decoded = decode_body(xml(SIMPLIFIED, label="iso-8859-2", charset="gb18030"), content_type='text/xml;Charset="GB2312"')
    assert decoded[1:] == ("gb18030", "http", 0)
    assert SIMPLIFIED in decoded.text


@pytest.mark.parametrize("default", ["ISO-8859-1", "us-ascii", "windows-1252"])
def test_the_western_label_that_servers_send_by_default_yields_to_the_document(default: str) -> None:
    decoded = decode_body(xml(SIMPLIFIED, label="gb2312", charset="gbk"), content_type=html_type(default))
    assert decoded[1:] == ("gb18030", "xml", 0)
    assert decode_body("café".encode("cp1252"), content_type=html_type(default)).source == "http"


def test_a_label_that_does_not_fit_is_passed_over() -> None:
    decoded = decode_body(xml(SIMPLIFIED, label="gbk", charset="gbk"), content_type=html_type("utf-8"))
    assert decoded[1:] == ("gb18030", "xml", 0)
    assert SIMPLIFIED in decoded.text


@pytest.mark.parametrize("label", ["utf-8", "x-gbk", "windows-936"])
def test_gbk_under_a_label_that_does_not_fit_is_detected(label: str) -> None:
    decoded = decode_body(xml(SIMPLIFIED, label=label, charset="gbk"))
    assert decoded[1:] == ("gb18030", "detector", 0)
    assert SIMPLIFIED in decoded.text


def test_big5_is_read_with_its_hong_kong_characters() -> None:
    decoded = decode_body(xml(TRADITIONAL + "喺", label="Big5", charset="big5hkscs"))
    assert TRADITIONAL + "喺" in decoded.text
    assert decoded[1:] == ("big5hkscs", "xml", 0)


def test_big5_without_a_label_is_detected() -> None:
    decoded = decode_body(f"<title>{TRADITIONAL * 4}</title>".encode("big5"))
    assert TRADITIONAL in decoded.text
    assert decoded.source == "detector"


@pytest.mark.parametrize("label", ["iso-8859-1", "ISO_8859-1", "latin1", "us-ascii", "ascii"])
def test_western_labels_mean_windows_1252(label: str) -> None:
    decoded = decode_body(b"<title>\x80 5 \x96 caf\xe9\x92s</title>", content_type=html_type(label))
    assert decoded.text == "<title>€ 5 – café’s</title>"
    assert decoded.charset == "cp1252"


def test_a_label_of_central_europe_is_taken_as_it_is() -> None:
    assert "gęś" in decode_body(xml("gęś", label="iso8859-2", charset="iso-8859-2")).text


@pytest.mark.parametrize(
    "label", ["idna", "punycode", "undefined", "unicode_escape", "raw_unicode_escape", "utf-7", "base64", "rot13", "hex", "utf-16", "utf-32", "", "x" * 300, "\x00"]
)
def test_labels_that_name_no_encoding_of_a_document_are_ignored(label: str) -> None:
    decoded = decode_body(f"<title>{SIMPLIFIED}</title>".encode("gbk"), content_type=html_type(label))
    assert SIMPLIFIED in decoded.text
    assert decoded.source == "detector"


def test_a_label_far_inside_the_document_is_not_looked_for() -> None:
    body = b"<rss>" + b" " * 2_000 + b'<?xml encoding="iso-8859-2"?>' + SIMPLIFIED.encode("gbk")
    assert decode_body(body).source == "detector"


@pytest.mark.parametrize("body", [b"", b"plain", b"\xff", b"\x80\x81\x82", bytes(range(256)), b"\xff\xfe", b"\xff\xfe\x00", b"\x00" * 10, b"\xef\xbb\xbf"])
def test_every_body_gives_text(body: bytes) -> None:
    decoded = decode_body(body, content_type="text/xml; charset=utf-8")
    assert isinstance(decoded.text, str)
    assert decoded.replaced == decoded.text.count("\ufffd")


def test_a_long_body_of_no_encoding_is_answered_quickly() -> None:
    body = bytes(range(1, 256)) * 20_000
    began_s = monotonic_s()
    decode_body(body, content_type=html_type("punycode"))
    assert monotonic_s() - began_s < 5
