"""Commands that operate an alerter, against its real API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alerts.store import AlertStore
from opinion.names import Names
from opinion.records import Alert, AlertNote
from opinion.redis_client import connect
from tests.support.api import TOKENS, served_api
from tests.support.records import NOON, alert
from yuqing.cli import main

pytestmark = pytest.mark.integration


class Desk:
    """A command line beside an alerter's API."""

    def __init__(self, redis_url: str, names: Names, address: str) -> None:
        self._redis_url = redis_url
        self._names = names
        self._environment = {"YUQING_API_PORT": address.rpartition(":")[2], "YUQING_API_TOKEN": TOKENS["admin"]}

    def run(self, *words: str, **environment: str) -> Result:
        return CliRunner().invoke(main, list(words), env=self._environment | environment)

    def rows(self, *words: str) -> list[dict[str, object]]:
        found = self.run(*words, "--json")
        assert found.exit_code == 0, found.output
        return [json.loads(line) for line in found.stdout.splitlines()]

    def fires(self, found: Alert) -> None:
        async def save() -> None:
            redis = connect(self._redis_url)
            await AlertStore(redis, self._names).save(found)
            await redis.aclose()

        asyncio.run(save())


@pytest.fixture
def desk(redis_url: str, names: Names, tmp_path: Path) -> Iterator[Desk]:
    with served_api(redis_url, names, tmp_path) as address:
        yield Desk(redis_url, names, address)


def test_an_alert_is_listed_shown_and_taken_on(desk: Desk) -> None:
    assert desk.run("alerts", "list").stdout == "no alerts\n"
    desk.fires(alert(notes=[AlertNote(by="eve", at=NOON, text="\x1b[31mred")]))
    table = desk.run("alerts", "list", "--status", "open").stdout.splitlines()
    assert table[0].split() == ["alert", "status", "severity", "since", "taken", "on", "by", "negative", "name", "subject"]
    assert "Huasui Dairy" in table[1]
    done = desk.run("alerts", "ack", "al_1", "--by", "ann", "--note", "on it")
    assert (done.exit_code, done.stderr) == (0, "Huasui Dairy: taken on by ann\n")
    desk.run("alerts", "assign", "al_1", "bob")
    desk.run("alerts", "mute", "al_1")
    shown = desk.run("alerts", "show", "al_1").stdout
    assert "\x1b" not in shown
    for words in ("taken on by ann", "given to bob", "muted until it is over", "ann: on it", "41 of"):
        assert words in shown, shown
    assert desk.rows("alerts", "list")[0]["assigned_to"] == "bob"


def test_silences_are_added_listed_and_ended(desk: Desk) -> None:
    made = desk.run("silence", "add", "subject_kind=topic", 'severity=~"warning|high"', "--for", "1d12h", "--comment", "holiday")
    assert made.exit_code == 0, made.output
    assert "holiday" in desk.run("silence", "list").stdout
    assert desk.run("silence", "expire", made.stdout.strip()).exit_code == 0
    assert desk.run("silence", "list").stdout == "no silences\n"
    assert [row["state"] for row in desk.rows("silence", "list", "--expired")] == ["expired"]


def test_a_receiver_is_added_shown_rotated_and_removed_without_its_secret(desk: Desk) -> None:
    made = desk.run("subscribe", "add", "desk", "--url", "https://desk.example/h?k=hush", "--watch", "600519", "--quiet", "22:00-07:00@Asia/Shanghai", "--repeat", "4h")
    assert made.exit_code == 0, made.output
    secret = made.stderr.split()[2]
    assert secret.startswith("whsec_")
    (row,) = desk.rows("subscribe", "list")
    assert (row["match"]["watchlist"], row["match"]["subjects"], row["repeat_interval_s"]) == (["600519"], [], 14400.0)  # type: ignore[index]
    assert "desk" in desk.run("subscribe", "list").stdout
    for words in (("list",), ("show", "desk")):
        assert secret not in desk.run("subscribe", *words).output
    assert desk.run("deliveries", "retry", "--subscription", "desk", "--since", "2h").stderr == "0 queued\n"
    assert desk.run("deliveries", "retry", "--subscription", "desk").stderr == "0 queued\n"
    assert desk.run("deliveries", "retry").exit_code == 2
    assert desk.run("subscribe", "rotate", "desk").stdout.startswith("whsec_")
    assert desk.run("subscribe", "remove", "desk").exit_code == 0
    assert desk.run("subscribe", "list").stdout == "no subscriptions\n"
    assert "webhook" in desk.run("subscribe", "channels").stdout
    assert desk.run("deliveries", "list").stdout == "no deliveries\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("alerts", "show", "al_9"), 1, "no alert al_9"),
        (("silence", "add", "nonsense"), 2, "matchers"),
        (("silence", "add", "severity=high", "--for", "soon"), 2, "soon"),
        (("subscribe", "show", "nobody"), 1, "nobody"),
        (("subscribe", "add", "x"), 2, "url"),
        (("subscribe", "add", "x", "--channel", "wehbook", "--url", "https://x.example"), 2, "webhook"),
        (("subscribe", "add", "x", "--url", "https://x.example", "--option", "hush"), 2, "NAME=VALUE"),
        (("subscribe", "add", "x", "--url", "https://x.example", "--quiet", "22"), 2, "22:00-07:00"),
        (("deliveries", "retry", "msg_9"), 1, "no delivery msg_9"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(desk: Desk, words: tuple[str, ...], code: int, said: str) -> None:
    found = desk.run(*words)
    assert (found.exit_code, said in found.stderr) == (code, True), found.output
    assert "Traceback" not in found.output


def test_no_alerter_and_no_token_are_told_apart(desk: Desk, tmp_path: Path) -> None:
    away = desk.run("alerts", "list", YUQING_API_PORT="9")
    assert (away.exit_code, "does not answer" in away.stderr) == (1, True)
    unknown = desk.run("alerts", "list", YUQING_API_TOKEN="", YUQING_DATA_DIR=str(tmp_path / "empty"))
    assert (unknown.exit_code, "no API token" in unknown.stderr) == (2, True)
    wrong = desk.run("alerts", "list", YUQING_API_TOKEN="wrong-wrong-wrong")
    assert (wrong.exit_code, "bearer token" in wrong.stderr) == (2, True)
