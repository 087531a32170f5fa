"""A Jetstream that tells of made posts, as a process of its own: `python -m tests.bench.jetstream_posts RATE COUNT`.

Prints its port; once a client came and everything was sent, one JSON object. Messages are as long as the network's: 0.6 kB in the middle. Of a hundred, 15
are deletions, 35 replies, 15 with a link, a fifth of all on finance; a third are in languages that are not asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve

from tests.bench.report import say

TAKEN, DELETED, REPLIES, LINKS, FOREIGN = 0.20, 0.15, 0.35, 0.15, 0.33
TICK_S = 0.02
AT_ONCE = 500
"""Messages between two breaths of a server that sends as fast as it can."""
_ENGLISH = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "it",
    "that",
    "was",
    "my",
    "we",
    "you",
    "so",
    "just",
    "really",
    "today",
    "people",
    "never",
    "thing",
    "good",
    "think",
    "know",
    "cat",
    "photo",
    "music",
    "garden",
    "morning",
    "coffee",
]
_OTHERS = {"ja": "今日はとても天気がよくて散歩に行きました", "pt": "hoje o dia está muito bonito e eu não quero ir para casa", "de": "heute ist das Wetter schön und"}
_FINANCE = ("stocks fall", "$AAPL is down", "inflation is up", "the Fed will cut", "a profit warning", "their earnings call", "股价又跌了", "美联储降息")


def posts(*, seed: int) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Posts without an end: whether each is to be taken, and the message without its time."""
    drawn = random.Random(seed)
    number = 0
    while True:
        number += 1
        did = f"did:plc:{drawn.getrandbits(100):024x}"[:32]
        commit: dict[str, Any] = {"rev": f"3m{number:011x}", "operation": "create", "collection": "app.bsky.feed.post", "rkey": f"3m{number:011x}"}
        if drawn.random() < DELETED:
            yield False, {"did": did, "kind": "commit", "commit": commit | {"operation": "delete"}}
            continue
        taken = drawn.random() < TAKEN / (1 - DELETED)
        commit |= {"record": _record(drawn, taken=taken), "cid": f"bafyreib{drawn.getrandbits(250):051x}"}
        yield taken, {"did": did, "kind": "commit", "commit": commit}


def _record(drawn: random.Random, *, taken: bool) -> dict[str, Any]:
    foreign = not taken and drawn.random() < FOREIGN
    lang = drawn.choice(list(_OTHERS)) if foreign else "en"
    text = _OTHERS[lang] * drawn.randint(1, 4) if foreign else " ".join(drawn.choices(_ENGLISH, k=drawn.randint(5, 45)))
    if taken:
        text = f"{drawn.choice(_FINANCE)}. {text}"
    record: dict[str, Any] = {"$type": "app.bsky.feed.post", "createdAt": "", "langs": [lang], "text": text}
    address = f"at://did:plc:{drawn.getrandbits(100):024x}/app.bsky.feed.post/3m{drawn.getrandbits(40):011x}"
    if drawn.random() < REPLIES:
        reference = {"cid": f"bafyreib{drawn.getrandbits(250):051x}", "uri": address}
        record["reply"] = {"parent": reference, "root": reference}
    if drawn.random() < LINKS:
        link = {"uri": "https://news.example/2026/11/23/a-story-of-the-day", "title": "A story of the day, and what follows", "description": "What happened. " * 12}
        record |= {"embed": {"$type": "app.bsky.embed.external", "external": link}}
        record |= {"facets": [{"index": {"byteStart": 0, "byteEnd": 4}, "features": [{"$type": "app.bsky.richtext.facet#link", "uri": link["uri"]}]}]}
    return record


def frame_of(message: dict[str, Any], *, at_us: int) -> bytes:
    """The message as it is sent at that time."""
    record = message["commit"].get("record")
    if record is not None:
        record["createdAt"] = msgspec.to_builtins(datetime.fromtimestamp(at_us / 1e6, UTC))
    return msgspec.json.encode(message | {"time_us": at_us})


class Teller:
    """Sends `count` posts to the first client, `rate` a second; 0: as fast as it takes them."""

    def __init__(self, *, rate: int, count: int) -> None:
        self._rate = rate
        self._posts = list(islice(posts(seed=7), count))
        now_us = int(time.time() * 1e6)
        self._made = [] if rate else [frame_of(message, at_us=now_us + number) for number, (_, message) in enumerate(self._posts)]
        self.told = asyncio.Event()
        self.began_at = self.ended_at = 0.0

    async def tell(self, connection: ServerConnection) -> None:
        """Send them, then keep still."""
        if self.began_at:
            return
        self.began_at = time.time()
        await (self._paced(connection) if self._rate else self._at_once(connection))
        self.ended_at = time.time()
        self.told.set()
        await connection.wait_closed()

    def report(self) -> str:
        """What was sent, and when."""
        taken = sum(taken for taken, _ in self._posts)
        return json.dumps({"sent": len(self._posts), "taken": taken, "began_at": self.began_at, "ended_at": self.ended_at})

    async def _paced(self, connection: ServerConnection) -> None:
        sent = 0
        while sent < len(self._posts):
            due = min(int((time.time() - self.began_at) * self._rate), len(self._posts))
            for _, message in self._posts[sent:due]:
                await connection.send(frame_of(message, at_us=int(time.time() * 1e6)), text=True)
            sent = due
            await asyncio.sleep(TICK_S)

    async def _at_once(self, connection: ServerConnection) -> None:
        for number, frame in enumerate(self._made):
            await connection.send(frame, text=True)
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)


async def run(*, rate: int, count: int) -> None:
    """Serve one client."""
    teller = Teller(rate=rate, count=count)
    async with serve(teller.tell, "127.0.0.1", 0, ping_interval=None, compression=None) as server:
        say(str(next(iter(server.sockets)).getsockname()[1]))
        await teller.told.wait()
        say(teller.report())
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(rate=int(sys.argv[1]), count=int(sys.argv[2])))
