"""Markup to plain text: what a reader would see, in NFC, one line a block."""

from __future__ import annotations

import re
import unicodedata

from selectolax.lexbor import LexborHTMLParser

from opinion.codec import clean_text

MAX_HTML_CHARS = 1_000_000
"""Most markup of one item that is read: ten times the longest text kept."""

_UNSEEN = ["script", "style", "noscript", "template", "iframe", "svg", "head"]
_BLOCK = re.compile(r"<(?=/?(?:p|div|br|li|ul|ol|tr|table|h[1-6]|blockquote|pre|hr|section|article|dt|dd|figure)\b)", re.IGNORECASE)
_CELL = re.compile(r"<(?=t[dh]\b)", re.IGNORECASE)
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]*>|<!--|&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z][a-zA-Z0-9]+);")
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")


def plain_text(markup: str) -> str:
    """The text of HTML or of plain text, in NFC, blocks on lines of their own.

    >>> plain_text("<p>Profit <b>fell</b> 5&nbsp;%</p><p>AT&amp;T</p><script>x</script>")
    'Profit fell 5 %\\nAT&T'
    >>> plain_text("P < E and AT&T")
    'P < E and AT&T'
    """
    markup = clean_text(markup[:MAX_HTML_CHARS])
    return _tidy(_strip(markup) if _MARKUP.search(markup) else markup)


def one_line(markup: str) -> str:
    """The same on one line: for titles.

    >>> one_line("茅台<br>净利润")
    '茅台 净利润'
    """
    return plain_text(markup).replace("\n", " ")


def _strip(markup: str) -> str:
    spaced = _CELL.sub(" <", _BLOCK.sub("\n<", markup))
    tree = LexborHTMLParser(f"<body>{spaced}</body>")
    tree.strip_tags(_UNSEEN)
    return tree.body.text() if tree.body is not None else ""


def _tidy(text: str) -> str:
    return _LINES.sub("\n", _SPACES.sub(" ", unicodedata.normalize("NFC", clean_text(text)))).strip()
