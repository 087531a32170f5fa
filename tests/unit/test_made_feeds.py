from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from itertools import pairwise

import pytest

from opinion.settings import Feed
from scrapers.health import Health
from scrapers.source import Response
from scrapers.sources.feed import parse
from tests.bench.made_feeds import FEEDS_PER_HOST, NEW_EVERY, SHAPES, MadeFeed, address_of, hosts_of
from tests.bench.sources_feeds import Due, delays_s, due_of
from tests.support.records import NOON

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("number", range(len(SHAPES)))
def test_a_made_feed_is_as_long_as_its_model_and_the_adapter_reads_every_item(number: int) -> None:
    feed = MadeFeed(number, now=NOON)
    body = feed.polled(now=NOON)
    parsed = parse(Response(url="https://x.example/", body=body, fetched_at=NOON), feed=Feed(url="https://x.example/"))
    assert [document.native_id for document in parsed.documents] == feed.ids()
    assert not parsed.problems
    assert all(document.title and document.published_at for document in parsed.documents)
    assert len(body) == pytest.approx(SHAPES[number].length_bytes, rel=0.1)


@pytest.mark.parametrize("number", range(NEW_EVERY))
def test_one_poll_in_four_brings_one_new_item_until_it_is_frozen(number: int) -> None:
    feed = MadeFeed(number, now=NOON)
    seen = [(feed.polled(now=NOON + MINUTE * poll), tuple(feed.ids())) for poll in range(1 + 4 * NEW_EVERY)]
    fresh = [set(after) - set(before) for (_, before), (_, after) in pairwise(seen)]
    assert sorted(map(len, fresh)) == [0] * 12 + [1] * 4
    assert len({body for body, _ in seen}) == len({ids for _, ids in seen}) == 5
    assert {feed.polled(now=NOON, frozen=True) for _ in range(NEW_EVERY)} == {seen[-1][0]}


def test_half_of_the_feeds_have_an_etag_and_some_others_are_never_the_same() -> None:
    feeds = [MadeFeed(number, now=NOON) for number in range(500)]
    assert sum(feed.has_etag for feed in feeds) == pytest.approx(250, abs=10)
    restless = [feed for feed in feeds if feed.polled(now=NOON, frozen=True) != feed.polled(now=NOON + MINUTE, frozen=True)]
    assert restless == [feed for feed in feeds if feed.says_when]
    assert len(restless) == pytest.approx(60, abs=10)
    assert not any(feed.has_etag for feed in restless)


def test_hosts_are_addresses_of_this_machine_each_with_a_few_feeds() -> None:
    hosts = hosts_of(1000)
    assert len(hosts) == len(set(hosts)) == 1000 // FEEDS_PER_HOST
    assert all(ip_address(host).is_loopback for host in hosts)
    assert len({address_of(feed, port=80) for feed in range(1000)}) == 1000


def test_a_delay_runs_from_when_a_feed_was_due_to_the_request_that_followed() -> None:
    polled = Health(since=NOON, polled_at=NOON, interval_s=60)
    due_s = NOON.timestamp() + 60
    assert due_of({"7": polled, "8": Health(since=NOON)}) == {Due(7, due_s)}
    asked = [(7, due_s - 60), (7, due_s + 0.5), (7, due_s + 60), (8, due_s + 1)]
    assert delays_s([Due(7, due_s)], asked) == pytest.approx([0.5])
    assert delays_s([Due(7, due_s + 61)], asked) == []
    assert delays_s([Due(7, due_s + 60.06)], asked) == [0.0]  # waits are told to a tenth of a second
