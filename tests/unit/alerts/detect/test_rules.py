from __future__ import annotations

from pathlib import Path

import pytest

from alerts.detect.rules import DEFAULT_RULES, Rules, WindowRule, load_rules
from opinion.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def test_the_written_out_defaults_are_the_defaults() -> None:
    assert load_rules(DEFAULT_RULES) == Rules() == load_rules()


def test_the_written_out_defaults_name_every_rule() -> None:
    text = DEFAULT_RULES.read_text(encoding="utf-8")
    assert [name for name in Rules.__struct_fields__ if f"\n{name}:" not in text] == []


def test_keys_left_out_keep_their_defaults(path: Path) -> None:
    path.write_text("theta: 4\nwindows: [{width_s: 900}, {width_s: 86400, rho: 0.1}]\n")
    rules = load_rules(path)
    assert (rules.theta, rules.min_negative) == (4.0, Rules().min_negative)
    assert rules.windows == (WindowRule(900, WindowRule(900).rho), WindowRule(86400, 0.1))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("thetta: 3", "did you mean 'theta'"),
        ("windows: [{width: 900}]", "did you mean 'width_s'"),
        ("theta: -3", "theta"),
        ("min_negative: many", "min_negative"),
        ("windows: [{width_s: 5}]", "width_s"),
        ("windows: [{width_s: 3600}, {width_s: 900}]", "windows must grow"),
        ("windows: []", "windows"),
        ("windows: 3", "windows"),
        ("resolve_margin: 9", "resolve_margin"),
        ("high_score: 20", "critical_score"),
        ("- 1", "mapping"),
        ("theta: [", "not YAML"),
        ("\x00", "not YAML"),
        ("1: 2", "unknown rule 1"),
    ],
)
def test_a_wrong_file_is_refused_and_the_key_is_named(path: Path, text: str, named: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=named) as caught:
        load_rules(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_a_configuration_error(path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_rules(path)


def test_an_empty_file_is_the_defaults(path: Path) -> None:
    path.write_text("# nothing\n")
    assert load_rules(path) == Rules()


def test_the_version_follows_the_numbers_and_nothing_else(path: Path) -> None:
    path.write_text("# a comment\ntheta: 4.20\n")
    assert load_rules(path).version == Rules().version
    assert Rules(theta=4.21).version != Rules().version
