from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import alerts.console
from alerts.console.look import LANGS, THEMES
from alerts.console.subjects import SPANS
from alerts.console.web import SAID
from alerts.console.words import WORDS, Words
from alerts.pending import WAITING
from opinion.metrics import SOURCE_STATES
from opinion.records import AlertStatus, DocumentKind, Lane, Scan, Severity

ROOM = Path(alerts.console.__path__[0])
FAMILIES: dict[str, list[str]] = {
    "severity": [item.value for item in Severity],
    "status": [item.value for item in AlertStatus],
    "lane": [item.value for item in Lane],
    "kind": [item.value for item in DocumentKind],
    "scan": [item.value for item in Scan],
    "state": [*SOURCE_STATES, "unwatched"],
    "silence": ["pending", "active", "expired"],
    "reason": [reason.value for reason in WAITING],
    "span": list(SPANS),
    "lang": list(LANGS),
    "theme": list(THEMES),
    "legend": ["line", "band", "volume", "alert"],
}
"""Words that are put together from a beginning and a value."""
OTHERS = {"negative", "neutral", "positive", "delivered", "failed", "waiting", "any"}
"""Values that are words themselves."""


def sources() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in [*ROOM.glob("*.py"), *ROOM.glob("templates/*.html")] if path.name != "words.py")


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_is_there_in_both_languages_with_the_same_places() -> None:
    for key, (english, chinese) in WORDS.items():
        assert english.strip(), key
        assert chinese.strip(), key
        assert places(english) == places(chinese), key
        if key != "lang_en":
            assert re.search(r"[\u4e00-\u9fff]|^\{", chinese), f"{key} is not Chinese"


def test_every_word_that_is_asked_for_is_there() -> None:
    asked = (
        set(re.findall(r"\bt\(\"([a-z0-9_]+)\"[,)]", sources()))
        | set(re.findall(r"\bt\('([a-z0-9_]+)'[,)]", sources()))
        | set(re.findall(r"words\(\s*\"([a-z0-9_]+)\"", sources()))
    )
    assert len(asked) > 150
    assert sorted(asked - set(WORDS)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_value_has_its_word(family: str) -> None:
    assert [value for value in FAMILIES[family] if f"{family}_{value}" not in WORDS] == []


def test_everything_that_is_done_is_told() -> None:
    done = set(re.findall(r"\.done\(\"([a-z_]+)\"", sources())) | {"receiver_enabled", "receiver_disabled"}
    assert {key.removeprefix(SAID) for key in WORDS if key.startswith(SAID)} == done


def test_no_word_is_there_for_nothing() -> None:
    text = sources()
    built = {f"{family}_{value}" for family, values in FAMILIES.items() for value in values}
    unused = [key for key in WORDS if key not in built | OTHERS and not key.startswith(SAID) and not re.search(rf"[\"']{key}[\"']", text)]
    assert unused == []


def test_a_word_nobody_wrote_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        Words("en")("nonsense")
