from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from opinion.clock import ManualClock
from opinion.errors import SourceWalled
from opinion.settings import Settings
from scrapers.fetch import Fetcher
from scrapers.source import Ask
from tests.support.records import NOON
from tests.support.site import Page, Site

RULES = b"User-agent: *\nDisallow: /private\n\nUser-agent: careful\nDisallow: /s/\n"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
async def fetcher(clock: ManualClock) -> AsyncIterator[Fetcher]:
    async with Fetcher(Settings(allow_private_sources=True, user_agent="careful/1 (mail@careful.example)"), clock=clock) as found:
        yield found


def asked(site: Site) -> list[str]:
    return [request.path for request in site.requests]


async def test_a_page_that_is_disallowed_to_us_is_not_asked_for(fetcher: Fetcher) -> None:
    async with Site(**{"robots.txt": Page(RULES), "s/x": Page(b"x"), "private": Page(b"open to us")}) as site:
        with pytest.raises(SourceWalled, match=r"robots\.txt does not allow it"):
            await fetcher.fetch(Ask(url=site.at("s/x"), page=True))
        assert (await fetcher.fetch(Ask(url=site.at("private"), page=True))).body == b"open to us"
        assert asked(site) == ["/robots.txt", "/private"]


async def test_the_rules_are_asked_once_a_day(fetcher: Fetcher, clock: ManualClock) -> None:
    async with Site(**{"robots.txt": Page(b""), "a": Page(b"a")}) as site:
        for _ in range(3):
            await fetcher.fetch(Ask(url=site.at("a"), page=True))
        clock.advance(timedelta(hours=25))
        await fetcher.fetch(Ask(url=site.at("a"), page=True))
        assert asked(site) == ["/robots.txt", "/a", "/a", "/a", "/robots.txt", "/a"]


@pytest.mark.parametrize("status", [404, 401, 403])
async def test_a_host_without_rules_allows_all(fetcher: Fetcher, status: int) -> None:
    async with Site(**{"robots.txt": Page(b"", status), "a": Page(b"a")}) as site:
        assert (await fetcher.fetch(Ask(url=site.at("a"), page=True))).body == b"a"


async def test_a_host_whose_rules_cannot_be_read_is_left_alone_for_a_while(fetcher: Fetcher, clock: ManualClock) -> None:
    async with Site(**{"robots.txt": Page(b"", 500), "a": Page(b"a")}) as site:
        for _ in range(2):
            with pytest.raises(SourceWalled, match="cannot be read"):
                await fetcher.fetch(Ask(url=site.at("a"), page=True))
        assert asked(site) == ["/robots.txt"]
        site.pages["robots.txt"] = Page(b"")
        clock.advance(timedelta(minutes=11))
        assert (await fetcher.fetch(Ask(url=site.at("a"), page=True))).body == b"a"


async def test_feeds_and_interfaces_are_made_for_programs(fetcher: Fetcher) -> None:
    async with Site(**{"robots.txt": Page(b"User-agent: *\nDisallow: /\n"), "feed": Page(b"f")}) as site:
        assert (await fetcher.fetch(site.at("feed"))).body == b"f"
        assert asked(site) == ["/feed"]
