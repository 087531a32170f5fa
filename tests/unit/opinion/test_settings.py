from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from alerts.delivery_queue import KEEP as DELIVERIES_KEPT
from alerts.store import KEEP as ALERTS_KEPT
from opinion.bus import DEAD_RETENTION, RETENTION
from opinion.errors import ConfigError
from opinion.evidence import QUOTED_FOR
from opinion.settings import Settings, load_settings
from scrapers.cursor import SEEN_DAYS

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
SUBSCRIPTION = f'[{{"name": "desk", "url": "https://desk.example/hook", "secret": "{SECRET}"}}]'


def test_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "yuqing.toml"
    path.write_text('api_port = 1000\nkafka = "a:1"\n')
    settings = load_settings({"YUQING_CONFIG": str(path), "YUQING_API_PORT": "2000"})
    assert (settings.api_port, settings.kafka) == (2000, "a:1")


def test_addresses_separated_by_commas_are_feeds() -> None:
    settings = load_settings({"YUQING_SOURCES": "https://a.example/rss, https://b.example/atom"})
    assert [feed.url for feed in settings.sources] == ["https://a.example/rss", "https://b.example/atom"]


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"YUQING_KAFFKA": "x"}, "YUQING_KAFKA"),
        ({"YUQING_API_PORT": "many"}, "api_port"),
        ({"YUQING_INTAKE_PORT": "70000"}, "intake_port"),
        ({"YUQING_SOURCES": "ftp://a.example"}, "sources.0.url"),
        ({"YUQING_SOURCES": '[{"url": "https://a.example", "knid": "news"}]'}, "kind"),
        ({"YUQING_SOURCES": "[{"}, "sources"),
        ({"YUQING_AGENTS": "scor"}, "agents"),
        ({"YUQING_CONFIG": "/nonexistent/yuqing.toml"}, "No such file"),
    ],
)
def test_wrong_configuration_names_the_key(environment: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_settings(environment)


def test_unknown_key_in_the_file_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "yuqing.toml"
    path.write_text('redi = "x"\n')
    with pytest.raises(ConfigError, match="redis"):
        load_settings({"YUQING_CONFIG": str(path)})


def test_children_get_the_same_settings() -> None:
    settings = load_settings(
        {"YUQING_SOURCES": "https://a.example/rss", "YUQING_SUBSCRIPTIONS": SUBSCRIPTION, "YUQING_AGENTS": "score", "YUQING_INTAKE_PORT": "0", "YUQING_INTAKE_TOKEN": "hush"}
    )
    assert load_settings(settings.as_environment()) == settings


def test_secrets_never_print() -> None:
    settings = load_settings({"YUQING_SUBSCRIPTIONS": SUBSCRIPTION, "YUQING_API_TOKEN": "hush", "YUQING_INTAKE_TOKEN": "hush"})
    assert SECRET not in repr(settings)
    assert "hush" not in repr(settings)


def test_wrong_secret_is_not_shown_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"YUQING_SUBSCRIPTIONS": '[{"name": "desk", "url": "ftp://hush", "secret": "hush"}]'})
    assert "hush" not in str(caught.value)


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_process_without_servers_says_how_to_get_them() -> None:
    with pytest.raises(ConfigError, match="yuqing up"):
        load_settings({}).require_servers()


def test_empty_in_the_file_is_not_set_as_in_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "yuqing.toml"
    path.write_text('data_dir = ""\nrules = ""\nclock_starts_at = ""\n[[sources]]\nurl = "https://a.example"\ninterval_s = ""\n')
    settings = load_settings({"YUQING_CONFIG": str(path), "YUQING_MODEL_DIR": ""})
    assert settings.model_fields_set == {"sources"}
    assert settings.sources[0].interval_s is None


def test_key_like_no_other_gets_no_advice() -> None:
    with pytest.raises(ConfigError, match=r"^unknown setting 'YUQING_Q'$"):
        load_settings({"YUQING_Q": "1"})


@pytest.mark.parametrize("kafka", ["a", "a:1", "a.example:9092, b.example:9092", "[::1]:9092"])
def test_addresses_of_kafka_in_all_their_forms(kafka: str) -> None:
    assert load_settings({"YUQING_KAFKA": kafka}).kafka == kafka


@pytest.mark.parametrize("redis", ["redis://a", "redis://:hush@a:1/2", "rediss://a:1", "unix:///run/redis.sock", "redis://[::1]:1/0"])
def test_addresses_of_redis_in_all_their_forms(redis: str) -> None:
    assert load_settings({"YUQING_REDIS": redis}).redis == redis


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("YUQING_KAFKA", "a:hush"),
        ("YUQING_KAFKA", "kafka://hush:9092"),
        ("YUQING_KAFKA", "a:1,"),
        ("YUQING_REDIS", "hush:6379"),
        ("YUQING_REDIS", "redis://:hush/es@a:1"),
        ("YUQING_REDIS", "redis://[hush"),
    ],
)
def test_wrong_address_is_refused_by_name_and_not_shown(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=variable.removeprefix("YUQING_").lower()) as caught:
        load_settings({variable: value})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("given", ['{"zh": "/models/a", "*": "someone/b"}', "zh=/models/a, *=someone/b", "zh = /models/a,*= someone/b,"])
def test_sentiment_models_by_language_in_the_environment(given: str) -> None:
    settings = load_settings({"YUQING_SENTIMENT_MODELS": given})
    assert settings.sentiment_models == {"zh": "/models/a", "*": "someone/b"}
    assert load_settings(settings.as_environment()) == settings


def test_sentiment_models_are_a_table_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "yuqing.toml"
    path.write_text('[sentiment_models]\nzh = "/models/a"\nen = ""\n')
    assert load_settings({"YUQING_CONFIG": str(path)}).sentiment_models == {"zh": "/models/a"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("cn=/models/a", "'cn' is none of en, zh, [*]"),
        ("zh-Hans=/models/a", "is none of"),
        ("zh=", "no model is named for 'zh'"),
        ("/models/a", "is none of"),
        ("{", "sentiment_models"),
    ],
)
def test_sentiment_models_of_languages_that_are_never_found_are_refused(given: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"sentiment_models.*{says}|{says}"):
        load_settings({"YUQING_SENTIMENT_MODELS": given})


PATHS: dict[str, tuple[str, Callable[[Settings], str]]] = {
    "data_dir": ("{}", lambda settings: str(settings.data_dir)),
    "model_dir": ("{}", lambda settings: str(settings.model_dir)),
    "model": ("{}", lambda settings: settings.model),
    "sentiment_models": ("zh={}", lambda settings: settings.sentiment_models["zh"]),
    "names_files": ("{}", lambda settings: str(settings.names_files[0])),
    "rules": ("{}", lambda settings: str(settings.rules)),
    "drop_dir": ("{}", lambda settings: str(settings.drop_dir)),
}
"""Every setting that is a path -> how it stands in the environment, and what comes of it."""


def test_every_path_is_tried_below() -> None:
    kinds = {key for key, field in Settings.model_fields.items() if "Path" in repr(field.annotation)}
    assert kinds | {"model", "sentiment_models"} == PATHS.keys()


@pytest.mark.parametrize("key", PATHS)
@pytest.mark.parametrize(("given", "meant"), [("~/a/b", "{home}/a/b"), ("~", "{home}"), ("a/~b", "a/~b"), ("a/b", "a/b"), ("./a", "a"), ("/a/~", "/a/~")])
def test_a_path_may_begin_with_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str, given: str, meant: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    form, read = PATHS[key]
    settings = load_settings({f"YUQING_{key.upper()}": form.format(given)})
    assert Path(read(settings)) == Path(meant.format(home=tmp_path))
    assert read(load_settings(settings.as_environment())) == read(settings)


@pytest.mark.parametrize("key", PATHS)
def test_a_home_that_nobody_has_is_refused_by_name(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"^setting `{key}.*`: no home directory is known for ~nobody-of-that-name$"):
        load_settings({f"YUQING_{key.upper()}": PATHS[key][0].format("~nobody-of-that-name/a")})


def test_paths_of_the_file_and_of_the_file_itself_may_begin_with_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "y.toml").write_text('rules = "~/rules.yaml"\nnames_files = ["~/a.csv", "b.csv"]\n')
    settings = load_settings({"YUQING_CONFIG": "~/y.toml"})
    assert (settings.rules, settings.names_files) == (tmp_path / "rules.yaml", [tmp_path / "a.csv", Path("b.csv")])
    with pytest.raises(ConfigError, match=r"^YUQING_CONFIG: no home directory"):
        load_settings({"YUQING_CONFIG": "~nobody-of-that-name/y.toml"})


def subscribed(url: str) -> Settings:
    return load_settings({"YUQING_SUBSCRIPTIONS": json.dumps([{"name": "a", "url": "https://a.example", "secret": SECRET}, {"name": "desk", "url": url, "secret": SECRET}])})


@pytest.mark.parametrize(
    "url", ["https://desk.example", "http://127.0.0.1:9/hook?key=1", "https://user:word@desk.example/hook", "https://[::1]:8443/hook", "https://钩子.example/a"]
)
def test_addresses_of_webhooks_in_all_their_forms(url: str) -> None:
    assert subscribed(url).subscriptions[1].url == url


@pytest.mark.parametrize(
    "url",
    [
        "ftp://desk.example/hush",
        "desk.example/hush",
        "https://",
        "https:///hush",
        "https://:8443/hush",
        "https://desk.example:hush/",
        "https://desk.example:70000/hush",
        "https://desk.example:0/hush",
        "https://[hush/",
        "https://desk.example/hush\n",
        "https://desk .example/hush",
        "https://\u2100hush.example/",
        "https://desk.example/" + "hush" * 500,
    ],
)
def test_an_address_that_is_none_is_refused_by_name_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^setting `subscriptions\.1\.url`: ") as caught:
        subscribed(url)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "days"), [({}, 31), ({"archive_days": 0}, 31), ({"archive_days": 90}, 91), ({"retention_days": 3}, 31), ({"retention_days": 365, "archive_days": 90}, 366)]
)
def test_erased_ids_outlive_every_store(given: dict[str, float], days: int) -> None:
    settings = Settings(**given)
    assert settings.erased_for == timedelta(days=days)
    kept = [ALERTS_KEPT, DELIVERIES_KEPT, DEAD_RETENTION, settings.retention or RETENTION, timedelta(days=settings.archive_days), timedelta(days=SEEN_DAYS), QUOTED_FOR]
    assert settings.erased_for > max(kept)


@pytest.mark.parametrize("days", [0, 0.5, -1, 4000])
def test_a_retention_of_less_than_a_day_is_refused(days: float) -> None:
    with pytest.raises(ConfigError, match="retention_days"):
        load_settings({}, retention_days=days)
