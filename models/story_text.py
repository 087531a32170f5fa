"""Which documents tell the same story word for word: a normal form of texts, and the story id derived from it.

The id is a function of the document alone (docs/decisions/0002-story-identity.md), so that redelivery and interleaving cannot change a count.
"""

from __future__ import annotations

import re
import unicodedata

from opinion.names import digest
from opinion.records import Document, PaneKind

NORMAL_CHARS = 300
"""Normal characters that decide: feeds cut the same text at different lengths, seldom below this."""
TEXT_ENOUGH_CHARS = 40
"""A text of this many normal characters is known by itself, so that a reprint under another title joins; a shorter one with its title."""
LEAST_SOCIAL_CHARS = 12
"""`涨停了` from two people is two tellings: posts below this are stories of their own."""
LEAST_NEWS_CHARS = 6
"""Two outlets with one short headline do tell the same; only fragments are left alone."""
RAW_CHARS = 4_000
"""Longest beginning that is normalised: 300 normal characters with room for marks."""

AGENCIES = (
    "reuters|rtrs|the associated press|ap|afp|bloomberg|dow jones(?: newswires)?|xinhua|pti|upi|dpa|ians|efe|kyodo|yonhap|cnbc|marketwatch|benzinga"
    "|business ?wire|globe ?newswire|pr ?newswire"
)
WIDE_MARKS = tuple(zip("\uff0c\uff1a\uff08\uff09\uff01\uff1f\uff1b\uff05", ",:()!?;%", strict=True))
"""Chinese punctuation as NFKC would turn it. Done first, NFKC finds most texts normal and is four times as quick."""
LINK = re.compile(r"(?:https?://|www\.|pic\.twitter\.com/|\bt\.co/)[!-~]+")
HEAD = re.compile(
    r"(?:"
    r"(?:rt|repost|转发微博|转发|转自|转载自|转载|转)? ?(?://)? ?@[\w·-]{1,40} ?[:,] ?"  # RT @x:  //@张三:  转发@x:
    r"|(?:来源|文章来源|转自|转载自|转载|原标题|作者|编辑|责任编辑|source) ?:(?: ?[^\n]{1,30}\n)?"  # 来源:新华网 on a line of its own; 原标题:
    r"|[【\[](?:转载|转|repost|快讯|最新|突发|独家)[】\]]"
    r"|(?:转载|转自|repost|fwd) "
    r"|[^\n()]{0,60}\((?:" + AGENCIES + r")\)[ \-–—:]{0,5}"  # NEW YORK, Nov 23 (Reuters) -
    r"|[^\n()]{0,60}/(?:pr ?newswire|business ?wire|globe ?newswire)[^/\n]{0,20}/[ \-–—]{0,5}"
    r"|[\u4e00-\u9fff]{2,12}(?:(?:\d{1,4}年)?\d{1,2}月\d{1,2}日)?[电讯] ?[,:] ?"  # 财联社11月23日电,
    r"|[\u4e00-\u9fff]{2,10}(?:\d{1,4}年)?\d{1,2}月\d{1,2}日[电讯] ?"
    r")"
)
"""What a reprint puts before the text."""
BRACKETED_HEAD = re.compile(r"【[^】\n]{1,120}】")
"""A flash carries its headline so; other outlets carry it as the title."""
_CREDITS = ["责任编辑", "责编", "编辑", "文章来源", "来源", "本文来源", "转自", "转载自", "本文转载自", "本文转自", "作者", "记者", "编译", "校对", "审核", "source", "via"]
_MORES = [
    "read more",
    "see more",
    "find out more",
    "continue reading",
    "read the full story",
    "full story",
    "阅读全文",
    "查看全文",
    "展开全文",
    "阅读原文",
    "点击查看",
    "查看更多",
    "网页链接",
    "全文",
]
_TAILS = (
    *(rf"{word}\s*:\s*[^\n。!?]{{1,60}}" for word in _CREDITS),  # 责任编辑:李四
    *(rf"{word} by\s[^\n。!?]{{1,60}}" for word in ("reporting", "editing", "compiled", "writing")),
    *(rf"{word}(?: at| on| here)?" for word in _MORES),
    r"via @\w+",
    r"\((?:完|end|转载|转)\)",
    r"\([\u4e00-\u9fff]{2,10}(?:报|网|社|财经|新闻|周刊|在线|客户端)\)",
    r"©[^\n]{0,80}",
    *(rf"{dash} ?(?:{AGENCIES})" for dash in (" -", " –", " —", r" \|")),
)
TAIL = re.compile("|".join(rf"{tail}[)\]\s.…>»:→]*$" for tail in _TAILS))
"""What a reprint puts behind the text. Every alternative begins with a letter, so that the search skips quickly."""
BARE_TAILS = ("readmore", "continuereading", "阅读全文", "查看全文", "展开全文", "阅读原文", "网页链接")
"""Tails that dropping punctuation may uncover."""
NOT_WORD = re.compile(r"[\W_]+")
MAX_MARKS = 6
"""Marks taken off at each end; more is no text of people."""


def normal_form(text: str) -> str:
    """Letters and digits of a text without reprint marks, links, case, width, punctuation, spaces and emoji; at most NORMAL_CHARS.

    >>> normal_form("RT @desk: Acme cuts 1,200 jobs! https://t.co/x1") == normal_form("Acme cuts 1200 jobs")
    True
    >>> normal_form("【快讯】財經社11月23日電,Acme裁員１２％。(完)")
    '財經社11月23日電acme裁員12'
    """
    return _squeezed(_without_marks(_folded(text[:RAW_CHARS])))[:NORMAL_CHARS]


def story_id_of(document: Document) -> str:
    """The id of the story that a document tells: `st_` and 24 hex digits; equal for copies and reprints, whoever prints them.

    A text of TEXT_ENOUGH_CHARS is known by itself, a shorter one together with its title. What is too short to be known
    (LEAST_SOCIAL_CHARS, LEAST_NEWS_CHARS) is a story of its own, told by this document.
    """
    key = told_text(document)
    least = LEAST_SOCIAL_CHARS if PaneKind.of(document.kind) is PaneKind.SOCIAL else LEAST_NEWS_CHARS
    return "st_" + digest(key if len(key) >= least else f"document {document.doc_id}", chars=24)


def told_text(document: Document) -> str:
    """What of a document tells its story, in normal form: its text, with its title where the text is short; at most NORMAL_CHARS."""
    raw = _folded(document.text[:RAW_CHARS])
    text = _squeezed(_without_marks(raw))
    title = _squeezed(_without_marks(_folded(document.title[:RAW_CHARS]))) if document.title else ""
    raw = raw.lstrip()
    head = BRACKETED_HEAD.match(raw)
    if head:
        body = _squeezed(_without_marks(raw[head.end() :]))
        title, text = (title or _squeezed(head[0]), body) if len(body) >= TEXT_ENOUGH_CHARS else (title, text)
    if title and text.startswith(title) and (len(text) - len(title) >= TEXT_ENOUGH_CHARS or len(text) == len(title)):
        text = text[len(title) :]
    return (text if len(text) >= TEXT_ENOUGH_CHARS else title + text)[:NORMAL_CHARS]


def _folded(text: str) -> str:
    """One width, one case, no links."""
    if not text.isascii():
        for wide, plain in WIDE_MARKS:
            text = text.replace(wide, plain)
        text = unicodedata.normalize("NFKC", text)
    text = text.casefold()
    return LINK.sub(" ", text) if "/" in text or "www." in text else text


def _without_marks(text: str) -> str:
    for _ in range(MAX_MARKS):
        text = text.lstrip()  # here and not in the pattern: runs of spaces must not be tried in every split
        match = HEAD.match(text)
        if match is None or match.end() == len(text):
            break
        text = text[match.end() :]
    for _ in range(MAX_MARKS):
        match = TAIL.search(text, max(0, len(text) - 160))
        if match is None or match.start() == 0:
            break
        text = text[: match.start()].rstrip("([ \n")
    return text


def _squeezed(text: str) -> str:
    """Letters and digits alone, in a form that squeezing again would not change."""
    form = NOT_WORD.sub("", text)
    while not form.isascii() and (again := NOT_WORD.sub("", unicodedata.normalize("NFKC", form.casefold()))) != form:
        form = again
    while form.endswith(BARE_TAILS):
        form = next(form[: -len(tail)] for tail in BARE_TAILS if form.endswith(tail))
    return form
