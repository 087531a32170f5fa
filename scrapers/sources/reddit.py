"""Reddit: the newest posts of a subreddit.

Wire format as of 2026-11-23, from general knowledge of Reddit's API (listing of kind t3); not tried against the live site.
Since November 2025 the site hands out no keys by itself: off until the operator has a token.
"""

from __future__ import annotations

import re
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import msgspec

from opinion.errors import PageChanged, SourceRateLimited, SourceWalled
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.urls import absolute_url
from scrapers.wire import epoch, item_of, json_of

NAME = "reddit"
ADAPTER_VERSION = 1
POSTS = 100
"""Most posts that a listing gives at once."""
_SITE = "https://www.reddit.com/"
_PEOPLE = re.compile(r"(?<![\w/])(?:https?://(?:\w+\.)?reddit\.com)?(?:/user|/?u)/[\w-]{3,20}")
_GONE = ("[removed]", "[deleted]")


class _Post(msgspec.Struct):
    name: str  # `t3_` and the id
    title: str = ""
    selftext: str | None = None
    created_utc: float | str | None = None
    author: str | None = None
    permalink: str = ""
    score: int | None = None
    hide_score: bool | None = None
    num_comments: int | None = None
    num_crossposts: int | None = None
    crosspost_parent: str | None = None
    link_flair_text: str | None = None
    removed_by_category: str | None = None
    promoted: bool | None = None
    is_created_from_ads_ui: bool | None = None


class _Child(msgspec.Struct):
    kind: str
    data: Any


class _Children(msgspec.Struct):
    children: list[Any]


class _Listing(msgspec.Struct):
    kind: str | None = None
    data: _Children | None = None
    error: int | str | None = None
    message: str | None = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest posts. `raw_json` spares the text a second escaping."""
    name = quote(feed.option("subreddit").strip().removeprefix("/").removeprefix("r/").strip("/"), safe="+")
    return Ask(url=f"https://oauth.reddit.com/r/{name}/new?limit={POSTS}&raw_json=1", headers={"authorization": f"Bearer {feed.option('access_token').strip()}"})


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The posts of a listing, newest first.

    Errors:
        PageChanged: no listing.
        SourceRateLimited: too many requests.
        SourceWalled: the token is refused, or a page for people came.
    """
    listing = json_of(response, _Listing)
    _refuse(listing)
    if listing.kind != "Listing" or listing.data is None:
        raise PageChanged("no listing")
    items = (_item(row, response=response) for row in listing.data.children)
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _refuse(listing: _Listing) -> None:
    """Raise for an error that the body itself tells."""
    if listing.error is None:
        return
    line = f"the API says {listing.error}: {(listing.message or '')[:100]}"
    if str(listing.error) == str(HTTPStatus.TOO_MANY_REQUESTS.value):
        raise SourceRateLimited(line)
    if str(listing.error) in (str(HTTPStatus.UNAUTHORIZED.value), str(HTTPStatus.FORBIDDEN.value)):
        raise SourceWalled(line)
    raise PageChanged(line)


def _item(row: object, *, response: Response) -> Item | Problem:
    child = item_of(row, _Child)
    if isinstance(child, str):
        return Problem("invalid", child)
    if child.kind != "t3":
        return Problem("invalid", f"of kind {child.kind[:20]}, not a post")
    post = item_of(child.data, _Post)
    if isinstance(post, str):
        return Problem("invalid", post)
    if post.promoted or post.is_created_from_ads_ui:
        return Problem("empty", f"{post.name} is an advertisement")
    if post.removed_by_category or post.selftext in _GONE:
        return Problem("empty", f"{post.name} was removed")
    published_at, precision = epoch(post.created_utc, fetched_at=response.fetched_at)
    return Item(
        native_id=post.name,
        title=_PEOPLE.sub("@user", post.title),
        text=_PEOPLE.sub("@user", post.selftext or ""),
        url=absolute_url(post.permalink, base=_SITE),
        published_at=published_at,
        precision=precision,
        published_raw=str(post.created_utc or ""),
        author="" if post.author in _GONE else post.author or "",
        labels={"channels": [post.link_flair_text]} if post.link_flair_text else {},
        engagement=_engagement(post),
        parent_id=post.crosspost_parent,
    )


def _engagement(post: _Post) -> Engagement | None:
    """Votes, where the subreddit does not hide them, crossposts and comments."""
    found = Engagement(likes=None if post.hide_score else post.score, reposts=post.num_crossposts, replies=post.num_comments)
    return None if found == Engagement() else found


MANNERS = Manners(
    stability="red",
    interval_s=60,
    kind=DocumentKind.SOCIAL,
    publisher="reddit.com",
    terms="only with a token granted under the Responsible Builder Policy; 100 requests a minute; nobody may be re-identified, deletions are to be honoured",
    retention_days=2,  # Reddit advises to drop what was stored after 48 hours, since its deletions are not announced (general knowledge)
    full_text=True,
    tried="not tried live; wire format as documented 2026-11-23 (general knowledge)",
    options={
        "access_token": "OAuth bearer token of a program that Reddit has approved; it expires, and is not renewed from here",
        "subreddit": "name without r/; several joined by +",
    },
    needs=("access_token", "subreddit"),
)
SOURCE = Source(NAME, (), parse, MANNERS, ask)
