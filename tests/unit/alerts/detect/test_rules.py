from __future__ import annotations

from pathlib import Path

import pytest

from alerts.detect.rulebook import DEFAULT_RULES, OF_ALL, RuleBook, load_rules
from alerts.detect.rules import Budgets, Rules, WindowRule
from opinion.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rules.yaml"


def test_the_written_out_defaults_are_the_defaults() -> None:
    assert load_rules(DEFAULT_RULES).all == Rules() == load_rules().all
    assert load_rules(DEFAULT_RULES).version == load_rules().version


def test_the_written_out_defaults_name_every_rule() -> None:
    text = DEFAULT_RULES.read_text(encoding="utf-8")
    assert [name for name in Rules.__struct_fields__ if f"\n{name}:" not in text and f"\n# {name}:" not in text] == []


def test_keys_left_out_keep_their_defaults(path: Path) -> None:
    path.write_text("theta: 4\nfalse_alarms: {count: 0}\nwindows: [{width_s: 900}, {width_s: 21600, rho: 0.1}]\n")
    rules = load_rules(path).all
    assert (rules.theta, rules.min_negative, rules.false_alarms) == (4.0, Rules().min_negative, Budgets(count=0))
    assert rules.windows == (WindowRule(900, WindowRule(900).rho), WindowRule(21600, 0.1))


def test_the_first_pattern_that_fits_decides(path: Path) -> None:
    path.write_text(
        """
min_breadth: 4
false_alarms: {share: 0.5}
subjects:
  - {match: "topic:*", false_alarms: {count: 0}, rearm_h: 12}
  - {match: "entity:XSH?:*", min_breadth: 2}
  - {match: "*", rearm_h: 1}
"""
    )
    book = load_rules(path)
    assert [(book.of(name).min_breadth, book.of(name).rearm_h, book.of(name).false_alarms) for name in ("topic:Macro", "entity:XSHG:600519", "entity:XNAS:AAPL")] == [
        (4, 12, Budgets(share=0.5, count=0)),
        (2, 6, Budgets(share=0.5)),
        (4, 1, Budgets(share=0.5)),
    ]
    assert book.of("topic:Macro") is book.of("topic:Markets")


def test_lanes_can_be_looked_at_alone() -> None:
    assert RuleBook().only("count").all.false_alarms == Budgets(share=0, day=0)
    assert RuleBook().only("share").of("topic:Macro").false_alarms == Budgets(count=0)
    assert RuleBook().only("both").all == Rules()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("thetta: 3", "did you mean 'theta'"),
        ("windows: [{width: 900}]", "did you mean 'width_s'"),
        ("theta: 2", "theta"),
        ("min_negative: many", "min_negative"),
        ("windows: [{width_s: 5}]", "width_s"),
        ("windows: [{width_s: 86400}]", "width_s"),
        ("windows: [{width_s: 3600}, {width_s: 900}]", "windows must grow"),
        ("windows: []", "windows"),
        ("windows: 3", "windows"),
        ("resolve_margin: 9", "resolve_margin"),
        ("high_over: 20", "critical_over"),
        ("false_alarms: {shares: 1}", "did you mean 'share'"),
        ("false_alarms: {share: -1}", "share"),
        ("false_alarms: 0.25", "false_alarms"),
        ("- 1", "mapping"),
        ("theta: [", "not YAML"),
        ("\x00", "not YAML"),
        ("1: 2", "unknown rule 1"),
        ("subjects: {match: x}", "`subjects` is a list"),
        ("subjects: [3]", r"subjects\[0\]: expected a `match`"),
        ("subjects: [{matches: x}]", "expected a `match`"),
        ("subjects: [{match: a}, {match: b, half_life_h: 3}]", r"subjects\[1\]: unknown, or the same for all subjects"),
        ("subjects: [{match: a, rearm_hours: 3}]", "did you mean 'rearm_h'"),
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
    assert load_rules(path).all == Rules()


def test_the_version_follows_the_numbers_and_nothing_else(path: Path) -> None:
    path.write_text("# a comment\nmin_lift: 1.30\n")
    assert load_rules(path).version == RuleBook().version
    versions = {RuleBook(Rules(min_lift=1.31)).version, RuleBook().version}
    path.write_text("subjects: [{match: 'topic:*', min_lift: 1.31}]\n")
    assert len(versions | {load_rules(path).version}) == 3


def test_what_is_the_same_for_all_are_rules() -> None:
    assert set(Rules.__struct_fields__) >= OF_ALL
