"""What a body is, before any parser sees it: a feed, a wall, a page; cut to a safe size, refused where it defines entities."""

from __future__ import annotations

import re
from typing import NamedTuple

from opinion.errors import PageChanged, SourceWalled

MAX_ITEMS = 2_000
"""Most items read from one body: ten times the longest real feed; the lenient parser needs 33 us for each."""
SNIFF_CHARS = 200_000
"""How far into a page the marks of a challenge are looked for."""

_CHALLENGE = re.compile(
    r"cf-chl|challenge-platform|just a moment\.\.\.|_incapsula_|acw_sc__v2|checking your browser|enable javascript and cookies|captcha|px-captcha|datadome|"
    r"are you a robot|unusual traffic|access denied|type=[\"']?password|验证码|安全验证|完成验证|访问验证|滑动验证",
    re.IGNORECASE,
)
_ROOTS = {"rss": "</channel></rss>", "feed": "</feed>", "rdf": "</rdf:RDF>", "channel": "</channel>"}
_ITEM_END = re.compile(r"</(?:\w+:)?(?:item|entry)\s*>", re.IGNORECASE)
_DECLARATION = re.compile(r"^\s*<\?xml.*?\?>", re.DOTALL)
_INVALID_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_ROOT = re.compile(r"<([A-Za-z_][\w.-]*:)?([A-Za-z_][\w.-]*)")


class Markup(NamedTuple):
    """XML that is safe to parse."""

    text: str  # without its XML declaration
    truncated: bool  # the body broke off
    over_cap: bool  # items beyond MAX_ITEMS were cut off


def safe_markup(text: str) -> Markup:
    """The feed in `text`: invalid characters gone, cut after the last whole item where it broke off or is too long.

    Errors:
        PageChanged: no feed, or one that defines entities.
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
    return _cut(text, root)


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
            end = text.find(">", _subset_end(text, at))
        else:
            match = _ROOT.match(text, at)
            return at, match[2].lower() if match else ""
        if end < 0:
            break
        at = end
    return -1, ""


def _subset_end(text: str, at: int) -> int:
    """Where the internal subset of the doctype at `at` ends; `at` where it has none."""
    bracket, close = text.find("[", at), text.find(">", at)
    return max(text.find("]", bracket), at) if 0 <= bracket < close else at


def _page(text: str) -> PageChanged | SourceWalled:
    if _CHALLENGE.search(text[:SNIFF_CHARS]):
        return SourceWalled("a challenge or login page came instead of the feed")
    return PageChanged("an HTML page came instead of the feed")


def _cut(text: str, root: str) -> Markup:
    ends = [match.end() for _, match in zip(range(MAX_ITEMS + 1), _ITEM_END.finditer(text), strict=False)]
    if len(ends) > MAX_ITEMS:
        return Markup(text[: ends[MAX_ITEMS - 1]] + _ROOTS[root], truncated=False, over_cap=True)
    closing = re.search(rf"</(?:\w+:)?{root}\s*>\s*(?:<!--.*)?\Z", text[-2000:], re.IGNORECASE | re.DOTALL)
    if closing or not ends:
        return Markup(text, truncated=closing is None, over_cap=False)
    return Markup(text[: ends[-1]] + _ROOTS[root], truncated=True, over_cap=False)
