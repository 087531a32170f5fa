"""From the parts that an adapter read to a Document: cleaned, identified, hashed and checked."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from opinion.codec import checked
from opinion.errors import EmptyDocument
from opinion.language import detect
from opinion.names import digest, doc_id_of
from opinion.records import Document, DocumentKind, Engagement, Op, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Problem, Response
from scrapers.text import one_line, plain_text
from scrapers.urls import canonical_url, host_of

_BRACKETED = re.compile(r"\s*【(?P<title>[^【】]{2,120})】\s*(?P<text>.*)", re.DOTALL)
_MENTION = re.compile(
    r"(?<![\w.@])(?<![^/]/)@(?!董秘|董事)"  # not in mail and addresses, but after the `//` of reposts; an office is nobody's name
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?(?:@[\w.-]+\w)?|\w[\w-]{0,14})"  # Chinese names run on into the sentence: the longest are 15
)


class Item(Struct, frozen=True, kw_only=True):
    """One item as an adapter read it; markup and spaces still as they came."""

    native_id: str
    title: str = ""
    text: str = ""
    url: str | None = None
    publisher: str = ""
    published_at: datetime | None = None
    precision: Precision | None = None
    published_raw: str = ""  # kept where no instant could be made of it
    lang: str = ""
    author: str = ""  # hashed, never kept
    symbols: list[str] = field(default_factory=list)
    labels: dict[str, Any] = field(default_factory=dict)
    engagement: Engagement | None = None
    parent_id: str | None = None
    op: Op = Op.CREATE
    kind: DocumentKind | None = None  # None: the feed's
    version: int = 1  # above 1 where the same body told of it before


def documents_of(items: Iterable[Item | Problem], *, source: str, version: int, response: Response, feed: Feed, author_key: bytes) -> Parsed:
    """The Documents of items, each id once; a problem among them is passed on."""
    documents: dict[str, Document] = {}
    problems: list[Problem] = []
    for item in items:
        if isinstance(item, Problem):
            problems.append(item)
            continue
        document = _document(item, source=source, version=version, response=response, feed=feed, author_key=author_key)
        if document.doc_id in documents:
            problems.append(Problem("duplicate", f"{item.native_id[:200]} occurs again"))
            continue
        try:
            documents[document.doc_id] = checked(document)
        except EmptyDocument:
            problems.append(Problem("empty", f"{item.native_id[:200]} has neither title nor text"))
    return Parsed(list(documents.values()), problems)


def latest(items: Iterable[Item | Problem]) -> list[Item | Problem]:
    """Of messages that tell of the same item one after the other, the last one, at its place; problems all.

    A deletion of what was written before has version 2: what an earlier try has published of the same messages may be known to nobody but Kafka.
    """
    found: dict[object, Item | Problem] = {}
    for number, item in enumerate(items):
        key = item.native_id if isinstance(item, Item) else number
        before = found.pop(key, None)
        written = isinstance(before, Item) and (before.op is not Op.DELETE or before.version > 1)
        found[key] = replace(item, version=2) if written and isinstance(item, Item) and item.op is Op.DELETE else item
    return list(found.values())


def bracketed(text: str) -> tuple[str, str]:
    """Title and text of a Chinese flash that carries its title in front.

    >>> bracketed("【央行公开市场操作】今日净投放500亿元。")
    ('央行公开市场操作', '今日净投放500亿元。')
    >>> bracketed("今日净投放500亿元。")
    ('', '今日净投放500亿元。')
    """
    match = _BRACKETED.fullmatch(text)
    return (match["title"], match["text"]) if match else ("", text)


def titled(title: str | None, text: str | None) -> tuple[str, str]:
    """Title and text of a flash: a title in front of the text is taken out of it where it is the only one, or says the same.

    >>> titled("", "【央行操作】净投放500亿元。"), titled("央行操作", "【央行操作】净投放500亿元。")
    (('央行操作', '净投放500亿元。'), ('央行操作', '净投放500亿元。'))
    >>> titled("早报", "【央行操作】净投放500亿元。")
    ('早报', '【央行操作】净投放500亿元。')
    """
    whole = text or ""
    found, rest = bracketed(whole)
    if found and (not title or one_line(found) == one_line(title)):
        return title or found, rest
    return title or "", whole


def exchange_symbol(raw: str) -> str | None:
    """A Chinese listing as we write it, or None where it names none.

    >>> exchange_symbol("sh600519"), exchange_symbol("000001.SZ"), exchange_symbol("hk00700")
    ('XSHG:600519', 'XSHE:000001', 'XHKG:00700')
    """
    match = re.fullmatch(r"(?P<before>sh|sz|bj|hk)?[.:]?(?P<code>\d{5,6})(?:[.:](?P<after>sh|sz|ss|bj|hk))?", raw.strip().lower(), re.ASCII)
    market = match and (match["before"] or match["after"])
    if not match or not market or len(match["code"]) != (5 if market == "hk" else 6):
        return None
    return f"{ {'sh': 'XSHG', 'ss': 'XSHG', 'sz': 'XSHE', 'bj': 'XBSE', 'hk': 'XHKG'}[market] }:{match['code']}"


def author_hash(author: str, *, source: str, host: str, key: bytes) -> str | None:
    """HMAC-SHA-256 of the author, other for every source and host, so that people cannot be joined across them; None without author or key."""
    name = one_line(author).casefold()
    if not name or not key:
        return None
    return hmac.new(key, f"{source}\n{host}\n{name}".encode(), hashlib.sha256).hexdigest()


def without_mentions(text: str) -> str:
    """The text with @names of people replaced.

    >>> without_mentions("@ann.b thanks, ask @bob@social.example or mail a@b.example")
    '@user thanks, ask @user or mail a@b.example'
    >>> without_mentions("跌了//@李四:早说过 @董秘请问产能如何")
    '跌了//@user:早说过 @董秘请问产能如何'
    """
    return _MENTION.sub("@user", text)


def _document(item: Item, *, source: str, version: int, response: Response, feed: Feed, author_key: bytes) -> Document:
    title, text = one_line(item.title), plain_text(item.text)
    text = "" if text == title else text
    kind = item.kind or DocumentKind(feed.kind or "news")
    if kind in (DocumentKind.SOCIAL, DocumentKind.QA):
        title, text = without_mentions(title), without_mentions(text)
    extra: dict[str, Any] = {"http_status": response.status, "truncated": False, "adapter_version": version}
    if item.published_at is None and item.published_raw:
        extra["published_raw"] = one_line(item.published_raw)[:100]
    return Document(
        op=item.op,
        doc_id=doc_id_of(source, item.native_id),
        source=source,
        publisher=item.publisher or feed.publisher or host_of(item.url or "") or host_of(response.url) or source,
        kind=kind,
        native_id=item.native_id,
        url=item.url,
        canonical_url=canonical_url(item.url) if item.url else None,
        title=title,
        text=text,
        lang=item.lang or feed.lang or detect(f"{title}\n{text}"),
        published_at=item.published_at,
        published_precision=item.precision,
        fetched_at=response.fetched_at,
        symbols=list(dict.fromkeys(item.symbols)),
        author_hash=author_hash(item.author, source=source, host=host_of(response.url), key=author_key),
        engagement=item.engagement,
        parent_id=item.parent_id,
        version=item.version,
        content_hash=digest(f"{title}\n{text}", chars=32),
        labels=item.labels,
        extra=extra,
    )
