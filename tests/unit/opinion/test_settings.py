from __future__ import annotations

from pathlib import Path

import pytest

from opinion.errors import ConfigError
from opinion.settings import Settings, load_settings

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
    settings = load_settings({"YUQING_SOURCES": "https://a.example/rss", "YUQING_SUBSCRIPTIONS": SUBSCRIPTION, "YUQING_AGENTS": "score"})
    assert load_settings(settings.as_environment()) == settings


def test_secrets_never_print() -> None:
    settings = load_settings({"YUQING_SUBSCRIPTIONS": SUBSCRIPTION, "YUQING_API_TOKEN": "hush"})
    assert SECRET not in repr(settings)
    assert "hush" not in repr(settings)


def test_wrong_secret_is_not_shown_in_the_error() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings({"YUQING_SUBSCRIPTIONS": '[{"name": "desk", "secret": "hush"}]'})
    assert "hush" not in str(caught.value)


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_process_without_servers_says_how_to_get_them() -> None:
    with pytest.raises(ConfigError, match="yuqing up"):
        load_settings({}).require_servers()
