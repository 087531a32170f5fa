"""Telegram: the newest posts of a public channel, about 20, from the preview that t.me shows without an account.

Wire format (HTML) as of 2026-11-23, as client code reads it; not tried against the live site. A channel without preview, and one that does not exist,
answers with the same page, which only offers to open the program: *walled*. Text that a post replies to is not its own and is not taken.
"""

from __future__ import annotations

import re
from datetime import datetime

from selectolax.lexbor import LexborHTMLParser, LexborNode

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, bracketed, documents_of
from scrapers.dates import read_date
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.text import MAX_HTML_CHARS, flattened, plain_text
from scrapers.wire import text_of

NAME = "telegram"
ADAPTER_VERSION = 1
ADDRESS = "https://t.me/s/"

_CHANNEL = re.compile(r"[A-Za-z]\w{3,31}", re.ASCII)
_POST = re.compile(r"[A-Za-z]\w{3,31}/\d{1,15}", re.ASCII)
_POST_LINK = re.compile(rf"(?:https?:)?//(?:www\.)?t(?:elegram)?\.me/(?:s/)?({_POST.pattern})(?![\w/])", re.ASCII)
_COUNT = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,3})?)(?P<unit>[KMB]?)", re.ASCII)
_UNITS = {"": 1, "K": 1_000, "M": 1_000_000, "B": 1_000_000_000}


def ask(feed: Feed, now: datetime) -> Ask:
    """The preview of the channel: a page for people.

    Errors:
        ConfigError: no name of a channel.
    """
    del now
    channel = re.sub(r"^(?:(?:https?://)?t\.me/(?:s/)?|@)", "", feed.option("channel").strip()).rstrip("/")
    if not _CHANNEL.fullmatch(channel):
        raise ConfigError(f"source {NAME}: option `channel` is the name of a public channel, as in t.me/name; numbers and invitations have no preview")
    return Ask(url=f"{ADDRESS}{channel}", page=True)


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The posts on the page, oldest first; the last one of a page that is cut off is left out.

    Errors:
        PageChanged: another page.
        SourceWalled: the channel shows no preview.
    """
    text = text_of(response)
    tree = LexborHTMLParser(flattened(text[:MAX_HTML_CHARS]))
    posts = tree.css(".tgme_widget_message[data-post]")
    if not posts and tree.css_first(".tgme_channel_history") is None:
        if tree.css_first(".tgme_page") is not None:
            raise SourceWalled("the channel shows no preview, is private, or does not exist")
        raise PageChanged("no page of a channel")
    whole = "</html" in text[:MAX_HTML_CHARS][-200:].lower()
    items = [item for post in (posts if whole else posts[:-1]) if (item := _item(post, response=response)) is not None]
    if not whole:
        items.append(Problem("truncated", "the page broke off; whole posts were kept"))
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _item(post: LexborNode, *, response: Response) -> Item | Problem | None:
    """A post; None for what Telegram itself tells, as a new picture of the channel."""
    if "service_message" in (post.attributes.get("class") or "").split():
        return None
    name = post.attributes.get("data-post") or ""
    if not _POST.fullmatch(name):
        return Problem("invalid", f"a post that is called {name[:100]!r}")
    parent_id = _linked(post, ".tgme_widget_message_reply") or _linked(post, ".tgme_widget_message_forwarded_from_name")
    for reply in post.css(".tgme_widget_message_reply"):
        reply.decompose()  # holds a text of the same class
    body, time = post.css_first(".tgme_widget_message_text"), post.css_first("time[datetime]")
    title, text = bracketed(plain_text(body.html or "") if body is not None else "")
    raw = (time.attributes.get("datetime") or "") if time is not None else ""
    published_at, precision = read_date(raw, fetched_at=response.fetched_at)
    views = count(_text(post, ".tgme_widget_message_views"))
    return Item(
        native_id=name.lower(),  # case is the owner's to change
        title=title,
        text=text,
        url=f"https://t.me/{name}",
        publisher=f"t.me/{name.partition('/')[0].lower()}",
        published_at=published_at,
        precision=precision,
        published_raw=raw,
        author=_text(post, ".tgme_widget_message_from_author"),
        engagement=None if views is None else Engagement(views=views),
        parent_id=parent_id,
    )


def _text(post: LexborNode, selector: str) -> str:
    node = post.css_first(selector)
    return node.text().strip() if node is not None else ""


def _linked(post: LexborNode, selector: str) -> str | None:
    """The id of the post that a node leads to."""
    node = post.css_first(selector)
    match = _POST_LINK.match(node.attributes.get("href") or "") if node is not None else None
    return match[1].lower() if match else None


def count(shown: str) -> int | None:
    """The number that is shown short; None where it is none.

    >>> count("1.2K"), count("987"), count("3M"), count("")
    (1200, 987, 3000000, None)
    """
    match = _COUNT.fullmatch(shown.strip())
    return round(float(match["number"]) * _UNITS[match["unit"]]) if match else None


MANNERS = Manners(
    stability="amber",
    interval_s=60,
    kind=DocumentKind.SOCIAL,
    terms="public previews of public channels; what is posted belongs to its channel; robots.txt is asked",
    full_text=True,
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={"channel": "name of a public channel, as in t.me/name"},
    needs=("channel",),
)
SOURCE = Source(NAME, ("tg",), parse, MANNERS, ask)
