"""docs/sources.md has a row for each adapter, and says of it what the adapter says of itself."""

from __future__ import annotations

import re

import pytest

from scrapers.default_feeds import FILE, default_feeds
from scrapers.source import Source, all_sources

ROOT = FILE.parents[1]
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<rest>.+) \|$", re.MULTILINE)
ROWS = {match["name"]: match["rest"].split(" | ") for match in ROW.finditer((ROOT / "docs" / "sources.md").read_text(encoding="utf-8"))}


@pytest.mark.parametrize("source", all_sources(), ids=lambda source: source.name)
def test_an_adapter_has_a_row_that_is_true(source: Source) -> None:
    assert source.name in ROWS, f"add a row for `{source.name}` to docs/sources.md"
    reads, stability, *others = ROWS[source.name]
    assert stability == source.manners.stability
    assert len(others) == 6
    assert all(others)
    needed = {*source.manners.needs} | (set() if source.ask or source.stream else {"url"})
    assert set(re.findall(r"\*(\w+)\*", reads)) == needed


def test_there_is_no_row_of_an_adapter_that_is_not_there() -> None:
    assert set(ROWS) == {source.name for source in all_sources()}
    assert list(ROWS) == sorted(ROWS)


def test_the_readme_counts_the_default_feeds() -> None:
    feeds = sum(feed.source == "feed" for feed in default_feeds())
    said = f"stands for {feeds} feeds and {len(default_feeds()) - feeds} sites"
    assert said in (ROOT / "README.md").read_text(encoding="utf-8")
