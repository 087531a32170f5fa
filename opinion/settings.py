"""Typed settings: `YUQING_*` environment variables win over `yuqing.toml`. Built in the entry points and passed down."""

from __future__ import annotations

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, SecretStr, ValidationError, field_validator, model_validator

from opinion.clock import Clock, ScaledClock, SystemClock
from opinion.errors import ConfigError
from opinion.names import Names, digest
from opinion.telling_settings import InhibitionSetting, QuietHoursSetting, Strict, SubscriptionSetting, TokenSetting

PREFIX = "YUQING_"
CONFIG_VARIABLE = "YUQING_CONFIG"
"""Names the configuration file; without it `./yuqing.toml` is read where it exists."""

LONGEST_KEPT = timedelta(days=30)
"""Alerts, deliveries and dead letters; whatever else has a term of its own is dropped before."""
WORKERS_ON_A_HOST = 16
"""Ports that are tried, from `worker_port` on, until one is free."""
ROUTED_LANGUAGES = ("en", "zh", "*")
"""Languages that may have a sentiment model of their own: those we tell apart, and all others."""

_KAFKA_SERVER = re.compile(r"([^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_REDIS_SCHEMES = ("redis", "rediss", "unix")


def default_data_dir() -> Path:
    """Where state lives when nobody says otherwise: `$XDG_DATA_HOME/yuqing`, else `~/.local/share/yuqing`."""
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "yuqing"


def at_home(path: str) -> str:
    """The path with a leading `~` or `~name` made a home directory; any other stays, so that a relative one goes on meaning the working directory.

    Errors:
        ValueError: nobody of that name has a home here.
    """
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:
        raise ValueError(f"no home directory is known for {path.partition('/')[0]}") from error


def _path_at_home(path: Path) -> Path:
    return Path(at_home(str(path)))


FilePath = Annotated[Path, AfterValidator(_path_at_home)]
"""A path that may begin with `~`, as a shell would take it: neither a file nor a quoted variable has a shell to do it."""


class Feed(Strict):
    """One source to poll: an RSS, Atom, RDF or JSON feed at an address, or an adapter by its name."""

    source: str = Field("feed", description="Adapter: `feed`, or one that `yuqing status --sources` lists.")
    url: str = Field("", description="Address, http or https (ws or wss where a source pushes); needed by `feed`, most others have their own.")
    options: dict[str, SecretStr] = Field(default_factory=dict, description="What the adapter asks for, e.g. channel or key; never printed.")
    name: str = Field("", description="What to call it in `status` and metrics; empty: the host of the address, or the adapter.")
    kind: Literal["", "news", "flash", "filing", "social", "qa"] = Field("", description="What sort of text it carries; empty: as the adapter says, else news.")
    lang: str = Field("", description="BCP 47 language of its texts; empty: found per text.")
    publisher: str = Field("", description="Who publishes it; empty: the host of each link.")
    interval_s: float | None = Field(None, ge=0.2, description="Seconds between polls; empty: `poll_interval_s`.")

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        if url and not url.startswith(("http://", "https://", "ws://", "wss://")):
            msg = f"{url!r} is not an http, https, ws or wss address"
            raise ValueError(msg)
        return url

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.source == "feed" and not self.url:
            raise ValueError("a feed needs its `url`")
        return self

    @property
    def key(self) -> str:
        """What tells it from all others: the address of a feed; the adapter, its address and options of others."""
        if self.source == "feed":
            return self.url
        options = [f"{name}={digest(value.get_secret_value())}" for name, value in sorted(self.options.items())]
        return "|".join([self.source, self.url, *options])

    def option(self, name: str, default: str = "") -> str:
        """An option in the clear, for the request that needs it."""
        found = self.options.get(name)
        return default if found is None else found.get_secret_value()


class Settings(Strict):
    """Every setting, with its default, unit and cost."""

    kafka: str | None = Field(None, description="Bootstrap servers `host:port,..`; empty: `yuqing up` runs a broker of its own.")
    redis: str | None = Field(None, description="`redis://host:port/db`; empty: `yuqing up` runs a server of its own.")
    data_dir: FilePath = Field(
        default_factory=default_data_dir,
        description="State of the embedded servers, tokens, the unpacked model (600 MB); empty: `yuqing` in `$XDG_DATA_HOME`, else in `~/.local/share`.",
    )
    model_dir: FilePath | None = Field(
        None, description="Where unpacked models are cached; empty: `models` in the data directory, where a promoted model goes as well if this one is read-only."
    )
    namespace: str = Field("yuqing", pattern=r"^[a-z][a-z0-9_-]{0,40}$", description="First part of every Kafka topic and of every Redis key that is not the default's.")
    partitions: int = Field(4, ge=1, le=512, description="Partitions of new topics: the number of workers that can share the work.")
    replication: int = Field(1, ge=1, le=5, description="Copies of new topics; 3 on a real cluster.")
    retention_days: float | None = Field(
        None,
        ge=1,
        le=3650,
        description="Days for which Kafka keeps documents, judgements and alerts, those erased since among them: what can be replayed, and how long an outage may last."
        " Existing topics follow it at the next start of any process; empty: 8 for new ones, and existing ones stay as they are.",
    )

    model: Annotated[str, AfterValidator(at_home)] = Field(
        "default", description="`default` (the one promoted with `yuqing model promote`, else the built-in one) or a directory of the same form."
    )
    sentiment_models: dict[str, Annotated[str, AfterValidator(at_home)]] = Field(
        default_factory=dict,
        description="Language (en, zh, or * for all others) -> a classifier that judges the sentiment of its texts instead, beside `model`: a directory, or `owner/name` "
        "of the Hugging Face hub. Costs a second pass per text. In the environment: JSON, or `zh=directory,en=directory`.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where the model runs; auto takes a GPU when there is one.")
    threads: int = Field(0, ge=0, description="CPU threads of the model; 0: one per core.")
    backend: Literal["auto", "torch", "onnx", "onnx-int8"] = Field(
        "auto",
        description="What runs the model: `torch` (bfloat16 where the processor has it; GPU), `onnx` (float32, half the memory), `auto` (the faster of both here, tried"
        " once), or `onnx-int8` (8-bit integers: half as fast again, up to a point less right).",
    )
    max_tokens: int = Field(256, ge=16, le=512, description="Longest text judged, in tokens: title and lead. Cost grows in proportion.")
    batch_tokens: int = Field(1024, ge=64, description="Most tokens (padding counted) in one forward pass. More gains nothing on a CPU; 16384 on a GPU.")
    batch_documents: int = Field(64, ge=1, le=4096, description="Most records an agent takes at once.")
    batch_wait_s: float = Field(0.2, gt=0, le=1, description="Most seconds to wait for a batch to fill; part of every alert's delay.")
    agents: Annotated[list[Literal["score", "aggregate"]], Field(min_length=1)] = Field(
        ["score", "aggregate"], description="What a worker runs: GPU hosts `score`, cheap hosts `aggregate`."
    )
    names_files: list[FilePath] = Field(default_factory=list, description="CSV files id,name,name_zh,aliases (aliases separated by |) of further companies to link.")
    session_timeout_s: float = Field(30, ge=6, description="Seconds that Kafka waits for a silent worker before another takes over.")

    sources: list[Feed] = Field(default_factory=list, description="Feeds and adapters to poll. In the environment: JSON, or addresses and names of adapters separated by commas.")
    poll_interval_s: float = Field(60, ge=0.2, description="Seconds between two polls of a feed, give or take a fifth; part of every alert's delay, and the publisher's load.")
    fetch_deadline_s: float = Field(20, gt=0, description="Most seconds a fetch may take in all.")
    max_body_bytes: int = Field(15_000_000, ge=1_000, description="Most bytes of a decoded body, of a feed or posted to us.")
    user_agent: str = Field("yuqing/0.1 (public-opinion monitor; contact not set)", description="How we introduce ourselves; add your contact address.")
    drop_dir: FilePath | None = Field(None, description="Directory whose files of Documents (JSON Lines or JSON) are read, then moved to `done` in it.")
    drop_fields: str = Field("", description="What the rows of these files call our fields, e.g. `title=headline,text=body.content`; empty: as we do.")
    intake_port: int | None = Field(None, ge=0, le=65535, description="Port that takes Documents by HTTP, at /v1/documents; 0: one that the system chooses; empty: none is opened.")
    intake_token: SecretStr | None = Field(None, description="Bearer token of that port; empty: made at first start, kept in the data directory.")
    intake_fields: str = Field("", description="What the rows that are posted call our fields, e.g. `title=headline,text=body.content`; empty: as we do.")
    allow_private_sources: bool = Field(False, description="Let sources be on private and loopback addresses, and be redirected there.")

    rules: FilePath | None = Field(None, description="YAML file of detection rules, read again whenever it changes; empty: the built-in ones.")
    archive_days: float = Field(14, ge=0, le=3650, description="Days for which the alerter keeps judged documents for people to look at, 2 kB each on disk; 0: not at all.")
    tick_interval_s: float = Field(5, gt=0, description="Seconds between two looks at the windows; part of every alert's delay.")
    subscriptions: list[SubscriptionSetting] = Field(default_factory=list, description="Webhooks that are always subscribed.")
    inhibit: list[InhibitionSetting] = Field(default_factory=list, description="Alerts that keep others from being told, as in Alertmanager.")
    allow_private_webhooks: bool = Field(False, description="Let webhooks go to private and loopback addresses: whoever may add one then reaches what this machine reaches.")
    console_url: str = Field("", description="Address people reach the alerter at, for links; empty: the API's own.")

    api_host: str = Field("127.0.0.1", description="Address that the alerter's API, the intake and every /metrics listen on.")
    api_port: int = Field(8600, ge=0, le=65535, description="Port of the alerter: API, console, metrics.")
    api_token: SecretStr | None = Field(None, description="Bearer token of the API; empty: made at first start, kept in the data directory.")
    api_tokens: list[TokenSetting] = Field(default_factory=list, description="Tokens beside `api_token`, which may do everything.")
    api_rate_per_min: int = Field(600, ge=1, description="Most requests a minute of one token; more are answered 429.")
    scraper_port: int = Field(8601, ge=0, le=65535, description="Port of the scraper's metrics.")
    worker_port: int = Field(8602, ge=0, le=65535, description="Port of the first worker's metrics; further workers count up.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe log line that is written.")

    clock_starts_at: AwareDatetime | None = Field(None, description="Replays only: the instant at which the scaled clock began.")
    clock_wall_at: AwareDatetime | None = Field(None, description="Replays only: the wall time of that instant.")
    clock_speed: float = Field(1.0, gt=0, description="Replays only: seconds of our time per second of wall time.")

    @field_validator("kafka")
    @classmethod
    def _kafka_servers(cls, value: str | None) -> str | None:
        if value and not all(_KAFKA_SERVER.fullmatch(part.strip()) for part in value.split(",")):
            raise ValueError("expected `host:port`, several separated by commas")
        return value

    @field_validator("redis")
    @classmethod
    def _redis_server(cls, value: str | None) -> str | None:
        if value and not _is_redis_address(value):
            raise ValueError("expected `redis://host:port/db`, `rediss://host:port/db` or `unix://path`")  # not the value: it may hold a password
        return value

    @field_validator("sources", mode="before")
    @classmethod
    def _addresses(cls, value: object) -> object:
        if isinstance(value, str):
            value = json.loads(value) if value.lstrip().startswith("[") else [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, list):
            return value
        return [({"url": part} if ":" in part or "/" in part else {"source": part}) if isinstance(part, str) else part for part in value]

    @field_validator("agents", "names_files", "subscriptions", "inhibit", "api_tokens", mode="before")
    @classmethod
    def _lists(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return json.loads(value) if value.lstrip().startswith("[") else [part.strip() for part in value.split(",")]

    @field_validator("sentiment_models", mode="before")
    @classmethod
    def _table(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("{"):
            return json.loads(value)
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {key.strip(): setting.strip() for key, _, setting in pairs}

    @field_validator("sentiment_models")
    @classmethod
    def _languages(cls, value: dict[str, str]) -> dict[str, str]:
        for language, name in value.items():
            if language not in ROUTED_LANGUAGES:
                msg = f"{language!r} is none of {', '.join(ROUTED_LANGUAGES)}"
                raise ValueError(msg)
            if not name:
                msg = f"no model is named for {language!r}"
                raise ValueError(msg)
        return value

    @property
    def names(self) -> Names:
        """Topics, keys and groups of this installation."""
        return Names(self.namespace)

    @property
    def models_dir(self) -> Path:
        """Where unpacked models are cached."""
        return self.model_dir or self.data_dir / "models"

    @property
    def worker_ports(self) -> range:
        """Where workers on this host may listen: the first free one. 0 alone: wherever the system chooses."""
        return range(self.worker_port, min(self.worker_port + WORKERS_ON_A_HOST, 65536)) if self.worker_port else range(1)

    @property
    def retention(self) -> timedelta | None:
        """How long Kafka is to keep what it is told; None: nobody said."""
        return None if self.retention_days is None else timedelta(days=self.retention_days)

    @property
    def erased_for(self) -> timedelta:
        """How long the ids of erased documents are remembered: a day longer than anything is kept that could bring one back."""
        return max(LONGEST_KEPT, timedelta(days=max(self.archive_days, self.retention_days or 0))) + timedelta(days=1)

    def clock(self) -> Clock:
        """The wall clock, or the scaled one of a replay."""
        if self.clock_starts_at is None or self.clock_wall_at is None:
            return SystemClock()
        return ScaledClock(wall_at=self.clock_wall_at, starts_at=self.clock_starts_at, speed=self.clock_speed)

    def require_servers(self) -> tuple[str, str]:
        """Kafka and Redis addresses, for a process that does not start servers itself.

        Errors:
            ConfigError: one is not set.
        """
        if not self.kafka or not self.redis:
            missing = "kafka" if not self.kafka else "redis"
            msg = f"`{missing}` is not set: set {PREFIX}{missing.upper()}, or run `yuqing up`, which brings its own"
            raise ConfigError(msg)
        return self.kafka, self.redis

    def as_environment(self) -> dict[str, str]:
        """The settings that differ from their defaults, as environment variables for a child process. Holds secrets."""
        variables: dict[str, str] = {}
        for key in self.model_fields_set:
            value = getattr(self, key)
            if value is not None:
                variables[PREFIX + key.upper()] = _as_text(value)
        return variables


def _is_redis_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # the port is no number, or the brackets of an IPv6 address do not match
        return False
    return parts.scheme in _REDIS_SCHEMES


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return json.dumps([_plain(item) for item in value], ensure_ascii=False)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return {key: _plain(getattr(value, key)) for key in type(value).model_fields if key in value.model_fields_set}  # what was said and what was not may differ in meaning
    if isinstance(value, Path):
        return str(value)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def load_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """The settings: `overrides` win over the environment, which wins over the file.

    Errors:
        ConfigError: an unknown key (the message names the nearest known one) or a wrong value (it names the key).
    """
    environment = os.environ if environment is None else environment
    path = environment.get(CONFIG_VARIABLE)
    values = _from_file(_config_file(path or "yuqing.toml"), required=path is not None)
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        key = variable.removeprefix(PREFIX).lower()
        if key not in Settings.model_fields:
            raise ConfigError(_unknown(key, Settings.model_fields, written=lambda name: PREFIX + name.upper()))
        if text:
            values[key] = text
    values |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigError(_explain(error)) from error


def _config_file(path: str) -> Path:
    try:
        return Path(at_home(path))
    except ValueError as error:
        raise ConfigError(f"{CONFIG_VARIABLE}: {error}") from error


def _from_file(path: Path, *, required: bool) -> dict[str, Any]:
    if not required and not path.exists():
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ConfigError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: {error}"
        raise ConfigError(msg) from error
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigError(f"{path}: {_unknown(key, Settings.model_fields)}")
    return _given(values)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what is "": in the file, as in the environment, that is the same as not set."""
    return {key: _inner(value) for key, value in values.items() if value != ""}


def _inner(value: Any) -> Any:
    if isinstance(value, list):
        return [_inner(item) for item in value]
    return _given(value) if isinstance(value, dict) else value


def _unknown(key: str, known: Iterable[str], *, written: Callable[[str], str] = str) -> str:
    """`written` is how a key looks where it was found; likeness is judged without that, or the prefix would make all alike."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    return f"unknown setting {written(key)!r}" + (f"; did you mean {written(near[0])!r}?" if near else "")


def _explain(error: ValidationError) -> str:
    """One line for the first wrong setting; the value is shown only where it cannot be a secret."""
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        leaf = str(first["loc"][-1])
        known = [name for kind in (Feed, SubscriptionSetting, QuietHoursSetting, InhibitionSetting, TokenSetting) for name in kind.model_fields]
        return _unknown(leaf, known) + f" (in {where})"
    return f"setting `{where}`: {first['msg'].removeprefix('Value error, ')}"
