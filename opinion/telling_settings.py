"""What may be configured of who is told, and of what: tables in the settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from opinion.webhook_address import address_or_none


class Strict(BaseModel):
    """A table without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class QuietHoursSetting(Strict):
    """Hours in which a receiver is left alone."""

    start: str = Field(description="Local time HH:MM.")
    end: str = Field(description="Local time HH:MM; before `start`: the next morning's.")
    timezone: str = Field("UTC", description="IANA name, e.g. Asia/Shanghai.")
    days: list[int] = Field(default_factory=lambda: [1, 2, 3, 4, 5, 6, 7], description="ISO weekdays on which quiet begins, Monday 1.")
    wake_for: Literal["none", "warning", "high", "critical"] = Field("critical", description="Told all the same from this severity on.")


class SubscriptionSetting(Strict):
    """A receiver that is always there, beside those added through the API."""

    name: str = Field(description="Unique name; its id derives from it.")
    channel: str = Field("webhook", description="How it is told; `yuqing subscribe channels` lists them.")
    url: Annotated[str, AfterValidator(address_or_none)] = Field("", description="Where alerts are posted, of channels that have an address: http or https.")
    secret: SecretStr | None = Field(None, description="Of signed webhooks: `whsec_` and base64 of 24 to 64 bytes.")
    options: dict[str, SecretStr] = Field(default_factory=dict, description="What the channel asks for; never printed.")
    subjects: list[str] = Field(default_factory=lambda: ["*"], description="Globs; any match is enough.")
    watchlist: list[str] = Field(default_factory=list, description="Tickers or codes of companies beside those of the globs, e.g. AAPL, 600519.")
    severity_at_least: Literal["warning", "high", "critical"] = Field("warning", description="Less severe alerts are not sent.")
    languages: list[Literal["en", "zh"]] = Field(default_factory=list, description="Only alerts with evidence in one of these; empty: all.")
    kinds: list[Literal["news", "flash", "filing", "social", "qa"]] = Field(default_factory=list, description="Only alerts with evidence of one of these; empty: all.")
    matchers: list[str] = Field(default_factory=list, description='Conditions on labels, all must hold, e.g. `market=~"XSHG|XSHE"`.')
    send_resolved: bool = Field(True, description="Also tell when it is over.")
    language: Literal["en", "zh", "both"] = Field("both", description="What people are told in.")
    group_by: list[str] = Field(default_factory=list, description="Labels; alerts that share their values are told together; empty: each by itself.")
    group_wait_s: float = Field(30, ge=0, description="Of groups: seconds from the first alert to the first message.")
    group_interval_s: float = Field(300, gt=0, description="Of groups: seconds between two messages.")
    repeat_interval_s: float | None = Field(None, gt=0, description="Seconds after which an alert that nobody acknowledged is told again; empty: never.")
    quiet_hours: QuietHoursSetting | None = Field(None, description="A table of start, end, timezone, days and wake_for; what came meanwhile is told in one message at their end.")
    rate_per_min: float | None = Field(None, gt=0, description="Most messages a minute; empty: no limit.")


class InhibitionSetting(Strict):
    """While an alert that fits `source` is on, those that fit `target` and share the labels `equal` are not told."""

    source: list[str] = Field(min_length=1, description='Conditions, all must hold, e.g. `subject_kind="entity"`.')
    target: list[str] = Field(min_length=1, description='Conditions, all must hold, e.g. `severity="warning"`.')
    equal: list[str] = Field(default_factory=list, description="Labels whose values must be the same.")


class TokenSetting(Strict):
    """A bearer token of the API for somebody who is not to do everything."""

    name: str = Field(min_length=1, max_length=100, description="Who has it: shown where they act.")
    token: SecretStr = Field(min_length=16, description="At least 16 characters.")
    scope: Literal["read", "operate", "admin"] = Field("read", description="read: look; operate: also acknowledge, silence, test, retry; admin: also subscriptions.")
