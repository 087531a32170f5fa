"""The bundled day: some 3,400 items of six feeds, EN and ZH, news and posts, with a crisis and a harmless surge in it. Synthetic.

The background are rows of `models/datasets/synthetic` (written for this project, part of what the model was trained on) at base rates
that look like a real day's; the texts on the two companies of the story were written for this day and never trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

DAY_AT = datetime(2026, 3, 18, tzinfo=UTC)
"""A Wednesday. Items lie within the 24 hours that begin here."""
DATA = Path(__file__).parents[1] / "day"
COMPANIES = DATA / "companies.csv"
CRISIS, SURGE = "entity:XDEM:HSRY", "entity:XDEM:YLAN"
"""The company that gets into trouble, and the one that is only talked about a lot."""
SEED = 20260318

_SYNTHETIC = Path(__file__).parents[2] / "models" / "datasets" / "synthetic"
_NEWS, _SOCIAL = {"negative": 0.20, "neutral": 0.50, "positive": 0.30}, {"negative": 0.28, "neutral": 0.36, "positive": 0.36}


class Outlet(NamedTuple):
    """One feed: what it carries, in which form it is served, and whose items it lists."""

    kind: Literal["news", "flash", "social"]
    form: Literal["rss", "atom", "json"]
    hosts: tuple[str, ...]
    lang: Literal["en", "zh"]


OUTLETS = {
    "en_wire": Outlet("news", "rss", ("newswire.example", "cityticker.example"), "en"),
    "en_press": Outlet("news", "atom", ("courier.example", "ledger.example", "marketpost.example", "harbourtimes.example"), "en"),
    "zh_flash": Outlet("flash", "json", ("kuaixun.example", "caijing-kx.example"), "zh"),
    "zh_press": Outlet("news", "rss", ("chenbao.example", "caixun.example", "gongshang.example", "shiye.example"), "zh"),
    "en_social": Outlet("social", "json", ("tickertalk.example",), "en"),
    "zh_forum": Outlet("social", "atom", ("guxiang.example", "weiyu.example"), "zh"),
}
_BACKGROUND: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("en_news", 440, ("en_wire", "en_press")),
    ("en_social", 430, ("en_social",)),
    ("zh_flash", 520, ("zh_flash", "zh_flash", "zh_press")),
    ("zh_long", 180, ("zh_press",)),
    ("zh_forum", 400, ("zh_forum",)),
    ("zh_forum2", 250, ("zh_forum",)),
    ("zh_forum3", 150, ("zh_forum",)),
    ("zh_forum4", 200, ("zh_forum",)),
    ("zh_social2", 330, ("zh_forum",)),
)
"""File, rows taken, feeds they go to."""
_HOURS = {
    "zh": (5, 9, 13, 12, 8, 12, 14, 12, 13, 13, 12, 9, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 2, 3),
    "en": (2, 2, 2, 2, 3, 4, 6, 8, 9, 9, 9, 10, 12, 14, 15, 13, 12, 11, 11, 12, 13, 8, 4, 3),
}
"""Weight of each hour (UTC): markets are open 01:30-07:00 in China, whose companies publish from 08:00 on, and 13:30-20:00 in New York."""
_REPRINTED = {"news": 0.12, "flash": 0.12, "social": 0.04}
_REPRINTED_CRISIS = {"news": 0.5, "flash": 0.5, "social": 0.2}
_OF_THE_STORY = ("Huasui", "华穗", "Yunlan", "云岚")
"""Background rows do not speak of the two companies."""
_LISTED_TWICE = 0.06
"""Share of news that a second feed lists under the same address."""
_REPRINT_MARKS = {"zh": ("来源：{host}\n{text}", "【转载】{text}", "{text}（来源：{host}）"), "en": ("{text} Read more", "(Reuters) - {text}", "{text}")}


class Item(Struct, frozen=True, kw_only=True):
    """One item of one feed."""

    at: datetime
    feed: str
    guid: str  # its address
    title: str = ""
    text: str
    author: str = ""


class _Told(Struct, frozen=True):
    """A row of the story's files."""

    at: str  # HH:MM
    act: str
    feed: str
    title: str
    text: str
    lang: str
    author: str = ""


class _Row(Struct, frozen=True):
    text: str
    topic: str | None
    sentiment: str


def bundled_day(seed: int = SEED) -> list[Item]:
    """Every item, oldest first; the same for the same seed."""
    random = Random(seed)  # noqa: S311 - a reproducible day, not a secret
    items = [*_background(random), *_story(random, "crisis.jsonl"), *_story(random, "launch.jsonl")]
    numbered = [replace(item, guid=f"https://{item.guid}/{DAY_AT:%Y%m%d}/{number:05d}") for number, item in enumerate(items)]
    whole = [*numbered, *_reprints(random, numbered), *_second_listings(random, numbered)]
    return sorted(whole, key=lambda item: (item.at, item.guid, item.feed))


def _background(random: Random) -> Iterator[Item]:
    for name, count, feeds in _BACKGROUND:
        for row in _sampled(random, name, count, _SOCIAL if OUTLETS[feeds[0]].kind == "social" else _NEWS):
            feed = random.choice(feeds)
            outlet = OUTLETS[feed]
            author = f"reader{random.randrange(900)}" if outlet.kind == "social" else ""
            yield Item(at=_moment(random, outlet.lang), feed=feed, guid=random.choice(outlet.hosts), text=row.text, author=author)


def _sampled(random: Random, name: str, count: int, shares: Mapping[str, float]) -> Iterator[_Row]:
    """About `count` rows of a file, its topics in their proportion, each with the same shares of sentiments: the quiet mixture of a day without news."""
    rows = [msgspec.json.decode(line, type=_Row) for line in (_SYNTHETIC / f"{name}.jsonl").read_bytes().splitlines()]
    rows = [row for row in rows if not any(called in row.text for called in _OF_THE_STORY)]
    random.shuffle(rows)
    topics: defaultdict[str | None, list[_Row]] = defaultdict(list)
    for row in rows:
        topics[row.topic].append(row)
    for group in topics.values():
        wanted = count * len(group) / len(rows)
        for sentiment, share in shares.items():
            yield from [row for row in group if row.sentiment == sentiment][: round(wanted * share)]


def _moment(random: Random, lang: str) -> datetime:
    (hour,) = random.choices(range(24), weights=_HOURS[lang])
    return DAY_AT + timedelta(hours=hour, seconds=random.randrange(3600))


def _story(random: Random, file: str) -> Iterator[Item]:
    for line in (DATA / file).read_bytes().splitlines():
        row = msgspec.json.decode(line, type=_Told)
        hour, _, minute = row.at.partition(":")
        at = DAY_AT + timedelta(hours=int(hour), minutes=int(minute), seconds=random.randrange(60))
        yield Item(at=at, feed=row.feed, guid=random.choice(OUTLETS[row.feed].hosts), title=row.title, text=row.text, author=row.author)


def _reprints(random: Random, items: Sequence[Item]) -> Iterator[Item]:
    """Copies by other publishers and reposts by other people, 3 to 50 minutes later, with the marks that copies carry."""
    crisis = {row.text for row in (msgspec.json.decode(line, type=_Told) for line in (DATA / "crisis.jsonl").read_bytes().splitlines()) if row.act == "crisis"}
    for number, item in enumerate(items):
        outlet = OUTLETS[item.feed]
        if random.random() >= (_REPRINTED_CRISIS if item.text in crisis else _REPRINTED)[outlet.kind]:
            continue
        at = item.at + timedelta(minutes=3 + random.randrange(47), seconds=random.randrange(60))
        if at >= DAY_AT + timedelta(days=1):
            continue
        if outlet.kind == "social":
            mark = "//@{author}：{text}" if outlet.lang == "zh" else "RT @{author}: {text}"
            text, feed, host, author = mark.format(author=item.author, text=item.text), item.feed, item.guid.split("/")[2], f"reader{random.randrange(900, 1800)}"
        else:
            feed = "zh_press" if outlet.lang == "zh" else "en_press"
            own = item.guid.split("/")[2]
            host = random.choice([other for other in OUTLETS[feed].hosts if other != own])
            text, author = random.choice(_REPRINT_MARKS[outlet.lang]).format(text=item.text, host=own), ""
        yield replace(item, at=at, feed=feed, guid=f"https://{host}/copy/{number:05d}", text=text, author=author)


def _second_listings(random: Random, items: Sequence[Item]) -> Iterator[Item]:
    """The same item, under the same address, in a second feed a little later."""
    other = {"en_wire": "en_press", "en_press": "en_wire", "zh_flash": "zh_press"}
    for item in items:
        if item.feed in other and random.random() < _LISTED_TWICE:
            at = item.at + timedelta(seconds=30 + random.randrange(300))
            if at < DAY_AT + timedelta(days=1):
                yield replace(item, at=at, feed=other[item.feed])
