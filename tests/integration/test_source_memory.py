"""Whatever sources send, and however often, the scraper does not grow."""

from __future__ import annotations

import gzip
import json
import random

import brotli
import psutil
import pytest
import zstandard

from opinion.names import Names
from tests.support.fault_site import Answer, FaultSite, Play
from tests.support.faults import FAULTS, chain, channel, item, rss
from tests.support.feed_server import Reply, reply
from tests.support.scraper_process import scraper, scraper_environment
from tests.support.workers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROUNDS = 30
GROWTH_BYTES = 32_000_000
MOST_BYTES, BIG_BYTES = 3_000_000, 2_000_000
"""The cap, and a body that stays under it."""

_CHUNKED = b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n"


def bombs() -> dict[str, Reply]:
    """They grow up to the cap, and beyond, at a rate that is believed."""
    noise = random.Random(7).randbytes(300_000)
    body = b"".join(noise + b" " * MOST_BYTES for _ in range(4))
    packed = {"gzip": gzip.compress(body), "br": brotli.compress(body, quality=1), "zstd": zstandard.ZstdCompressor().compress(body)}
    return {f"heavy_{encoding}": reply(held, headers={"content-encoding": encoding}) for encoding, held in packed.items()}


def heavy() -> dict[str, Answer]:
    """Faults that bring much before they are known as such."""
    text = channel(item("x", "news", inside=f"<description>{'word ' * (BIG_BYTES // 5)}</description>"))
    return {
        "heavy_cut": Reply([_CHUNKED + b"%x\r\n" % BIG_BYTES, text[:BIG_BYTES]]),
        "heavy_short": reply(text[:BIG_BYTES], length=len(text) + BIG_BYTES),
        "heavy_endless": Reply([b"HTTP/1.1 200 X\r\n\r\n", *[b"<item>" * 10_000] * (MOST_BYTES // 30_000)]),
        "heavy_page": reply(b"<html>" + b"x" * BIG_BYTES),
        "heavy_items": lambda asked: reply(rss(asked.name, *[f"{number} {asked.site.asked(asked.name)}" for number in range(1_000)])),
        **bombs(),
    }


async def test_faults_without_end_do_not_make_the_scraper_grow(kafka_address: str, redis_url: str, names: Names) -> None:
    floods = heavy()
    plays = {name: Play(rss(name, "one"), [answer], rss(name, "one", "two")) for name, answer in floods.items()}
    plays |= {fault.name: fault.play for fault in FAULTS if fault.source == "feed" and not fault.secure and fault.ill != [chain]}
    async with FaultSite(plays) as site:
        sources = json.dumps([{"url": site.at(name), "name": name, "interval_s": 0.2 if name in floods else 3.0} for name in plays])
        more = {"YUQING_SOURCES": sources, "YUQING_FETCH_DEADLINE_S": "5", "YUQING_MAX_BODY_BYTES": str(MOST_BYTES)}
        async with scraper(scraper_environment(kafka=kafka_address, redis_url=redis_url, names=names) | more, hasty="yes") as process:
            await until(lambda: all(site.asked(name, "well") >= 2 for name in plays), within_s=60)
            before = psutil.Process(process.pid).memory_info().rss
            site.stage = "ill"
            await until(lambda: all(site.asked(name) >= ROUNDS for name in floods), within_s=150)
            site.stage = "healed"
            await until(lambda: all(site.asked(name, "healed") >= 2 for name in plays), within_s=60)
            after = psutil.Process(process.pid).memory_info().rss
            assert process.returncode is None
    assert after - before < GROWTH_BYTES
