from __future__ import annotations

import asyncio

import pytest

from alerts.live import MOST_WAITING, REMEMBERED, Event, Live, places_of
from opinion.errors import ConfigError
from tests.support.records import scored


async def first(live: Live, count: int, last_id: str = "") -> list[Event]:
    found: list[Event] = []
    async with asyncio.timeout(5):
        async for event in live.listen(last_id):
            found.append(event)
            if len(found) == count:
                break
    return found


async def test_a_listener_that_comes_back_is_told_what_it_missed_and_nothing_twice() -> None:
    live = Live()
    for offset in range(3):
        live.take(0, offset, b"a%d" % offset)
        live.take(1, offset, b"b%d" % offset)
    stood = "0-1.1-1"
    assert [event.data for event in await first(live, 4, stood)] == [b"a1", b"b1", b"a2", b"b2"]
    last = (await first(live, 4, stood))[-1].id
    live.take(0, 2, b"a2 once more")
    live.take(1, 3, b"b3")
    assert [event.data for event in await first(live, 1, last)] == [b"b3"]


async def test_a_new_listener_is_told_what_happens_from_now_on() -> None:
    live = Live()
    live.take(0, 0, b"old")
    listening = asyncio.create_task(first(live, 2))
    await asyncio.sleep(0)
    live.take(0, 1, b"new")
    live.heard(scored(1))
    events = await listening
    assert [event.kind for event in events] == ["alert", "document"]
    assert (events[0].data, events[0].id, events[1].id) == (b"new", "0-2", "")


async def test_one_that_was_away_too_long_is_told_to_read_everything_anew() -> None:
    live = Live()
    for offset in range(REMEMBERED + 10):
        live.take(0, offset, b"a")
    (event,) = await first(live, 1, "0-5")
    assert (event.kind, event.id) == ("reset", f"0-{REMEMBERED + 10}")
    assert len(await first(live, REMEMBERED, "0-10")) == REMEMBERED


async def test_a_listener_that_does_not_listen_is_let_go_and_costs_the_others_nothing() -> None:
    live = Live()
    slow, quick = live.listen(), live.listen()
    waiting = [asyncio.ensure_future(anext(slow)), asyncio.ensure_future(anext(quick))]
    await asyncio.sleep(0)
    for offset in range(MOST_WAITING + 5):
        live.take(0, offset, b"a")
        await asyncio.sleep(0)
        if offset:
            await anext(quick)
    assert (await waiting[0]).data == (await waiting[1]).data == b"a"
    assert len([event async for event in slow]) < MOST_WAITING
    await quick.aclose()


@pytest.mark.parametrize("wrong", ["", "x", "0-", "0-1.", "0-1,1-2", "-1-2", "0-1\n", "0-" + "9" * 30])
def test_other_ids_are_refused(wrong: str) -> None:
    with pytest.raises(ConfigError):
        places_of(wrong)
