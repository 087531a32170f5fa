"""Bytes to text: BOM, then UTF-8 valid but for a slip, then the HTTP label, then the XML label, then a detector."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

DETECTOR_BYTES = 65_536
"""How much of a body the detector sees: its verdict does not change beyond, its time does."""
REPLACED_SHARE = 0.1
"""A body that is UTF-8 but for a few broken characters (cut by bytes, as Chinese summaries often are): up to this many per good non-ASCII one.

Other encodings read as UTF-8 break in nearly every character, whatever the label says.
"""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_WIDE = ((b"<\x00?\x00", "utf-16-le"), (b"\x00<\x00?", "utf-16-be"))
_WIDE_NAMES = ("utf-16", "utf-32")
"""As labels they lie: a body that wide is known by its mark or its zeros, and any other reads as nonsense without an error."""
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "iso8859-1": "cp1252", "ascii": "cp1252", "shift_jis": "cp932", "euc_kr": "cp949"}
"""What senders mean by a label is the superset that their systems write."""
_NEVER_MEANT = frozenset(["idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape", "utf-7"])
"""Python's own, or dead: some of them raise, or take hours, where others replace."""
_HTTP_LABEL = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_XML_LABEL = re.compile(rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)


class Decoded(NamedTuple):
    """Text, and how it was found out."""

    text: str
    charset: str
    source: str  # bom, utf-8, http, xml, detector, none
    replaced: int  # characters that could not be read


def decode_body(body: bytes, *, content_type: str = "") -> Decoded:
    """The body as text; always gives one, with U+FFFD for what cannot be read.

    >>> decode_body("股价".encode("gbk"), content_type="text/xml; charset=GB2312")[:3]
    ('股价', 'gb18030', 'http')
    """
    for mark, charset in _BOMS:
        if body.startswith(mark):
            return _lenient(body[len(mark) :], charset=charset, source="bom")
    for mark, charset in _WIDE:
        if body.startswith(mark):
            return _lenient(body, charset=charset, source="xml")
    text = _strict(body, "utf-8")
    if text is not None:
        return Decoded(text, "utf-8", "utf-8", 0)
    nearly = _lenient(body, charset="utf-8", source="utf-8")
    if nearly.replaced <= REPLACED_SHARE * (sum(character > "\x7f" for character in nearly.text) - nearly.replaced):
        return nearly
    labels = _labels(body, content_type)
    for charset, source in labels:
        text = _strict(body, charset)
        if text is not None:
            return Decoded(text, charset, source, 0)
    return _guess(body, fallback=labels[-1][0] if labels else "utf-8")


def _labels(body: bytes, content_type: str) -> list[tuple[str, str]]:
    found = []
    http, xml = _HTTP_LABEL.search(content_type), _XML_LABEL.search(body[:1024])
    if http:
        found.append((http[1], "http"))
    if xml:
        found.append((xml[1].decode("ascii", "replace"), "xml"))
    known = [(charset, source) for label, source in found if (charset := _known(label))]
    return sorted(known, key=lambda label: label[0] == "cp1252")  # what servers say of every file, and what fits nearly every one


def _known(label: str) -> str | None:
    """Python's name of the text encoding that a label means; None where there is none."""
    try:
        info = codecs.lookup(label)
    except (LookupError, ValueError):
        return None
    if not getattr(info, "_is_text_encoding", True) or info.name in _NEVER_MEANT or info.name.startswith(_WIDE_NAMES):
        return None
    return _SUPERSETS.get(info.name, info.name)


def _strict(body: bytes, charset: str) -> str | None:
    try:
        return body.decode(charset)
    except (UnicodeError, ValueError):
        return None


def _lenient(body: bytes, *, charset: str, source: str) -> Decoded:
    text = body.decode(charset, "replace")
    return Decoded(text, charset, source, text.count("\ufffd"))


def _guess(body: bytes, *, fallback: str) -> Decoded:
    """No label fits: what the detector says, else the label with losses."""
    import chardet  # noqa: PLC0415 - half a second to import, and seldom needed

    charset = _known(chardet.detect(body[:DETECTOR_BYTES])["encoding"] or "")
    if charset is not None:
        return _lenient(body, charset=charset, source="detector")
    return _lenient(body, charset=fallback, source="none")
