"""How a reader wants to see pages: language, theme, time zone; said by the address, a cookie, or the browser."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, cast, get_args
from zoneinfo import ZoneInfo

from msgspec import Struct

Lang = Literal["en", "zh"]
Theme = Literal["auto", "light", "dark"]

LANGS, THEMES = cast("tuple[Lang, ...]", get_args(Lang)), cast("tuple[Theme, ...]", get_args(Theme))
COOKIES = {"lang": "yuqing_lang", "theme": "yuqing_theme"}
"""What the address may say -> the cookie that remembers it."""
ZONE_COOKIE = "yuqing_zone"
"""Set by the script: a server cannot know where its reader is."""
MOST_CHARS = 60


class Look(Struct, frozen=True):
    """It."""

    lang: Lang = "en"
    theme: Theme = "auto"
    zone: str = "UTC"

    def local(self, at: datetime) -> datetime:
        """An instant in the reader's time zone."""
        return at.astimezone(ZoneInfo(self.zone))

    def aware(self, at: datetime) -> datetime:
        """An instant as a form says it: in the reader's time zone where it names none."""
        return at.replace(tzinfo=ZoneInfo(self.zone)) if at.tzinfo is None else at


def look_of(query: Mapping[str, str], cookies: Mapping[str, str], *, accept_language: str) -> Look:
    """The look that is asked for; what is not understood is not asked for.

    >>> look_of({"theme": "dark"}, {"yuqing_zone": "Asia/Shanghai"}, accept_language="zh-CN,zh;q=0.9")
    Look(lang='zh', theme='dark', zone='Asia/Shanghai')
    """
    lang, theme = ((query.get(name), cookies.get(cookie)) for name, cookie in COOKIES.items())
    return Look(
        lang=next((found for said in lang for found in LANGS if found == said), _preferred(accept_language)),
        theme=next((found for said in theme for found in THEMES if found == said), "auto"),
        zone=_zone(cookies.get(ZONE_COOKIE, "")),
    )


def _preferred(accept_language: str) -> Lang:
    """The first language that we speak, of those with the highest weight."""
    weighed = []
    for part in accept_language.split(","):
        tag, _, weight = part.strip().partition(";q=")
        found = next((lang for lang in LANGS if tag.lower().partition("-")[0] == lang), None)
        if found is not None:
            try:
                weighed.append((float(weight or 1), found))
            except ValueError:
                continue
    return max(weighed, key=lambda item: item[0], default=(0.0, "en"))[1]


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name[:MOST_CHARS]).key
    except (KeyError, ValueError, OSError):  # no such zone, no name of one, or a folder of them
        return "UTC"
