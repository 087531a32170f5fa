"""What is alive, lagging, blind; and whether the configuration is valid."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import click
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from opinion.errors import ConfigError, YuqingError
from opinion.redis_client import connect
from opinion.settings import Settings
from opinion.watermark import watermark
from opinion.windows import WindowStore

ANSWER_WITHIN_S = 5.0


def run_check(settings: Settings) -> int:
    """Print what is configured and whether the servers answer; 0 if all is well, 1 if a server does not answer."""
    click.echo(f"configuration: valid ({len(settings.model_fields_set)} settings differ from their defaults)")
    for key in sorted(settings.model_fields_set):
        click.echo(f"  {key} = {getattr(settings, key)!r}")
    click.echo(f"sources: {len(settings.sources)} feeds")
    if settings.kafka is None and settings.redis is None:
        click.echo("servers: none set; `yuqing up` brings its own")
        return 0
    problems = asyncio.run(_server_problems(settings))
    for line in problems or ["servers: Kafka and Redis answer"]:
        click.echo(line)
    return 1 if problems else 0


async def _server_problems(settings: Settings) -> list[str]:
    problems: list[str] = []
    try:
        kafka, redis_url = settings.require_servers()
    except ConfigError as error:
        return [str(error)]
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka, request_timeout_ms=int(ANSWER_WITHIN_S * 1000))
    try:
        await admin.start()
    except (KafkaError, OSError):
        problems.append(f"Kafka does not answer at {kafka}")
    finally:
        await admin.close()
    redis = connect(redis_url)
    try:
        await redis.ping()
    except RedisError:
        problems.append(f"Redis does not answer at {_without_password(redis_url)}")
    finally:
        await redis.aclose()
    return problems


def _without_password(url: str) -> str:
    """The address without its credentials.

    >>> _without_password("redis://:hush@host:1/0")
    'redis://host:1/0'
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rsplit('@', 1)[-1]}"


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
    return 1 if state["blind"] or state["watermark"] is None else 0


async def read_status(settings: Settings) -> dict[str, Any]:
    """Watermark, partitions, sources and open alerts, as plain data."""
    _, redis_url = settings.require_servers()
    redis = connect(redis_url)
    try:
        return await status_of(WindowStore(redis, settings.names), redis=redis, settings=settings)
    except RedisError as error:
        raise YuqingError(f"Redis does not answer: {error}") from error
    finally:
        await redis.aclose()


async def status_of(store: WindowStore, *, redis: Any, settings: Settings) -> dict[str, Any]:
    """The same, over open connections."""
    marks = await store.marks()
    wall = datetime.now(UTC)
    clock = settings.clock()
    found = watermark(marks, now=clock.now(), wall=wall, speed=clock.speed)
    sources = await redis.hgetall(settings.names.sources)
    return {
        "watermark": None if found.at is None else found.at.isoformat(),
        "behind": found.behind,
        "blind": list(found.blind),
        "partitions": [
            {"partition": mark.partition, "behind": mark.behind, "reported_s_ago": round(wall.timestamp() - mark.reported_ms / 1000, 1)}
            for mark in sorted(marks, key=lambda m: m.partition)
        ],
        "sources": {name.decode(): json.loads(value) for name, value in sorted(sources.items())},
    }


def _print(state: dict[str, Any]) -> None:
    if state["watermark"] is None:
        click.echo("pipeline: no worker has reported yet: nothing is being watched")
    elif state["blind"]:
        click.echo(f"pipeline: BLIND, no live worker on {', '.join(state['blind'])}")
    else:
        click.echo(f"pipeline: alive, windows complete until {state['watermark']}, {state['behind']} records behind")
    for row in state["partitions"]:
        click.echo(f"  {row['partition']:<32} {row['behind']:>8} behind   reported {row['reported_s_ago']:.0f} s ago")
    click.echo(f"sources: {len(state['sources'])}")
    for name, health in state["sources"].items():
        click.echo(f"  {name:<32} {health.get('state', '?'):<8} last good {health.get('last_good_at') or 'never'}  {health.get('last_error') or ''}")
