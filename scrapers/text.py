"""Markup to plain text: what a reader would see, in NFC, one line a block."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from selectolax.lexbor import LexborHTMLParser

from opinion.codec import clean_text

MAX_HTML_CHARS = 1_000_000
"""Most markup of one item that is read: ten times the longest text kept."""
MAX_DEPTH = 250
"""Tags nested deeper are left out. Measured: 20,000 open blocks cost the parser a second and 200,000 minutes; articles reach 40."""
MOST_MARKS = 30
"""Combining marks in a row that are kept: the limit of Unicode's stream-safe form (UAX 15); sorting 40,000 of them takes two seconds."""

_ELEMENTS = (
    "a|abbr|acronym|address|area|article|aside|audio|b|base|bdi|bdo|big|blockquote|body|br|button|canvas|caption|center|cite|code|col|colgroup|data|datalist|dd|del|details|dfn|"
    "dialog|dir|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|frame|frameset|h[1-6]|head|header|hgroup|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|"
    "main|map|mark|marquee|math|menu|meta|meter|nav|nobr|noscript|object|ol|optgroup|option|output|p|param|path|picture|pre|progress|q|rp|rt|ruby|s|samp|script|section|select|"
    "small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|track|tt|u|ul|var|video|wbr"
)
_TAG_NAME = rf"(?:{_ELEMENTS}|[a-z]\w*[:-][\w:-]*)(?=[\s/>])"
"""Elements of HTML, and names of others' with a hyphen or colon. No tags: `<AAPL.O>` of a newswire, `Q3<Q2 and Q4>Q3`."""
_UNSEEN = ["script", "style", "noscript", "template", "iframe", "svg", "head"]
_UNNESTED = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "iframe", "img", "input", "link", "meta", "param", "script", "source", "style", "textarea", "title", "track", "wbr"]
)
"""Elements that nothing nests in."""
_BLOCK = re.compile(r"<(?=/?(?:p|div|br|li|ul|ol|tr|table|h[1-6]|blockquote|pre|hr|section|article|dt|dd|figure)\b)", re.IGNORECASE)
_CELL = re.compile(r"<(?=t[dh]\b)", re.IGNORECASE)
_MARKUP = re.compile(rf"</?{_TAG_NAME}|<!--|&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]+);", re.IGNORECASE)
_NO_TAG = re.compile(rf"<(?!/?{_TAG_NAME}|!)", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-z][^\s/>]*)[^<>]*>", re.IGNORECASE)
_SPACES = re.compile(r"[^\S\n]+")
_LINES = re.compile(r"\s*\n\s*")


def plain_text(markup: str) -> str:
    r"""The text of HTML or of plain text, in NFC, blocks on lines of their own.

    >>> plain_text("<p>Profit <b>fell</b> 5&nbsp;%</p><p>AT&amp;T</p><script>x</script>")
    'Profit fell 5 %\nAT&T'
    >>> plain_text("P < E and AT&T <T.N>")
    'P < E and AT&T <T.N>'
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
    flowing = markup if "<pre" in markup.lower() else markup.replace("\n", " ")  # in HTML a line break is a space like any other
    spaced = _CELL.sub(" <", _BLOCK.sub("\n<", _NO_TAG.sub("&lt;", flowing)))
    tree = LexborHTMLParser(f"<body>{flattened(spaced)}</body>")
    tree.strip_tags(_UNSEEN)
    return tree.body.text() if tree.body is not None else ""


def flattened(markup: str) -> str:
    """The markup without the tags below `MAX_DEPTH`: the parser's time grows with the square of the depth."""
    depth = 0

    def kept(match: re.Match[str]) -> str:
        nonlocal depth
        if match[2].lower() in _UNNESTED:
            return match[0]
        if not match[1]:
            depth += 1
            return match[0] if depth <= MAX_DEPTH else ""
        depth = max(depth - 1, 0)
        return match[0] if depth < MAX_DEPTH else ""

    return _TAG.sub(kept, markup)


def _tidy(text: str) -> str:
    return _LINES.sub("\n", _SPACES.sub(" ", _composed(clean_text(text)))).strip()


def _composed(text: str) -> str:
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", _mark_runs().sub(r"\1", text) if _perhaps_a_run().search(text) else text)


@cache
def _perhaps_a_run() -> re.Pattern[str]:
    """What every run of too many marks matches, and hardly a text without one.

    Marks beyond U+FFFF are taken with all that lies around them: a class that names them one by one is looked through for every character, which made
    this a sixth of the time to parse a feed (measured: 243 against 11 ns a character).
    """
    return re.compile(f"[{_marks(0x300, 0x10000)}\U00010000-\U0001efff]{{{MOST_MARKS + 1}}}")


@cache
def _mark_runs() -> re.Pattern[str]:
    """More combining marks in a row than a word of any language has; the first few are group 1."""
    marks = _marks(0x300, 0x1F000)
    return re.compile(f"([{marks}]{{{MOST_MARKS}}})[{marks}]+")


def _marks(begin: int, end: int) -> str:
    return "".join(chr(code) for code in range(begin, end) if unicodedata.combining(chr(code)))
