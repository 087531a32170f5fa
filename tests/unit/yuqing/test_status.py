from __future__ import annotations

import json
import logging
import socket
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from opinion.clock import monotonic_s
from scrapers.default_feeds import default_feeds
from scrapers.source import all_sources
from tests.unit.yuqing.conftest import Command
from yuqing import status

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
SUBSCRIPTION = f'[{{"name": "desk", "url": "https://desk.example/hook-of-ours", "secret": "{SECRET}"}}]'
WATERMARK = "2026-11-23T09:30:00+00:00"


@pytest.fixture
def dead_port() -> str:
    """A port where nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


@pytest.fixture
def hung_port() -> Iterator[str]:
    """A port that takes connections and never says a word."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        found.listen()
        yield f"127.0.0.1:{found.getsockname()[1]}"


class _Refuse(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while self.request.recv(4096):
            self.request.sendall(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")


@pytest.fixture
def locked_redis() -> Iterator[str]:
    """A Redis that takes no password."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Refuse) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def the_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


def test_check_without_servers_is_well(command: Command) -> None:
    result = command("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "configuration: valid" in result.stdout
    assert "yuqing up" in result.stdout


@pytest.mark.parametrize("name", ["check", "status"])
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"YUQING_KAFKAA": "x"}, ["'YUQING_KAFKAA'", "'YUQING_KAFKA'"]),
        ({"YUQING_KAFKA": "a:many"}, ["`kafka`", "host:port"]),
        ({"YUQING_REDIS": "a:6379"}, ["`redis`", "redis://host:port/db"]),
        ({"YUQING_API_PORT": "many"}, ["`api_port`", "integer"]),
        ({"YUQING_DEVICE": "gpu"}, ["`device`", "'cuda'"]),
        ({"YUQING_SOURCES": "[{"}, ["`sources`"]),
        ({"YUQING_SOURCES": '[{"url": "https://a.example", "knid": "news"}]'}, ["'knid'", "'kind'", "sources.0"]),
        ({"YUQING_CONFIG": "missing.toml"}, ["missing.toml", "No such file"]),
        ({"YUQING_KAFKA": "127.0.0.1:1"}, ["`redis` is not set", "YUQING_REDIS"]),
        ({"YUQING_REDIS": "redis://127.0.0.1:1"}, ["`kafka` is not set", "YUQING_KAFKA"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_configuration_is_one_line_that_names_the_key(command: Command, name: str, environment: dict[str, str], words: list[str]) -> None:
    result = command(name, **environment)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert [word for word in words if word not in the_line(result.stderr)] == []


def test_wrong_key_in_the_file_is_one_line_that_names_file_and_key(command: Command) -> None:
    Path("yuqing.toml").write_text('redi = "x"\n')
    result = command("check")
    assert result.exit_code == 2
    assert the_line(result.stderr) == "yuqing: yuqing.toml: unknown setting 'redi'; did you mean 'redis'?"


def test_file_that_is_no_toml_is_one_line(command: Command) -> None:
    Path("yuqing.toml").write_text("kafka = \n")
    result = command("check")
    assert result.exit_code == 2
    assert the_line(result.stderr).startswith("yuqing: yuqing.toml: ")


@pytest.mark.parametrize(
    ("environment", "key"),
    [
        ({"YUQING_RULES": "missing.yaml"}, "rules"),
        ({"YUQING_MODEL": "missing"}, "model"),
        ({"YUQING_NAMES_FILES": "missing.csv"}, "names_files"),
        ({"YUQING_SUBSCRIPTIONS": SUBSCRIPTION.replace(SECRET, "hush")}, "subscriptions.0"),
        ({"YUQING_SUBSCRIPTIONS": SUBSCRIPTION.replace("https://desk.example", "https://desk.example:hush")}, "subscriptions.0.url"),
        ({"YUQING_SENTIMENT_MODELS": "en=./missing"}, "sentiment_models.en"),
        ({"YUQING_DROP_FIELDS": "headline"}, "drop_fields"),
        ({"YUQING_INTAKE_FIELDS": "titel=headline"}, "intake_fields"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_check_finds_what_a_process_would_refuse_at_its_start(command: Command, environment: dict[str, str], key: str) -> None:
    result = command("check", **environment)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"setting `{key}`: " in the_line(result.stderr)
    assert "hush" not in result.stderr


def test_check_says_which_classifiers_it_could_not_look_at(command: Command) -> None:
    models = "en=someone/a-model-that-nobody-has-cached"
    result = command("check", YUQING_SENTIMENT_MODELS=models)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "sentiment_models.en: someone/a-model-that-nobody-has-cached is not in this machine's cache of the hub" in result.stdout
    assert "not checked" in result.stdout


def test_check_refuses_a_classifier_whose_labels_are_not_known(command: Command, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").touch()
    (tmp_path / "model" / "config.json").write_text('{"id2label": {"0": "joy", "1": "negative", "2": "positive"}}')
    result = command("check", YUQING_SENTIMENT_MODELS="zh=model")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "setting `sentiment_models.zh`: model: its labels are 'joy'" in the_line(result.stderr)


def test_check_shows_what_is_set_and_no_secret(command: Command, dead_port: str) -> None:
    result = command(
        "check",
        YUQING_KAFKA=dead_port,
        YUQING_REDIS=f"redis://user:hush@{dead_port}/0",
        YUQING_API_TOKEN="hush",
        YUQING_INTAKE_TOKEN="hush",
        YUQING_SOURCES="https://u:hush@a.example/rss?key=hush",
        YUQING_SUBSCRIPTIONS=SUBSCRIPTION,
        YUQING_AGENTS="score",
    )
    assert result.exit_code == 1
    assert f"redis = redis://{dead_port}/0\n" in result.stdout
    assert "sources = https://a.example/rss?..\n" in result.stdout
    assert "subscriptions = desk\n" in result.stdout
    assert "agents = score\n" in result.stdout
    for secret in ("hush", SECRET, "hook-of-ours"):
        assert secret not in result.output


def test_servers_that_are_not_there_are_one_line(command: Command, dead_port: str, caplog: pytest.LogCaptureFixture) -> None:
    servers = {"YUQING_KAFKA": dead_port, "YUQING_REDIS": f"redis://:hush@{dead_port}/0"}
    result = command("check", **servers)
    assert result.exit_code == 1
    assert the_line(result.stderr) == f"yuqing: Kafka does not answer at {dead_port}; Redis does not answer at redis://{dead_port}/0"
    result = command("status", **servers)
    assert (result.exit_code, result.stdout) == (1, "")
    assert the_line(result.stderr) == f"yuqing: Redis does not answer at redis://{dead_port}/0"
    assert caplog.records == []
    assert not logging.getLogger("aiokafka").disabled


def test_servers_that_hang_are_not_waited_for_in_turn(command: Command, hung_port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert status.ANSWER_WITHIN_S <= 8
    monkeypatch.setattr(status, "ANSWER_WITHIN_S", 0.5)
    servers = {"YUQING_KAFKA": f"{hung_port},{hung_port},{hung_port}", "YUQING_REDIS": f"redis://{hung_port}"}
    for name in ("check", "status"):
        began_s = monotonic_s()
        result = command(name, **servers)
        assert monotonic_s() - began_s < 4  # in turn, with the client's own tries, it would be far more
        assert result.exit_code == 1
        assert "Redis does not answer" in the_line(result.stderr)


def test_redis_that_refuses_the_password_is_not_called_absent(command: Command, dead_port: str, locked_redis: str) -> None:
    for name in ("check", "status"):
        result = command(name, YUQING_KAFKA=dead_port, YUQING_REDIS=f"redis://:hush@{locked_redis}/0")
        assert result.exit_code == 1
        assert f"Redis at redis://{locked_redis}/0 refuses us: " in the_line(result.stderr)
        assert "hush" not in result.output


def state(**changes: Any) -> dict[str, Any]:
    """What `read_status` gives while all is well."""
    partitions = [{"partition": "yuqing.documents.v1-0", "behind": 7, "reported_s_ago": 1.2}]
    sources = {"a.example": {"state": "walled", "last_good_at": None, "last_error": "https://a.example/rss: answered 403"}, "b.example": {"state": "partial"}}
    return {"watermark": WATERMARK, "behind": 7, "blind": [], "partitions": partitions, "detection": None, "sources": sources} | changes


def detection(**changes: Any) -> dict[str, Any]:
    """What an alerter that has looked leaves."""
    thresholds = {"share": 3.6712, "day": None, "count": 12.0}
    return {"at": WATERMARK, "rules_version": "r1", "subjects": 12, "thresholds": thresholds, "silent": False, "shifted": False, "firing": 2, "pending": 1} | changes


@pytest.mark.parametrize(
    ("found", "words", "code"),
    [
        (state(), f"alive, windows complete until {WATERMARK}, 7 records behind", 0),
        (state(blind=["yuqing.documents.v1-0"]), "BLIND, no live worker on yuqing.documents.v1-0", 1),
        (state(watermark=None, partitions=[]), "nothing is being watched", 1),
        (state(), "no alerter has looked yet", 0),
        (state(detection=detection()), "12 subjects, 2 alerts on, 1 held back, rules r1", 0),
        (state(detection=detection()), "share 3.67, day off, count 12.00", 0),
        (state(detection=detection(silent=True)), "SILENT: no text from any source", 1),
        (state(detection=detection(shifted=True)), "SHIFT: all subjects rise together", 0),
        (state(), "sources: 0 of 2 sources well (1 partial, 1 walled, e.g. a.example: answered 403)", 0),
        (
            state(sources=state()["sources"] | {"b.example": {"state": "waiting"}}),
            "sources: BLIND: none of 2 sources brings anything (1 walled, 1 waiting, e.g. a.example: answered 403)",
            1,
        ),
    ],
    ids=["alive", "blind", "never", "not-looked", "looked", "thresholds", "silent", "shifted", "partial", "no-source-left"],
)
def test_status_tells_calm_from_blind(command: Command, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any], words: str, code: int) -> None:
    async def read(_: object) -> dict[str, Any]:
        return found

    monkeypatch.setattr(status, "read_status", read)
    result = command("status")
    assert result.exit_code == code
    assert words in result.stdout
    assert "walled" in result.stdout
    assert command("status", "--json").stdout.startswith("{")


def test_sources_are_told_without_servers_and_without_the_network(command: Command, monkeypatch: pytest.MonkeyPatch, dead_port: str) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refused)
    for environment in ({}, {"YUQING_KAFKA": dead_port, "YUQING_REDIS": f"redis://{dead_port}"}):
        result = command("status", "--sources", **environment)
        assert (result.exit_code, result.stderr) == (0, "")
        for source in all_sources():
            assert all(name in result.stdout for name in (source.name, *source.aliases, *source.manners.options)), source.name


def test_sources_can_be_read_in_100_columns(command: Command) -> None:
    lines = command("status", "--sources").stdout.splitlines()
    assert [line for line in lines if cell_len(line) > 100 and " " in line.strip()] == []
    assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("reddit", "off until you give access_token and subreddit"),
        ("stocktwits", "off until you give access_token and symbol"),
        ("mastodon", "off until you give tag"),
        ("feed", "reads the address that you give"),
        ("wallstreetcn", "one of `default`"),
        ("cls", "one of `default`, watch it"),
        ("jetstream", "one of `default`"),
    ],
)
def test_the_state_of_a_source_is_in_words(command: Command, name: str, words: str) -> None:
    found = json.loads(command("status", "--sources", "--json").stdout)
    (source,) = [source for source in found["sources"] if source["name"] == name]
    assert source["state"] == words
    heads = [line for line in command("status", "--sources").stdout.splitlines() if line.split(" ")[0].rstrip(":") == name]
    assert [head.rpartition(": ")[2] for head in heads] == [words]


def test_a_source_to_be_watched_is_said_to_be(command: Command) -> None:
    found = {source["name"]: source["state"] for source in json.loads(command("status", "--sources", "--json").stdout)["sources"]}
    for source in all_sources():
        if source.manners.stability == "amber":
            assert found[source.name].endswith("watch it")
        if source.manners.stability == "red":
            assert found[source.name].startswith("off until you give "), f"{source.name} is red and needs nothing: nobody would have to switch it on"


def test_sources_in_json_say_everything(command: Command) -> None:
    result = command("status", "--sources", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["default_feeds"] == len(default_feeds())
    assert [source["name"] for source in found["sources"]] == [source.name for source in all_sources()]
    for listed, source in zip(found["sources"], all_sources(), strict=True):
        manners = source.manners
        said = (manners.stability, manners.kind.value, manners.lang, manners.interval_s, manners.terms, manners.retention_days, manners.full_text, manners.tried)
        assert tuple(listed[key] for key in ("stability", "kind", "lang", "interval_s", "terms", "retention_days", "full_text", "tried")) == said
        needed = {option["name"] for option in listed["options"] if option["needed"]}
        assert needed == set(manners.needs) | (set() if source.ask or source.stream else {"url"})
        assert listed["pushed"] == (source.stream is not None)
        assert {option["name"]: option["what"] for option in listed["options"]}.items() >= manners.options.items()


def test_sources_with_a_wrong_configuration_are_one_line(command: Command) -> None:
    result = command("status", "--sources", YUQING_KAFKAA="x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'YUQING_KAFKA'" in the_line(result.stderr)


def test_check_counts_and_tries_the_feeds_that_default_stands_for(command: Command) -> None:
    result = command("check", YUQING_SOURCES="default,https://a.example/rss")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"sources: {len(default_feeds()) + 1}\n" in result.stdout
    result = command("check", YUQING_SOURCES='[{"source": "default", "kind": "flash"}]')
    assert (result.exit_code, result.stdout) == (2, "")
    assert "setting `sources.0`: source default takes `lang` and `interval_s` only, not 'kind'" in the_line(result.stderr)
