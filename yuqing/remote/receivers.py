"""`yuqing subscribe` and `yuqing deliveries`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from opinion.errors import ApiRefused, ConfigError
from opinion.settings import Settings
from yuqing.remote.alerts import moment, span_s
from yuqing.remote.client import Api
from yuqing.remote.table import table

Echo = Callable[[str], None]


def add(settings: Settings, body: dict[str, Any], *, as_json: bool, echo: Echo) -> int:
    """Add a receiver; prints its id, and the secret that is shown only now."""
    with Api(settings) as api:
        made = api.post("/subscriptions", {name: value for name, value in body.items() if value not in (None, [], {}, ())})
    if as_json:
        click.echo(json.dumps(made, ensure_ascii=False))
        return 0
    click.echo(made["id"])
    if "secret" in made:
        echo(f"signed with {made['secret']}: keep it, it is not shown again")
    return 0


def list_receivers(settings: Settings, *, as_json: bool) -> int:
    """Print all subscriptions."""
    with Api(settings) as api:
        found = api.get("/subscriptions")["subscriptions"]
    if as_json:
        for item in found:
            click.echo(json.dumps(item, ensure_ascii=False))
        return 0
    rows = [[item["id"], item["name"], item["channel"], _state(item), item["match"]["severity_at_least"], ", ".join(_wanted(item))] for item in found]
    for line in table(["subscription", "name", "channel", "state", "from", "subjects"], rows) if rows else ["no subscriptions"]:
        click.echo(line)
    return 0


def show(settings: Settings, wanted: str) -> int:
    """Print one subscription."""
    with Api(settings) as api:
        click.echo(json.dumps(api.get(f"/subscriptions/{found_id(api, wanted)}"), ensure_ascii=False, indent=2))
    return 0


def remove(settings: Settings, wanted: str, *, echo: Echo) -> int:
    """Remove a subscription."""
    with Api(settings) as api:
        api.delete(f"/subscriptions/{found_id(api, wanted)}")
    echo("removed")
    return 0


def rotate(settings: Settings, wanted: str, *, echo: Echo) -> int:
    """Give a webhook a new key; prints it."""
    with Api(settings) as api:
        made = api.post(f"/subscriptions/{found_id(api, wanted)}/rotate")
    click.echo(made["secret"])
    echo("the key before signs too until the next rotation")
    return 0


def test(settings: Settings, wanted: str, *, echo: Echo) -> int:
    """Send a test message and say what became of it; 1 where it did not arrive."""
    with Api(settings) as api:
        made = api.post(f"/subscriptions/{found_id(api, wanted)}/test")
        delivery = _settled(api, made["delivery_id"])
    echo(f"{delivery['delivery_id']}: {delivery['outcome'] or 'waiting'}{' - ' * bool(delivery['detail'])}{delivery['detail']}")
    return 0 if delivery["outcome"] == "delivered" else 1


def channels(settings: Settings) -> int:
    """Print the channels there are and what they ask for."""
    with Api(settings) as api:
        found = api.get("/subscriptions/channels")["channels"]
    for channel in found:
        click.echo(channel["name"])
        for name, meaning in channel["options"].items():
            click.echo(f"  {name}{' (needed)' if name in channel['needs'] else ''}: {meaning}")
    return 0


def list_deliveries(settings: Settings, *, subscription: str | None, alert: str | None, outcome: str | None, limit: int, as_json: bool) -> int:
    """Print deliveries, newest first."""
    with Api(settings) as api:
        wanted = None if subscription is None else found_id(api, subscription)
        names = {item["id"]: item["name"] for item in api.get("/subscriptions")["subscriptions"]}
        found = list(api.rows("/deliveries", "deliveries", limit=limit, subscription=wanted, alert=alert, outcome=outcome))
    if as_json:
        for item in found:
            click.echo(json.dumps(item, ensure_ascii=False))
        return 0
    rows = [
        [item["delivery_id"], moment(item["created_at"]), names.get(item["subscription_id"], item["subscription_id"]), item["outcome"] or "-", str(item["attempts"]),
         moment(item["due_at"]) if item["due_at"] else "-", item["detail"]] for item in found
    ]  # fmt: skip
    for line in table(["delivery", "made", "to", "outcome", "tries", "next", "detail"], rows) if rows else ["no deliveries"]:
        click.echo(line)
    return 0


def show_delivery(settings: Settings, delivery_id: str) -> int:
    """Print one delivery."""
    with Api(settings) as api:
        click.echo(json.dumps(api.get(f"/deliveries/{delivery_id}"), ensure_ascii=False, indent=2))
    return 0


def retry(settings: Settings, ids: Sequence[str], *, echo: Echo) -> int:
    """Send deliveries again now; 1 where one of them is unknown."""
    failed = 0
    with Api(settings) as api:
        for delivery_id in ids:
            try:
                api.post(f"/deliveries/{delivery_id}/retry")
            except ApiRefused as error:
                failed += 1
                echo(f"yuqing: {error}")
    echo(f"{len(ids) - failed} queued")
    return 1 if failed else 0


def retry_all(settings: Settings, subscription: str, *, since: str | None, echo: Echo) -> int:
    """Send again what never arrived at a receiver, or all of the last so long."""
    body = {} if since is None else {"since": (datetime.now(UTC) - timedelta(seconds=span_s(since))).isoformat()}
    with Api(settings) as api:
        done = api.post(f"/subscriptions/{found_id(api, subscription)}/retry", body)
    echo(f"{done['queued']} queued")
    return 0


def found_id(api: Api, wanted: str) -> str:
    """The id of the subscription of that id or name.

    Errors:
        ApiRefused: there is none.
    """
    for item in api.get("/subscriptions")["subscriptions"]:
        if wanted in {item["id"], item["name"]}:
            return str(item["id"])
    raise ApiRefused(f"no subscription {wanted!r}; `yuqing subscribe list` shows them")


def options_of(given: Sequence[str]) -> dict[str, str]:
    """Options of the form NAME=VALUE.

    Errors:
        ConfigError: one of another form.
    """
    found = {}
    for option in given:
        name, equals, value = option.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--option {name.strip()!r} is not of the form NAME=VALUE")
        found[name.strip()] = value
    return found


def quiet_of(text: str | None) -> dict[str, str] | None:
    """Quiet hours as START-END[@ZONE].

    Errors:
        ConfigError: of another form.

    >>> quiet_of("22:00-07:00@Asia/Shanghai")
    {'start': '22:00', 'end': '07:00', 'timezone': 'Asia/Shanghai'}
    """
    if text is None:
        return None
    hours, _, zone = text.partition("@")
    start, dash, end = hours.partition("-")
    if not dash:
        raise ConfigError(f"--quiet {text!r} is not of the form 22:00-07:00 or 22:00-07:00@Asia/Shanghai")
    return {"start": start.strip(), "end": end.strip(), "timezone": zone.strip() or "UTC"}


def _settled(api: Api, delivery_id: str) -> dict[str, Any]:
    """The delivery after its first try, or as it stands after some seconds."""
    import time  # noqa: PLC0415 - only here is something waited for

    for _ in range(100):
        delivery: dict[str, Any] = api.get(f"/deliveries/{delivery_id}")
        if delivery["attempts"] or delivery["settled_at"]:
            break
        time.sleep(0.2)
    return delivery


def _state(item: dict[str, Any]) -> str:
    return "on" if item["enabled"] else f"off: {item['disabled_reason']}" if item["disabled_reason"] else "off"


def _wanted(item: dict[str, Any]) -> list[str]:
    return [*item["match"]["subjects"], *item["match"]["watchlist"], *item["match"]["matchers"]]
