"""Everything that operators look at, asked of a real Prometheus that looks at the running program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from alerts.subscriptions import new_key
from deploy.grafana.write import FOLDER
from opinion.bus import Producer
from opinion.names import Names
from tests.support.alertmanager import Alertmanager, running_alertmanager
from tests.support.grafana import expressions, with_choices
from tests.support.prometheus import DEPLOY, RULES, Prometheus, adapted, program, rules, running_prometheus
from tests.support.receiver import Answer, Receiver
from tests.support.records import document
from tests.support.site import Page, Site
from tests.support.surging_day import publish, surging_day
from tests.support.workers import environment, until
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

COMMANDS = {"yuqing-scraper": ["yuqing", "scrape"], "yuqing-worker": ["tests.support.measured_worker"], "yuqing-alerter": ["yuqing", "alert"]}
PORT_KEYS = {"yuqing-scraper": "YUQING_SCRAPER_PORT", "yuqing-worker": "YUQING_WORKER_PORT", "yuqing-alerter": "YUQING_API_PORT"}
COMPARISON = re.compile(r" (==|!=|>=|<=|>|<) (?!bool)")
ANSWERED_WITHIN_S = 60


def without_filters(expression: str) -> str:
    """An expression whose comparisons say 0 or 1 instead of leaving out what does not fulfil them.

    >>> without_filters("(time() - max(a)) > 120 and b == 1")
    '(time() - max(a)) > bool 120 and b == bool 1'
    """
    return COMPARISON.sub(r" \1 bool ", expression)


def asked() -> dict[str, str]:
    """Every expression of the dashboards and the rules, by where it stands."""
    boards = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("*.json"))]
    found = {f"{name} {place}": with_choices(expression) for name, board in boards for place, expression in enumerate(expressions(board))}
    return found | {rule.get("alert") or rule["record"]: without_filters(rule["expr"]) if "alert" in rule else rule["record"] for rule in rules()}


def rss() -> bytes:
    """Three items, one of them without anything in it."""
    items = "".join(f"<item><guid>https://n.example/{number}</guid><title>A good story number {number}</title></item>" for number in range(2))
    return f"<rss version='2.0'><channel>{items}<item><guid>https://n.example/empty</guid></item></channel></rss>".encode()


@asynccontextmanager
async def program_running(variables: Mapping[str, str]) -> AsyncIterator[dict[str, int]]:
    """Scraper, worker and alerter, killed at the end: job -> port."""
    ports = {job: free_port() for job in COMMANDS}
    own = {**variables, **{PORT_KEYS[job]: str(port) for job, port in ports.items()}}
    processes = [await asyncio.create_subprocess_exec(sys.executable, "-m", *command, env=own) for command in COMMANDS.values()]
    try:
        yield ports
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


def variables_of(kafka: str, redis_url: str, names: Names, *, site: Site, folder: Path, receivers: list[Receiver]) -> dict[str, str]:
    subscriptions = [{"name": f"desk{number}", "url": receiver.url, "secret": new_key()} for number, receiver in enumerate(receivers)]
    own = {
        "YUQING_DATA_DIR": str(folder),
        "YUQING_SOURCES": json.dumps([{"url": site.at("feed")}, {"url": site.at("gone")}]),
        "YUQING_POLL_INTERVAL_S": "1",
        "YUQING_ALLOW_PRIVATE_SOURCES": "true",
        "YUQING_ALLOW_PRIVATE_WEBHOOKS": "true",
        "YUQING_TICK_INTERVAL_S": "0.5",
        "YUQING_SUBSCRIPTIONS": json.dumps(subscriptions),
    }
    return environment(kafka=kafka, redis_url=redis_url, names=names, **own)


async def seen(prometheus: Prometheus) -> bool:
    """Whether it has looked at each process twice, so that what comes now counts as an increase."""
    return await prometheus.query('count(count_over_time(up{job=~"yuqing-.+"}[1m]) > 1 and up == 1)') == [len(COMMANDS)]


async def unanswered(prometheus: Prometheus, left: dict[str, str]) -> dict[str, str]:
    """The expressions of `left` that still have no number for an answer."""
    found = {place: await prometheus.query(expression) for place, expression in left.items()}
    return {place: left[place] for place, values in found.items() if not any(map(math.isfinite, values))}


async def test_every_panel_and_every_rule_has_an_answer_from_the_running_program(kafka_address: str, redis_url: str, names: Names, tmp_path: Path) -> None:
    program("prometheus")
    async with AsyncExitStack() as opened:
        site = await opened.enter_async_context(Site(feed=Page(rss()), gone=Page(b"", status=404)))
        receivers = [await opened.enter_async_context(receiver) for receiver in (Receiver(), Receiver(*[Answer(status=500)] * 100))]
        variables = variables_of(kafka_address, redis_url, names, site=site, folder=tmp_path / "data", receivers=receivers)
        ports = await opened.enter_async_context(program_running(variables))
        configuration = adapted(ports, alertmanager=f"127.0.0.1:{free_port()}", rule_files=[str(path) for path in RULES])
        prometheus = await opened.enter_async_context(running_prometheus(tmp_path, configuration))
        await until(lambda: seen(prometheus), within_s=60)

        chinese = document(900, text="A bad 坏 story told in Chinese, at some length for once.", lang="zh-CN")
        await publish(kafka_address, names, [*surging_day(datetime.now(UTC)), chinese])
        producer = Producer(kafka_address)
        await producer.send_all(names.documents, [(None, b"\xff no document")])
        await producer.stop()
        await until(lambda: all(receiver.received for receiver in receivers), within_s=60)

        assert await unanswered_in_time(prometheus, asked()) == {}
        broken = [(rule["name"], rule["lastError"]) for rule in await prometheus.rules() if rule["health"] != "ok"]
        assert broken == []
        for job, port in ports.items():
            assert await complaints(port) == "", job


async def unanswered_in_time(prometheus: Prometheus, left: dict[str, str]) -> dict[str, str]:
    """The expressions without an answer after the time in which each should have one."""
    assert len(left) > 100

    async def all_answered() -> bool:
        nonlocal left
        left = await unanswered(prometheus, left)
        return not left

    with contextlib.suppress(TimeoutError):
        await until(all_answered, within_s=ANSWERED_WITHIN_S, every_s=1)
    return left


async def complaints(port: int) -> str:
    """What promtool says against the metrics of a running process."""
    async with httpx.AsyncClient(trust_env=False) as client:
        shown = (await client.get(f"http://127.0.0.1:{port}/metrics")).content
    assert shown.count(b"\n") > 50
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(program("promtool"), "check", "metrics", stdin=pipe, stdout=pipe, stderr=pipe)
    return b"".join(await process.communicate(shown)).decode()


async def test_an_expression_that_nothing_answers_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "prometheus").mkdir()
    configuration: dict[str, Any] = {"scrape_configs": []}
    async with running_prometheus(tmp_path / "prometheus", configuration) as prometheus:
        questions = {"known": "vector(time())", "unknown": "yuqing_no_such_metric", "no number": "vector(0) / 0"}
        assert (await unanswered(prometheus, questions)).keys() == {"unknown", "no number"}
        with pytest.raises(ValueError, match="parse error"):
            await prometheus.query("sum(")


def told(receiver: Receiver) -> list[str]:
    """The names of the alerts that were told, oldest message first."""
    return [alert["labels"]["alertname"] for message in receiver.received for alert in message.json["alerts"]]


def quickly(receivers: Mapping[str, Receiver]) -> dict[str, Any]:
    """Our alertmanager.yml that tells these receivers sooner; not at once, since what holds an alert back must have arrived by then."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
    for receiver in found["receivers"]:
        receiver["webhook_configs"][0]["url"] = receivers[receiver["name"]].url
    for route in (found["route"], *found["route"]["routes"]):
        route |= {"group_wait": "10s", "group_interval": "2s"}  # counted from when an alert began; Prometheus finds Alertmanager up to 5 s later
    return found


def at_once(folder: Path) -> str:
    """A copy of our alert rules that do not wait before they fire."""
    copy = folder / "alerts.yml"
    copy.write_text(re.sub(r"^ +for: .*\n", "", RULES[1].read_text(encoding="utf-8"), flags=re.MULTILINE))
    return str(copy)


async def test_alerts_on_the_program_and_on_opinion_reach_their_own_people_by_alertmanager(tmp_path: Path) -> None:
    program("prometheus")
    (tmp_path / "alertmanager").mkdir()
    async with AsyncExitStack() as opened:
        receivers = {name: await opened.enter_async_context(Receiver()) for name in ("operators", "desk")}
        manager: Alertmanager = await opened.enter_async_context(running_alertmanager(tmp_path / "alertmanager", quickly(receivers)))
        await manager.push({"alertname": "NegativeOpinion", "subject": "entity:XDEM:HSRY", "subject_kind": "entity", "market": "XDEM"}, starts_at=datetime.now(UTC))
        nobody = dict.fromkeys(COMMANDS, free_port())
        configuration = adapted(nobody, alertmanager=manager.url.removeprefix("http://"), rule_files=[at_once(tmp_path)])
        await opened.enter_async_context(running_prometheus(tmp_path, configuration))
        down = {"YuqingScraperDown", "YuqingWorkerDown", "YuqingAlerterDown"}
        await until(lambda: down <= set(told(receivers["operators"])), within_s=60)
        await until(lambda: receivers["desk"].received, within_s=30)
    assert set(told(receivers["operators"])) == down  # that single processes are down, and looks late, follows from it
    assert set(told(receivers["desk"])) == {"NegativeOpinion"}
    alert = receivers["operators"].received[0].json["alerts"][0]
    assert alert["annotations"]["runbook_url"].startswith("docs/runbooks.md#")
