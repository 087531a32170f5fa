"""What is alive, lagging, blind; and whether the configuration is valid."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from alerts.channels.channel import checked
from alerts.detect.rulebook import load_rules
from alerts.subscriptions import from_setting
from models.names_table import load_table
from opinion.errors import ConfigError, ModelLoadError, StoreUnavailable
from opinion.redis_client import connect
from opinion.settings import Settings
from opinion.watermark import watermark
from opinion.windows import WindowStore
from scrapers.default_feeds import expanded
from scrapers.drop import drop_of
from scrapers.intake import intake_of
from scrapers.source import fitted
from scrapers.urls import masked
from yuqing.sight import UNWATCHED, is_blind, line_of, states_of, why_of

ANSWER_WITHIN_S = 5.0
"""Longest wait for a server. Both are asked at once, so that `check` ends within 10 s whatever hangs."""


UNWATCHED_AFTER_S = 120.0
UNWATCHED_AFTER_POLLS = 5
"""A source that nobody has polled for so long, or for so many of its waits, has no live scraper."""


def run_check(settings: Settings) -> int:
    """Print what is configured and that the servers answer; 0.

    Errors:
        ConfigError: a file or model that a setting names cannot be used, a webhook's secret is of the wrong form, or only one server is set.
        StoreUnavailable: a server does not answer, or refuses us.
    """
    _read_what_settings_name(settings)
    unchecked = _unchecked_classifiers(settings)
    if settings.kafka or settings.redis:
        settings.require_servers()
    click.echo(f"configuration: valid (settings given: {len(settings.model_fields_set)})")
    for key in sorted(settings.model_fields_set):
        click.echo(f"  {key} = {_shown(key, settings)}")
    for line in unchecked:
        click.echo(line)
    click.echo(f"sources: {len(expanded(settings.sources))}")
    if not settings.kafka:
        click.echo("servers: none set; `yuqing up` brings its own")
        return 0
    problems = asyncio.run(_server_problems(settings))
    if problems:
        raise StoreUnavailable("; ".join(problems))
    click.echo("servers: Kafka and Redis answer")
    return 0


def _read_what_settings_name(settings: Settings) -> None:
    """Find now what the processes would find at their start."""
    with _blaming("rules"):
        load_rules(settings.rules)
    if settings.names_files:
        with _blaming("names_files"):
            load_table(settings.names_files)
    for number, feed in enumerate(settings.sources):
        with _blaming(f"sources.{number}"):
            for one in expanded([feed]):
                fitted(one)
    with _blaming("drop_fields"):
        drop_of(settings)
    with _blaming("intake_fields"):
        intake_of(settings)
    with _blaming("model"):
        _read_model(settings)
    for index, subscription in enumerate(settings.subscriptions):
        with _blaming(f"subscriptions.{index}"):
            checked(from_setting(subscription))


def _read_model(settings: Settings) -> None:
    from models.shelf import Shelf, model_of  # noqa: PLC0415

    if settings.model != "default" or Shelf(settings.data_dir).pointer().promotions:  # the built-in one has its own tests, and takes numpy to look at
        model_of(settings)


def _unchecked_classifiers(settings: Settings) -> list[str]:
    """What must be said of classifiers that could not be looked at."""
    if not settings.sentiment_models:
        return []
    from models.classifier_files import look  # noqa: PLC0415 - brings numpy: only those who name a classifier wait for it
    from models.registry import need_torch  # noqa: PLC0415

    with _blaming("sentiment_models"):
        need_torch("a classifier")
    found = []
    for language, name in sorted(settings.sentiment_models.items()):
        key = f"sentiment_models.{language}"
        with _blaming(key):
            if not look(name):
                found.append(f"{key}: {name} is not in this machine's cache of the hub, a worker fetches it at its start: not checked")
    return found


@contextmanager
def _blaming(key: str) -> Iterator[None]:
    try:
        yield
    except (ConfigError, ModelLoadError) as error:
        raise ConfigError(f"setting `{key}`: {error}") from error


def _shown(key: str, settings: Settings) -> str:
    """A setting as it may be printed: addresses without credentials, webhooks (whose addresses are secrets too) by name."""
    if key == "redis":
        return masked(settings.redis or "")
    if key == "sources":
        return ", ".join(masked(feed.url) if feed.url else feed.source for feed in settings.sources)
    if key == "subscriptions":
        return ", ".join(subscription.name for subscription in settings.subscriptions)
    value = getattr(settings, key)
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items())
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)


async def _server_problems(settings: Settings) -> list[str]:
    kafka, redis_url = settings.require_servers()
    found = await asyncio.gather(_kafka_problem(kafka), _redis_problem(redis_url))
    return [problem for problem in found if problem]


async def _kafka_problem(servers: str) -> str:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=int(ANSWER_WITHIN_S * 1000))
    try:
        with _silent("aiokafka"):
            async with asyncio.timeout(ANSWER_WITHIN_S):  # of several servers each would get the request timeout
                await admin.start()
    except (KafkaError, OSError):
        return f"Kafka does not answer at {servers}"
    finally:
        await admin.close()
    return ""


@contextmanager
def _silent(logger: str) -> Iterator[None]:
    """Keep a library from logging what we say in one line."""
    found = logging.getLogger(logger)
    found.disabled = True
    try:
        yield
    finally:
        found.disabled = False


async def _redis_problem(url: str) -> str:
    redis = connect(url)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):  # the client tries again by itself
            await redis.ping()
    except (RedisError, OSError) as error:
        return _redis_failure(url, error)
    finally:
        await redis.aclose()
    return ""


def _redis_failure(url: str, error: BaseException | None) -> str:
    if isinstance(error, AuthenticationError | ResponseError):
        return f"Redis at {masked(url)} refuses us: {error}"
    return f"Redis does not answer at {masked(url)}"


def show_status(settings: Settings, *, as_json: bool) -> int:
    """Print the state of pipeline and sources; 0, or 1 while something is blind or behind a dead worker.

    Errors:
        ConfigError: no servers are set.
        StoreUnavailable: Redis does not answer.
    """
    state = asyncio.run(read_status(settings))
    if as_json:
        click.echo(json.dumps(state, ensure_ascii=False))
    else:
        _print(state)
    silent = state["detection"] is not None and state["detection"]["silent"]
    return 1 if state["blind"] or state["watermark"] is None or silent or is_blind(states_of(state["sources"])) else 0


async def read_status(settings: Settings) -> dict[str, Any]:
    """Watermark, partitions, sources and open alerts, as plain data.

    Errors:
        ConfigError: no servers are set.
        StoreUnavailable: Redis does not answer, or refuses us.
    """
    _, redis_url = settings.require_servers()
    redis = connect(redis_url)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            return await status_of(WindowStore(redis, settings.names), redis=redis, settings=settings)
    except StoreUnavailable as error:
        raise StoreUnavailable(_redis_failure(redis_url, error.__cause__)) from error
    except (RedisError, OSError) as error:
        raise StoreUnavailable(_redis_failure(redis_url, error)) from error
    finally:
        await redis.aclose()


async def status_of(store: WindowStore, *, redis: Any, settings: Settings) -> dict[str, Any]:
    """The same, over open connections."""
    marks = await store.marks()
    wall = datetime.now(UTC)
    clock = settings.clock()
    found = watermark(marks, now=clock.now(), wall=wall, speed=clock.speed)
    sources = await redis.hgetall(settings.names.sources)
    detection = await redis.get(settings.names.detection)
    return {
        "watermark": None if found.at is None else found.at.isoformat(),
        "behind": found.behind,
        "blind": list(found.blind),
        "partitions": [
            {"partition": mark.partition, "behind": mark.behind, "reported_s_ago": round(wall.timestamp() - mark.reported_ms / 1000, 1)}
            for mark in sorted(marks, key=lambda m: m.partition)
        ],
        "detection": None if detection is None else json.loads(detection),
        "sources": {name.decode(): _source(json.loads(value), wall=wall) for name, value in sorted(sources.items())},
    }


def _source(health: dict[str, Any], *, wall: datetime) -> dict[str, Any]:
    """What the scraper said of a source; what it said long ago is no news of it: `unwatched`."""
    polled_at = health.get("polled_at")
    if polled_at is None or (wall - datetime.fromisoformat(polled_at)).total_seconds() > max(UNWATCHED_AFTER_S, UNWATCHED_AFTER_POLLS * health.get("interval_s", 0)):
        return health | {"state": UNWATCHED}
    return health


def _print(state: dict[str, Any]) -> None:
    if state["watermark"] is None:
        click.echo("pipeline: no worker has reported yet: nothing is being watched")
    elif state["blind"]:
        click.echo(f"pipeline: BLIND, no live worker on {', '.join(state['blind'])}")
    else:
        click.echo(f"pipeline: alive, windows complete until {state['watermark']}, {state['behind']} records behind")
    for row in state["partitions"]:
        click.echo(f"  {row['partition']:<32} {row['behind']:>8} behind   reported {row['reported_s_ago']:.0f} s ago")
    _print_detection(state["detection"])
    sources = state["sources"]
    click.echo(f"sources: {line_of(states_of(sources), n_sources=len(sources), why=why_of(sources)) if sources else 'none has been polled yet'}")
    for name, health in sources.items():
        click.echo(f"  {name:<32} {health['state']:<8} last good {health.get('last_good_at') or 'never'}  {health.get('last_error') or ''}")


def _print_detection(found: dict[str, Any] | None) -> None:
    """On what the verdicts stand: rules, thresholds, and whether calm means anything."""
    if found is None:
        click.echo("detection: no alerter has looked yet")
        return
    thresholds = ", ".join(f"{scan} {'off' if theta is None else f'{theta:.2f}'}" for scan, theta in found["thresholds"].items())
    click.echo(
        f"detection: looked at {found['at']}, {found['subjects']} subjects, {found['firing']} alerts on, {found.get('pending', 0)} held back, rules {found['rules_version']}"
    )
    click.echo(f"  thresholds (-log10 of the probability on a usual day): {thresholds} (of counts: each subject's own follows from its past)")
    if found["silent"]:
        click.echo("  SILENT: no text from any source in an hour that always had some: calm means nothing, no alert ends")
    if found["shifted"]:
        click.echo("  SHIFT: all subjects rise together: the model, a source of another tone, or the whole market; lesser surges are held back")
