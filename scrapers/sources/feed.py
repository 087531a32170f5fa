"""RSS, Atom, RDF and JSON Feed: what a body holds, as Documents."""

from __future__ import annotations

import hashlib
import hmac
import io
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import feedparser
import msgspec

from opinion.codec import checked, clean_text
from opinion.errors import EmptyDocument, PageChanged
from opinion.language import detect
from opinion.names import digest, doc_id_of
from opinion.records import Document, DocumentKind
from opinion.settings import Feed
from scrapers.charset import Decoded, decode_body
from scrapers.dates import read_date
from scrapers.markup import MAX_ITEMS, safe_markup
from scrapers.source import Manners, Parsed, Problem, Response, Source
from scrapers.text import one_line, plain_text
from scrapers.urls import absolute_url, canonical_url, host_of
from scrapers.wire import json_value

NAME = "feed"
ADAPTER_VERSION = 1
"""Raised when the same body would give other documents."""
MAX_TAGS = 20
MAX_ID_CHARS = 2_000
"""Longer native ids are cut to this and their hash."""

_GLOBAL_ID = re.compile(r"(?:https?|urn|tag):", re.IGNORECASE)


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    """An item of either form, fields still as they came."""

    guid: str = ""
    url: str | None = None
    title: str = ""
    text: str = ""
    date: str = ""
    author: str = ""
    tags: list[str] = []


class _JsonItem(msgspec.Struct):
    """Strict where a text would be lost, not where only its trimmings are wrong."""

    id: str | int | float | None = None
    url: str | None = None
    external_url: str | None = None
    title: str | None = None
    content_html: str | None = None
    content_text: str | None = None
    summary: str | None = None
    date_published: Any = None
    date_modified: Any = None
    author: Any = None
    authors: Any = None
    tags: Any = None


class _JsonFeed(msgspec.Struct):
    version: str
    items: list[Any]


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The Documents of a feed's body, in its order, each id once.

    Errors:
        PageChanged: no feed, empty, or one that defines XML entities.
        SourceWalled: a challenge or login page.
    """
    decoded = decode_body(response.body, content_type=response.headers.get("content-type", ""))
    text = decoded.text.lstrip("\ufeff \t\r\n")
    if not text:
        raise PageChanged("the body is empty")
    problems: list[Problem] = []
    items = _json_items(text, response.url, problems) if text[0] == "{" else [_xml_item(entry, response.url) for entry in entries_of(text, problems)]
    documents = []
    for native_id, item in _identified(items, host_of(feed.url) or host_of(response.url), problems):
        document = _document(item, native_id=native_id, response=response, feed=feed, decoded=decoded, author_key=author_key)
        try:
            documents.append(checked(document))
        except EmptyDocument:
            problems.append(Problem("empty", f"{native_id[:200]} has neither title nor text"))
    return Parsed(documents, problems)


def entries_of(text: str, problems: list[Problem]) -> list[dict[str, Any]]:
    """The entries of an XML feed as feedparser has them; whole ones only, where it broke off.

    Errors:
        PageChanged: no feed, or one that defines XML entities.
        SourceWalled: a challenge or login page.
    """
    markup = safe_markup(text)
    if markup.truncated:
        problems.append(Problem("truncated", "the body broke off; whole items were kept"))
    if markup.over_cap:
        problems.append(Problem("over_cap", f"only the first {MAX_ITEMS} items were read"))
    stream = io.BytesIO(markup.text.encode())  # never a string: feedparser would take one for an address or a path
    headers = {"content-type": "application/xml; charset=utf-8"}  # no content-location: feedparser would make addresses of plain guids
    found = feedparser.parse(stream, response_headers=headers, resolve_relative_uris=False, sanitize_html=False)
    if not found.version and not found.entries:
        raise PageChanged("not a feed that can be read")
    return list(found.entries[:MAX_ITEMS])


def _xml_item(entry: dict[str, Any], base: str) -> _Item:
    guid, link = clean_text(str(_field(entry, "id"))).strip(), str(_field(entry, "link")).strip()
    if link == guid and not guid.lower().startswith(("http://", "https://")):
        link = ""  # a guid that does not say that it is no address
    bodies = [str(part.get("value") or "") for part in _field(entry, "content") or []]
    return _Item(
        guid=guid,
        url=absolute_url(link, base=base),
        title=str(_field(entry, "title")),
        text=max([*bodies, str(_field(entry, "summary"))], key=len),
        date=str(_field(entry, "published") or _field(entry, "updated")),
        author=str(_field(entry, "author")),
        tags=[str(tag.get("term") or "") for tag in _field(entry, "tags") or []],
    )


def _field(entry: dict[str, Any], key: str) -> Any:
    """What the entry itself says, or "": feedparser's own `get` invents `updated` from `published`."""
    return dict.get(entry, key) or ""


def _json_items(text: str, base: str, problems: list[Problem]) -> list[_Item]:
    try:
        found = msgspec.convert(json_value(text), _JsonFeed)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise PageChanged(f"not a JSON Feed: {error}") from error
    if "jsonfeed.org/version" not in found.version:
        raise PageChanged("not a JSON Feed: its version is another")
    if len(found.items) > MAX_ITEMS:
        problems.append(Problem("over_cap", f"only the first {MAX_ITEMS} items were read"))
    items = []
    for raw in found.items[:MAX_ITEMS]:
        try:
            items.append(_json_item(msgspec.convert(raw, _JsonItem), base))
        except msgspec.ValidationError as error:
            problems.append(Problem("invalid", str(error)))
    return items


def _json_item(item: _JsonItem, base: str) -> _Item:
    authors = item.authors if isinstance(item.authors, list) and item.authors else [item.author]
    names = [author.get("name") if isinstance(author, dict) else author for author in authors]
    tags = item.tags if isinstance(item.tags, list) else [item.tags]
    return _Item(
        guid=clean_text("" if item.id is None else str(item.id)).strip(),
        url=absolute_url(item.url or item.external_url or "", base=base),
        title=item.title or "",
        text=item.content_html or item.content_text or item.summary or "",
        date=str(item.date_published or item.date_modified or ""),
        author=", ".join(name for name in names if name and isinstance(name, str)),
        tags=[tag for tag in tags if isinstance(tag, str)],
    )


def _identified(items: list[_Item], host: str, problems: list[Problem]) -> Iterable[tuple[str, _Item]]:
    """Every item with its native id, each id once.

    A guid that one body uses for several addresses names none of them: the address is added to all of these.
    Likewise the title to an address that is, without a guid, that of several items: the front page, as a rule.
    """
    uses: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    addressed = [(item, canonical_url(item.url or "") or "") for item in items]
    for item, address in addressed:
        uses[_named(item, address)].add(address if item.guid else item.title)
    seen: set[str] = set()
    for item, address in addressed:
        native_id = _native_id(item, host, address, shared=len(uses[_named(item, address)]) > 1)
        if native_id in seen:
            problems.append(Problem("duplicate", f"{native_id[:200]} occurs again"))
            continue
        seen.add(native_id)
        yield native_id, item


def _named(item: _Item, address: str) -> tuple[str, str]:
    """What names an item: its guid, else its address."""
    return (item.guid, "") if item.guid else ("", address)


def _native_id(item: _Item, host: str, address: str, *, shared: bool) -> str:
    said = f"title:{digest(one_line(item.title) or plain_text(item.text), chars=32)}"
    if item.guid:
        known = item.guid if _GLOBAL_ID.match(item.guid) else f"{host}:{item.guid}"
        native_id = f"{known} {address}" if shared and address else known
    elif address:
        native_id = f"{address} {said}" if shared else address
    else:
        native_id = f"{host}:{said}"
    return native_id if len(native_id) <= MAX_ID_CHARS else native_id[:MAX_ID_CHARS] + digest(native_id, chars=32)


def _document(item: _Item, *, native_id: str, response: Response, feed: Feed, decoded: Decoded, author_key: bytes) -> Document:
    title, text = one_line(item.title), plain_text(item.text)
    text = "" if text == title else text
    published_at, precision = read_date(item.date, fetched_at=response.fetched_at)
    extra: dict[str, Any] = {
        "http_status": response.status,
        "charset": decoded.charset,
        "charset_source": decoded.source,
        "truncated": False,
        "adapter_version": ADAPTER_VERSION,
    }
    if decoded.replaced:
        extra["replaced_characters"] = decoded.replaced
    if item.date.strip() and published_at is None:
        extra["published_raw"] = one_line(item.date)[:100]
    tags = [tag for tag in (one_line(raw) for raw in item.tags[:MAX_TAGS]) if tag]
    return Document(
        doc_id=doc_id_of(NAME, native_id),
        source=NAME,
        publisher=feed.publisher or host_of(item.url or "") or host_of(feed.url) or "unknown",
        kind=DocumentKind(feed.kind or "news"),
        native_id=native_id,
        url=item.url,
        canonical_url=canonical_url(item.url) if item.url else None,
        title=title,
        text=text,
        lang=feed.lang or detect(f"{title}\n{text}"),
        published_at=published_at,
        published_precision=precision,
        fetched_at=response.fetched_at,
        author_hash=_author_hash(item.author, host_of(feed.url), author_key),
        content_hash=digest(f"{title}\n{text}", chars=32),
        labels={"channels": tags} if tags else {},
        extra=extra,
    )


def _author_hash(author: str, host: str, key: bytes) -> str | None:
    """HMAC-SHA-256 of the author, other for every host, so that people cannot be joined across sources."""
    name = one_line(author).casefold()
    if not name or not key:
        return None
    return hmac.new(key, f"{NAME}\n{host}\n{name}".encode(), hashlib.sha256).hexdigest()


MANNERS = Manners(
    stability="green",
    interval_s=60,
    kind=DocumentKind.NEWS,
    terms="those of each publisher; a feed is made to be read by programs",
    tried="live never from here; samples of real feeds in tests/data/feed",
)
SOURCE = Source(NAME, ("rss", "atom", "rdf", "jsonfeed", "feeds"), parse, MANNERS)
