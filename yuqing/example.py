"""`yuqing.example.toml`: every setting commented out at its default, with what its own help text says."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from opinion.settings import Settings

WIDTH = 110
"""Columns of the file."""

SECTIONS: dict[str, tuple[str, ...]] = {
    "Servers and state": ("kafka", "redis", "data_dir", "namespace", "partitions", "replication", "retention_days"),
    "Model and workers": (
        "agents",
        "model",
        "sentiment_models",
        "backend",
        "model_dir",
        "device",
        "threads",
        "max_tokens",
        "batch_tokens",
        "batch_documents",
        "batch_wait_s",
        "names_files",
        "session_timeout_s",
    ),
    "Scraper": (
        "poll_interval_s",
        "fetch_deadline_s",
        "max_body_bytes",
        "user_agent",
        "drop_dir",
        "drop_fields",
        "intake_port",
        "intake_token",
        "intake_fields",
        "allow_private_sources",
    ),
    "Detection and alerts": ("rules", "tick_interval_s", "archive_days", "allow_private_webhooks", "console_url"),
    "API, metrics, logs": ("api_host", "api_port", "api_token", "api_rate_per_min", "scraper_port", "worker_port", "log_level"),
    "Replays": ("clock_starts_at", "clock_wall_at", "clock_speed"),
}
"""Heading -> keys under it, in the order of the file. Lists of tables are not here: TOML wants them last, and they head themselves."""

VALUES: dict[str, Any] = {
    "data_dir": "",  # the default depends on the machine, and the help text says how
    "sources.url": "https://publisher.example/feed.xml",
    "subscriptions.name": "desk",
    "subscriptions.url": "https://desk.example/hook",
    "api_tokens.name": "analyst",
    "api_tokens.token": "at least 16 characters",
    "inhibit.source": ['severity="critical"'],
    "inhibit.target": ['severity=~"warning|high"'],
    "inhibit.equal": ["story"],
    "subscriptions.secret": "whsec_...",  # refused until it is replaced: a key printed here would be everybody's
}
"""What stands for a default where there is none to show."""

_PREAMBLE = (
    "Every setting of Yuqing at its default. To change one, remove the # in front of its key.",
    "It is read as ./yuqing.toml, or from where YUQING_CONFIG says. Environment variables win over it: YUQING_ and the key in capitals, such as YUQING_API_PORT.",
    "A path may begin with ~; a relative one starts at the directory the program is run in.",
    'Empty ("") is the same as not set. `yuqing check` says what is set and whether it is valid.',
    "Made by `make example` from the descriptions in opinion/settings.py.",
)


def tables() -> dict[str, type[BaseModel]]:
    """The settings that are lists of tables, with what a table holds."""
    found = {key: get_args(field.annotation) for key, field in Settings.model_fields.items()}
    return {key: args[0] for key, args in found.items() if args and isinstance(args[0], type) and issubclass(args[0], BaseModel)}


def example() -> str:
    """The whole file. The same on every machine."""
    lines = "\n#\n".join("\n".join(_comment(paragraph)) for paragraph in _PREAMBLE).splitlines()
    for heading, keys in SECTIONS.items():
        lines += ["", *_heading(heading)]
        for key in keys:
            lines += ["", *_setting(key, Settings.model_fields[key], shown=VALUES.get(key))]
    for key, table in tables().items():
        lines += ["", *_heading(f"{key}: one [[{key}]] for each"), "", *_comment(Settings.model_fields[key].description or ""), f"#[[{key}]]"]
        for name, field in table.model_fields.items():
            lines += ["", *_setting(name, field, shown=VALUES.get(f"{key}.{name}"))]
    return "\n".join(lines) + "\n"


def _heading(text: str) -> list[str]:
    return [f"# {text} ".ljust(WIDTH, "-")]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False, break_on_hyphens=False)


def _setting(key: str, field: FieldInfo, *, shown: Any) -> Iterator[str]:
    yield from _comment(" ".join([field.description or "", *_choices(field), *_limits(field)]))
    yield f"#{key} = {toml(field.get_default(call_default_factory=True) if shown is None else shown)}"


def _choices(field: FieldInfo) -> Iterator[str]:
    kind = field.annotation
    if get_origin(kind) is list:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        yield f"One of {', '.join(get_args(kind))}." if kind is field.annotation else f"Any of {', '.join(get_args(kind))}."


def _limits(field: FieldInfo) -> Iterator[str]:
    words = {Ge: "at least", Gt: "more than", Le: "at most", Lt: "less than"}
    found = [f"{word} {_number(getattr(rule, kind.__name__.lower()))}" for rule in field.metadata for kind, word in words.items() if isinstance(rule, kind)]
    if found:
        yield ", ".join(found).capitalize() + "."


def _number(value: float) -> str:
    return f"{value:_}" if value >= 10**6 else f"{value}"  # 15_000_000 is easier to read, 8600 is not 8_600


def toml(value: object) -> str:
    """A value as TOML writes it; None as an empty string, which is the same as not set.

    >>> toml(None), toml(True), toml(15_000_000), toml(["a", "b"]), toml(0.2)
    ('""', 'true', '15_000_000', '["a", "b"]', '0.2')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)} = {toml(item)}' for key, item in value.items())}}}"
    if value is None or isinstance(value, str | Path):
        return json.dumps(str(value or ""), ensure_ascii=False)
    raise TypeError(f"no TOML for {value!r}")


if __name__ == "__main__":
    sys.stdout.write(example())
