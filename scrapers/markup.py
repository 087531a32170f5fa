"""What a body is, before any parser sees it: a feed, a wall, a page; cut to a safe size, refused where it defines entities."""

from __future__ import annotations

import html
import re
from html.entities import html5
from typing import NamedTuple

from opinion.errors import PageChanged, SourceWalled

MAX_ITEMS = 2_000
"""Most items read from one body: ten times the longest real feed; the lenient parser needs 33 us for each."""
MAX_TAGS = 100_000
"""Most elements read from one body: `MAX_ITEMS` with 50 each; the lenient parser needs 28 us for each."""
MAX_ATTRIBUTES = 200
"""Most attributes of one element: the strict parser's time grows with the square of their number; namespaces on a root are 30."""
SNIFF_CHARS = 200_000
"""How far into a page the marks of a challenge are looked for."""

TAIL_CHARS = 2_000
"""How far from its end a feed may close: pages append comments and counters to it."""

_CHALLENGE = re.compile(
    r"cf-chl|challenge-platform|just a moment\.\.\.|_incapsula_|acw_sc__v2|checking your browser|enable javascript and cookies|captcha|px-captcha|datadome|"
    r"are you a robot|unusual traffic|access denied|type=[\"']?password|验证码|安全验证|完成验证|访问验证|滑动验证",
    re.IGNORECASE,
)
_ROOTS = {"rss": "</channel></rss>", "feed": "</feed>", "rdf": "</rdf:RDF>", "channel": "</channel>"}
_ITEM_END = re.compile(r"</(?:\w+:)?(?:item|entry)\s*>", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
_ITEM_START = re.compile(r"<(?:\w+:)?(?:item|entry)[\s>]", re.IGNORECASE)
_TAG = re.compile(r"<(?:!\[CDATA\[|!--|[A-Za-z_])")
_REFERENCE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)(?:#\d{1,7};|#[xX][0-9a-fA-F]{1,6};|[A-Za-z][A-Za-z0-9]{1,31};)?")
_INVALID_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_ROOT = re.compile(r"<([A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")


class Markup(NamedTuple):
    """XML that is safe to parse."""

    text: str  # without its XML declaration
    truncated: bool  # the body broke off
    over_cap: bool  # items beyond MAX_ITEMS or MAX_TAGS were cut off


def safe_markup(text: str) -> Markup:
    """The feed in `text`: invalid characters gone, HTML's references resolved, cut after the last whole item where it broke off or is too long.

    Errors:
        PageChanged: no feed, one that defines entities, or one made of more tags or attributes than any feed needs.
        SourceWalled: a challenge or login page.
    """
    text = _DECLARATION.sub("", _INVALID_XML.sub("", text), count=1)
    prolog_end, root = _root(text)
    if root in ("html", "body", "head", "script") or (root == "" and prolog_end >= 0):
        raise _page(text)
    if root not in _ROOTS:
        raise PageChanged(f"not a feed: the document begins with <{root}>" if root else "not a feed: no XML element in it")
    if "<!doctype" in text[:prolog_end].lower() and "<!entity" in text.lower():
        raise PageChanged("the feed defines XML entities, which is refused: they are how XML bombs are made")
    markup = _cut(text, root)
    return markup._replace(text=_resolved(markup.text))


def _root(text: str) -> tuple[int, str]:
    """Where the first element begins, and its local name in lower case; a doctype of HTML counts as `html`."""
    at = 0
    while (at := text.find("<", at)) >= 0:
        if text.startswith("<!--", at):
            end = text.find("-->", at)
        elif text.startswith("<?", at):
            end = text.find("?>", at)
        elif text[at : at + 9].lower() == "<!doctype":
            if text[at + 9 : at + 15].strip().lower().startswith("html"):
                return at, "html"
            end = _doctype_end(text, at)
        else:
            match = _ROOT.match(text, at)
            return at, match[2].lower() if match else ""
        if end < 0:
            break
        at = end
    return -1, ""


def _doctype_end(text: str, at: int) -> int:
    """Where the doctype at `at` ends, its internal subset included; -1 where it does not."""
    close = text.find(">", at)
    bracket = text.find("[", at, max(close, at))
    if bracket < 0:
        return close
    subset_end = text.find("]", bracket)
    return text.find(">", subset_end) if subset_end >= 0 else -1


def _page(text: str) -> PageChanged | SourceWalled:
    if _CHALLENGE.search(text[:SNIFF_CHARS]):
        return SourceWalled("a challenge or login page came instead of the feed")
    return PageChanged("an HTML page came instead of the feed")


def _cut(text: str, root: str) -> Markup:
    most = _safe_end(text)
    ends = [match.end() for _, match in zip(range(MAX_ITEMS + 1), _ITEM_END.finditer(text, 0, most), strict=False)]
    if len(ends) > MAX_ITEMS or most < len(text):
        if not ends:
            raise PageChanged(f"not a feed: over {MAX_TAGS} elements and no item among them")
        return Markup(text[: ends[:MAX_ITEMS][-1]] + _ROOTS[root], truncated=False, over_cap=True)
    tail = max(len(text) - TAIL_CHARS, 0)
    closings = list(re.finditer(rf"</(?:\w+:)?{root}\s*>", text[tail:], re.IGNORECASE))
    if closings:
        return Markup(text[: tail + closings[-1].end()], truncated=False, over_cap=False)
    first = _ITEM_START.search(text)
    whole = ends[-1] if ends else first.start() if first else len(text)
    return Markup(text[:whole] + _ROOTS[root], truncated=True, over_cap=False)


def _safe_end(text: str) -> int:
    """Where the tag after the `MAX_TAGS`th begins; the length of the text where there is none.

    Errors:
        PageChanged: a tag has more attributes than any feed needs.
    """
    at = 0
    for _ in range(MAX_TAGS):
        match = _TAG.search(text, at)
        if match is None:
            return len(text)
        at = match.start()
        if text.startswith("<!", at):
            end = text.find("]]>" if text[at + 2] == "[" else "-->", at)
        else:
            end = text.find(">", at)
            if text.count("=", at, end if end >= 0 else len(text)) > MAX_ATTRIBUTES:
                raise PageChanged(f"an element has more than {MAX_ATTRIBUTES} attributes")
        if end < 0:
            return len(text)
        at = end
    return at


def _resolved(text: str) -> str:
    """The text with HTML's references as the characters they mean, outside CDATA sections.

    One that XML does not know, or a bare `&`, sends a whole feed to the parser for broken ones, which makes `S&P` into `S&P;`.
    """
    before, *sections = text.split("<![CDATA[")
    parts = [_REFERENCE.sub(_character, before)]
    for section in sections:
        inside, end, after = section.partition("]]>")
        parts += ["<![CDATA[", inside, end, _REFERENCE.sub(_character, after)]
    return "".join(parts)


def _character(match: re.Match[str]) -> str:
    reference = match[0][1:]
    meant = html.unescape(match[0]) if reference.startswith("#") else html5.get(reference)
    return html.escape(meant, quote=False) if meant is not None else "&amp;" + reference
