"""Bodies that sources may send, each with what must come of it: `tests/data/<source>/**/<body>` and `<body>.expected.json` beside it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from opinion.errors import SourceError
from opinion.settings import Feed
from scrapers.source import Parsed, Response, Source, fitted
from tests.support.records import NOON

DATA = Path(__file__).parents[1] / "data"
EXPECTED = ".expected.json"
FEED = Feed(url="https://feeds.example/news/all.xml")
AUTHOR_KEY = b"an author key for tests"

RECIPE = """source {name!r} has no samples. To add them:
1. Put bodies as the server sends them, byte for byte, into tests/data/{name}/ (say in a SOURCE.txt where they are from and under which licence):
   a usual one, an empty one, one with everything optional left out, one that is cut off, and what comes instead on a bad day (an error, a login page).
2. Run `python -m tests.contract.update {name}`: it writes <body>.expected.json beside each.
3. Read every expectation as a person would. Where the answer is wrong, mend the parser and go to 2."""


def bodies_of(name: str) -> list[Path]:
    """The sample bodies of a source."""
    root = DATA / name
    found = (path for path in root.rglob("*") if path.is_file() and not path.name.endswith(EXPECTED))
    return sorted(path for path in found if path.name != "SOURCE.txt" and path.parent.name != "licences")


def expectation_of(body: Path) -> Path:
    """The file that says what must come of a body."""
    return body.with_name(body.name + EXPECTED)


def parsed(source: Source, body: Path, *, fetched_at: datetime = NOON) -> Parsed:
    """What a source reads from a body that arrived at noon, with no label but those inside it."""
    given = Feed(source=source.name, url=FEED.url if source.stream is None else "", options={name: SecretStr("given") for name in source.manners.needs})
    _, feed = fitted(given)
    response = Response(url=FEED.url, body=body.read_bytes(), fetched_at=fetched_at)
    return source.parse(response, feed=feed, author_key=AUTHOR_KEY)


def outcome(source: Source, body: Path) -> Any:
    """The documents and problems as JSON values, or the reason of the error."""
    try:
        return msgspec.to_builtins(parsed(source, body))
    except SourceError as error:
        return {"error": error.reason.value}
