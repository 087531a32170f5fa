from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from opinion.clock import epoch_ms
from opinion.names import Names
from opinion.records import TOPICS, Op
from opinion.redis_client import connect
from opinion.settings import Feed, load_settings
from opinion.windows import Applied, WindowStore
from scrapers.source import Response, fitted
from scrapers.sources import jetstream
from tests.bench import chaos, delays, deliveries, sources_feeds
from tests.bench.chaos_stand import Progress
from tests.bench.corpus import documents
from tests.bench.counting import counted
from tests.bench.jetstream_posts import TAKEN, frame_of, posts
from tests.bench.pipeline import alone_per_s
from tests.bench.stand import Stand
from tests.support.records import NOON, scored


@pytest.mark.integration
async def test_counted_documents_are_those_of_the_windows(redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    store = WindowStore(redis, names)
    assert (await counted(redis, names)).documents == 0
    items = [Applied(offset, scored(offset, subjects=(f"topic:{TOPICS[offset % 20]}", "entity:XNAS:AAPL"))) for offset in range(30)]
    await store.apply_all({"t-0": items[:25], "t-1": items[:5]})
    first = await counted(redis, names)
    assert first.documents == 30
    await store.apply("t-0", items[25:])
    second = await counted(redis, names)
    assert second.documents == 35
    assert second.at_s > first.at_s
    await redis.aclose()


def test_a_seed_gives_the_same_mix_of_languages() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    drawn = documents(200, seed=3, now=now)
    assert drawn == documents(200, seed=3, now=now)
    assert {document.lang for document in drawn} == {"en", "zh-Hans"}
    assert len({document.doc_id for document in drawn}) == 200
    assert max(document.fetched_at for document in drawn) < now


def test_of_the_posts_that_are_made_the_adapter_takes_those_that_are_meant_to_be_taken() -> None:
    made = list(islice(posts(seed=3), 2_000))
    lines = [frame_of(message, at_us=epoch_ms(NOON) * 1000 + number) for number, (_, message) in enumerate(made)]
    _, feed = fitted(Feed(source="jetstream"))
    found = jetstream.parse(Response(url="ws://127.0.0.1/", body=b"\n".join(lines), fetched_at=NOON), feed=feed)
    assert sum(document.op is Op.CREATE for document in found.documents) == sum(taken for taken, _ in made)
    assert abs(sum(taken for taken, _ in made) / len(made) - TAKEN) < 0.03
    assert sum(document.op is Op.DELETE for document in found.documents) == sum(message["commit"]["operation"] == "delete" for _, message in made)
    assert found.problems == []


@pytest.mark.integration
async def test_a_short_run_of_the_feeds_measures_polls_and_loses_nothing(kafka_address: str, redis_url: str, tmp_path: Path) -> None:
    redis = connect(redis_url)
    settings = load_settings({}, kafka=kafka_address, redis=redis_url, data_dir=tmp_path, log_level="warning")
    found = await sources_feeds.measured(Stand(tmp_path, settings, redis, {}), feeds=12, seconds=4, interval_s=1)
    await redis.aclose()
    assert found["offered"] > found["first_round_documents"] > 12
    assert found["lost"] == found["told_twice"] == 0
    assert 12 <= found["n"] <= 75
    assert found["feeds_per_min"] == pytest.approx(found["n"] * 15, rel=0.2)
    assert found["rss_mb_scraper"] > 30
    assert found["rss_mb_parser"] > 20
    assert found["rss_mb"] <= found["rss_mb_scraper"] + found["rss_mb_parser"] + 1
    assert 0 < found["cpu_cores_parser"] < found["cpu_cores"] < 2


@pytest.mark.integration
async def test_the_loop_of_bare_faust_reads_what_the_workers_read(kafka_address: str, redis_url: str, tmp_path: Path) -> None:
    redis = connect(redis_url)
    settings = load_settings({}, kafka=kafka_address, redis=redis_url, data_dir=tmp_path, log_level="warning")
    place = Stand(tmp_path, settings, redis, {})
    names = place.installation("bare-topic").names
    await place.publish(names, count=600, seed=1)
    assert await alone_per_s(place, ["tests.bench.faust_bare", names.documents, "600"], name="bare") > 0
    await redis.aclose()


def test_surges_of_the_alerts_bench_come_one_after_another_on_companies_of_their_own() -> None:
    made = list(delays.stream(per_s=20, surges=3))
    assert len(made) == (delays.WARM_UP_S + 3 * delays.SURGE_EVERY_S) * 20
    assert len({document.doc_id for document in made}) == len(made)
    tagged = [(place, document.symbols[0]) for place, document in enumerate(made) if document.symbols]
    assert [symbol for _, symbol in tagged] == sorted(symbol for _, symbol in tagged)
    assert {symbol: sum(other == symbol for _, other in tagged) for _, symbol in tagged} == dict.fromkeys(("XBEN:S000", "XBEN:S001", "XBEN:S002"), delays.SURGE_DOCUMENTS)
    assert tagged[0][0] >= delays.WARM_UP_S * 20


@pytest.mark.integration
async def test_receivers_of_the_alerts_bench_are_told_beside_others_that_hang(kafka_address: str, redis_url: str, tmp_path: Path) -> None:
    redis = connect(redis_url)
    settings = load_settings({"YUQING_KAFKA": kafka_address, "YUQING_REDIS": redis_url, "YUQING_DATA_DIR": str(tmp_path)})
    found = await deliveries.measured(Stand(tmp_path, settings, redis, {}), endpoints=40, hanging=20, per_min=600, minutes=0.1)
    assert found["delivered"] == 60
    assert found["heard_by_hanging"] > 0
    assert 0 < found["healthy_p50_s"] <= found["healthy_p95_s"] <= found["healthy_longest_s"]
    assert found["rss_mb"] < 250
    await redis.aclose()


def test_a_seed_gives_the_same_chaos_and_every_fault_comes_once_before_any_comes_again() -> None:
    plan = chaos.plan_of(3, seconds=240, faults=tuple(chaos.FAULTS))
    assert plan == chaos.plan_of(3, seconds=240, faults=tuple(chaos.FAULTS)) != chaos.plan_of(4, seconds=240, faults=tuple(chaos.FAULTS))
    assert {fault for _, fault in plan[: len(chaos.FAULTS)]} == set(chaos.FAULTS)
    assert [at_s for at_s, _ in plan] == sorted(at_s for at_s, _ in plan)
    assert chaos.WARM_S <= plan[0][0] <= plan[-1][0] <= 240 - chaos.LAST_S
    made = chaos.documents(seed=3, seconds=60)
    assert made == chaos.documents(seed=3, seconds=60)
    assert len({item.document.doc_id for item in made}) == len({item.document.text for item in made}) == len(made)
    assert [item.at_s for item in made] == sorted(item.at_s for item in made)


def test_what_a_fault_stops_has_recovered_once_the_detection_looked_beyond_it() -> None:
    seen = [Progress(NOON + timedelta(seconds=second), NOON + timedelta(seconds=second if second < 3 or second > 7 else 2), 5 if second < 6 else 6) for second in range(10)]
    assert chaos.recovered_s(chaos.Struck("redis_killed", NOON + timedelta(seconds=3)), seen) == 5
    assert chaos.recovered_s(chaos.Struck("receiver_hangs", NOON + timedelta(seconds=3)), seen) == 3
    assert chaos.recovered_s(chaos.Struck("redis_killed", NOON + timedelta(seconds=9)), seen) is None
    assert chaos.recovered_s(chaos.Struck("receiver_hangs", NOON + timedelta(seconds=7)), seen) is None


@pytest.mark.integration
@pytest.mark.timeout(240)
async def test_a_short_chaos_loses_and_doubles_nothing(tmp_path: Path) -> None:
    found = await chaos.measured(tmp_path, seed=1, seconds=46, faults=("redis_forgets",), quiet=60)
    assert found["documents"] > 1_500
    assert (found["lost"], found["double_counted"], found["alerts_lost"], found["faults"]) == (0, 0, 0, 1)
    assert found["alerts"] > 0
    assert 0 < found["recovery_s"]["redis_forgets"] < 40
