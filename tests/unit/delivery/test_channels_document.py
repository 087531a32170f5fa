"""docs/channels.md has a row and a section for each channel; its examples are subscriptions that work."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from alerts.channels.channel import Channel, all_channels, checked
from alerts.subscriptions import Subscription, from_setting, new_key
from opinion.telling_settings import SubscriptionSetting

DOCUMENT = (Path(__file__).parents[3] / "docs" / "channels.md").read_text(encoding="utf-8")
ROWS = {match["name"]: match["rest"].split(" | ") for match in re.finditer(r"^\| `(?P<name>\w+)` \| (?P<rest>.+) \|$", DOCUMENT, re.MULTILINE)}
SECTIONS = {match["name"]: match["text"] for match in re.finditer(r"^## `(?P<name>\w+)`\n(?P<text>.+?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)}

each_channel = pytest.mark.parametrize("channel", all_channels().values(), ids=lambda channel: channel.name)


def example(channel: Channel, language: str) -> str:
    found = re.findall(rf"^```{language}\n(.+?)^```$", SECTIONS[channel.name], re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"docs/channels.md: the section of `{channel.name}` needs one example in {language}"
    return str(found[0])


@each_channel
def test_a_channel_has_a_row_that_is_true(channel: Channel) -> None:
    assert channel.name in ROWS, f"add a row for `{channel.name}` to docs/channels.md"
    _, _, options, several = ROWS[channel.name]
    assert set(re.findall(r"[`*](\w+)[`*]", options)) == set(channel.options)
    assert set(re.findall(r"\*(\w+)\*", options)) == set(channel.needs)
    assert set(re.findall(r"[`*](\w+)[`*] †", options)) == set(channel.secret_options)
    assert ("each" in several) is not channel.combines


@each_channel
def test_its_example_of_the_settings_works(channel: Channel) -> None:
    (table,) = tomllib.loads(example(channel, "toml"))["subscriptions"]
    found = checked(from_setting(SubscriptionSetting(**table)))
    assert found.channel == channel.name


@each_channel
def test_its_example_of_the_api_works(channel: Channel) -> None:
    match = re.search(r"-d '(.+)'", example(channel, "sh"))
    assert match is not None
    body = json.loads(match[1])
    found = checked(msgspec.convert({"id": "sub_1", "keys": [new_key()]} | body, Subscription))
    assert found.channel == channel.name


def test_there_is_nothing_of_a_channel_that_is_not_there() -> None:
    assert list(ROWS) == sorted(all_channels())
    assert set(SECTIONS) == set(all_channels())
