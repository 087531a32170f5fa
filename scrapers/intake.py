"""Documents that are posted to us: a body at a time, in the order of arrival; its sender is answered when Kafka has acknowledged and Redis remembers.

Knows nothing of HTTP: `scrapers/intake_server.py` brings the posts. A post that was answered with an error may be sent again: what was published is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from opinion.errors import BodyTooLarge, PageChanged, SourceError, SourceUnavailable, StoreUnavailable, YuqingError
from opinion.settings import Feed, Settings
from scrapers.cursor import Cursor
from scrapers.decompress import decompress
from scrapers.parsing import Parser
from scrapers.poll import Polled
from scrapers.publish import Publisher
from scrapers.source import Parsed, Problem, Response
from scrapers.sources.documents import MAX_ROWS, NAME, brought

INTAKE = "intake"
"""What it is called in `status` and metrics."""
IDLE_S = 10.0
"""Without a post for so long, it is reported as alive and without news."""
RETRY_S = 1.0
"""Wait after a failure that nobody thought of."""
MOST_HELD = 8
"""Posts in memory at once, those still being read counted; each up to `max_body_bytes`."""


class Taken(Struct, frozen=True):
    """What became of the rows of a post. Each is in exactly one of the three."""

    accepted: int  # published now, and acknowledged
    duplicates: int  # not published: known in this wording, taken back before, or edited more often than is believed
    problems: Sequence[Problem] = ()


class Post(Struct, frozen=True, eq=False):
    """One body on its way."""

    body: bytes
    content_type: str
    encoding: str  # its Content-Encoding
    arrived_at: datetime
    answer: asyncio.Future[Taken | YuqingError]

    def tell(self, answer: Taken | YuqingError) -> None:
        """Answer its sender; the first answer counts."""
        if not self.answer.done():
            self.answer.set_result(answer)


class Inbox:
    """Where the server leaves posts, and the intake's loop finds them.

    open ──close()──▶ closed: whoever waits is told
    """

    def __init__(self) -> None:
        self._posts: asyncio.Queue[Post] = asyncio.Queue()
        self._held = 0
        self.open = True

    def enter(self) -> bool:
        """Take a place for a post, if one is free; `put` or `leave` follows."""
        if self._held >= MOST_HELD:
            return False
        self._held += 1
        return True

    def leave(self) -> None:
        """Give the place back."""
        self._held -= 1

    def put(self, post: Post) -> None:
        """Leave a post; its place is given back when it is answered."""
        post.answer.add_done_callback(lambda _: self.leave())
        self._posts.put_nowait(post)
        if not self.open:
            self.close()

    async def get(self, *, within_s: float) -> Post | None:
        """The next post; None where none comes in time."""
        try:
            async with asyncio.timeout(within_s):
                return await self._posts.get()
        except TimeoutError:
            return None

    def close(self) -> None:
        """Take no more."""
        self.open = False
        while not self._posts.empty():
            self._posts.get_nowait().tell(StoreUnavailable("the intake is closing"))


def intake_of(settings: Settings) -> Feed:
    """The intake as a feed.

    Errors:
        ConfigError: `intake_fields` is of another form.
    """
    return brought(INTAKE, fields=settings.intake_fields, wait_s=RETRY_S)


class IntakePoller:
    """Publishes what is posted, one post a poll."""

    def __init__(self, settings: Settings, inbox: Inbox, parser: Parser, publisher: Publisher) -> None:
        self._most_bytes = settings.max_body_bytes
        self._inbox = inbox
        self._parser = parser
        self._publisher = publisher

    async def poll(self, feed: Feed) -> Polled:
        """Publish the next post; at most IDLE_S after the call where there is none. A body that cannot be read is its sender's to mend, and no failure of ours.

        Errors:
            SourceUnavailable: nobody can post any more.
            BusUnavailable, StoreUnavailable (retryable): the sender was told to send again.
        """
        if not self._inbox.open:
            raise SourceUnavailable("its HTTP server has ended: only a new start of the scraper opens it again")
        post = await self._inbox.get(within_s=IDLE_S)
        if post is None:
            return Polled(outcome="not_modified", at_once=True)
        try:
            return await self._take(post, feed)
        except SourceError as error:
            post.tell(error)
            return Polled(outcome=error.reason.value, problems=[Problem("invalid", str(error))], at_once=True)
        except Exception as error:
            post.tell(error if isinstance(error, YuqingError) else YuqingError("it was not published (see the log of the scraper)"))
            raise
        finally:
            post.tell(StoreUnavailable("the intake is closing"))  # only a cancellation leaves it unanswered

    async def _take(self, post: Post, feed: Feed) -> Polled:
        body = await asyncio.to_thread(decompress, post.body, encoding=post.encoding, max_bytes=self._most_bytes)
        response = Response(url="", headers={"content-type": post.content_type}, body=body, fetched_at=post.arrived_at)
        parsed = usable(await self._parser.parse(NAME, response, feed=feed, author_key=await self._publisher.cursors(NAME).author_key()))
        published = await self._publisher.publish(parsed.documents, source=NAME, key=INTAKE, cursor=Cursor(), at=post.arrived_at)
        post.tell(Taken(len(published), len(parsed.documents) - len(published), parsed.problems))
        return Polled(outcome="ok" if parsed.documents else "empty", published=published, problems=parsed.problems, at_once=True)


def usable(parsed: Parsed) -> Parsed:
    """What a body held, unless its sender would take the answer for a success that it is not.

    Errors:
        BodyTooLarge: it has more rows than are read.
        PageChanged: it has rows, and none became a document.
    """
    if any(problem.reason == "over_cap" for problem in parsed.problems):
        raise BodyTooLarge(f"over {MAX_ROWS} rows: send them in parts")
    if parsed.problems and not parsed.documents:
        first = parsed.problems[0]
        raise PageChanged(f"none of its rows is a document; the first: {first.detail}")
    return parsed
