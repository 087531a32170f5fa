"""`yuqing alerts` and `yuqing silence`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from opinion.errors import ConfigError
from opinion.settings import Settings
from yuqing.remote.client import Api
from yuqing.remote.table import table

UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_SPAN = re.compile(r"(?:\d+[smhdw])+")

Echo = Callable[[str], None]


def list_alerts(settings: Settings, *, status: str | None, subject: str | None, limit: int, as_json: bool) -> int:
    """Print alerts, those changed last first."""
    with Api(settings) as api:
        found = list(api.rows("/alerts", "alerts", limit=limit, status=None if status in {None, "all"} else status, subject=subject))
    if as_json:
        for alert in found:
            click.echo(json.dumps(alert, ensure_ascii=False))
        return 0
    rows = [
        [alert["alert_id"], alert["status"], alert["severity"], moment(alert["started_at"]), _who(alert), _counted(alert), alert["subject_name"], alert["subject"]]
        for alert in found
    ]
    for line in table(["alert", "status", "severity", "since", "taken on by", "negative", "name", "subject"], rows) if rows else ["no alerts"]:
        click.echo(line)
    return 0


def show_alert(settings: Settings, alert_id: str, *, as_json: bool) -> int:
    """Print an alert with its numbers and evidence."""
    with Api(settings) as api:
        alert = api.get(f"/alerts/{alert_id}")
    if as_json:
        click.echo(json.dumps(alert, ensure_ascii=False, indent=2))
        return 0
    window, trend = alert["window"], alert["trend"]
    clear = f", {window['clear']} clearly where {window['expected_clear']:.1f} would be" if window["expected_clear"] else ""
    lines = [
        f"{alert['subject_name']} ({alert['subject']})  {alert['status']}, {alert['severity']}  {alert['alert_id']} #{alert['sequence']}",
        alert["summary"],
        alert["summary_zh"],
        f"since {moment(alert['started_at'])}, last changed {moment(alert['updated_at'])}" + (f", over {moment(alert['ended_at'])}" if alert["ended_at"] else ""),
        (
            f"{_counted(alert)} texts negative in {window['width_s'] // 60} min, {window['expected_negative']:.1f} would be usual ({window['lift']:.1f}x){clear}; "
            f"{window['stories']} stories, {window['publishers']} publishers, {window['authors']} authors"
        ),
        f"score {window['score']:.1f} where {window['theta']:.1f} fires, p {window['p_value']:.1e}, by the {alert['lane']} of negatives, rules {alert['rules_version']}",
    ]
    if trend:
        lines.append(f"trend {trend['slope_per_hour']:+.1%} an hour ({trend['slope_low']:+.1%} to {trend['slope_high']:+.1%})")
    if alert["acknowledged_by"]:
        lines.append(f"taken on by {alert['acknowledged_by']} {moment(alert['acknowledged_at'])}")
    lines += [f"given to {alert['assigned_to']}"] * bool(alert["assigned_to"]) + ["muted until it is over"] * alert["muted"]
    lines += [f"{moment(note['at'])} {note['by']}: {note['text']}" for note in alert["notes"]]
    for item in alert["evidence"]:
        lines.append(f"  {item['negative']:.0%}  {item['title']}  [{item['publisher']}, {item['lang']}, told {item['story_size']}x]")
        lines += [f"       {item['url']}"] * bool(item["url"]) + [f"       because of: {', '.join(item['why'])}"] * bool(item["why"])
    for line in lines:
        click.echo("".join(letter if letter.isprintable() else " " for letter in line))
    return 0


def act(settings: Settings, alert_id: str, kind: str, body: dict[str, Any], *, echo: Echo) -> int:
    """Do something to an alert."""
    with Api(settings) as api:
        alert = api.post(f"/alerts/{alert_id}/{kind}", {name: value for name, value in body.items() if value})
    by = {"ack": f"taken on by {alert['acknowledged_by']}", "assign": f"given to {alert['assigned_to']}", "mute": "muted until it is over", "unmute": "told again", "note": "noted"}
    echo(f"{alert['subject_name']}: {by[kind]}")
    return 0


def add_silence(settings: Settings, matchers: list[str], *, length: str, comment: str, author: str | None, echo: Echo) -> int:
    """Silence alerts for a while; prints the id."""
    with Api(settings) as api:
        made = api.post("/silences", {"matchers": matchers, "duration_s": span_s(length), "comment": comment, "author": author})
    click.echo(made["id"])
    echo(f"silent until {moment(made['ends_at'])}: {', '.join(made['matchers'])}")
    return 0


def list_silences(settings: Settings, *, expired: bool, as_json: bool) -> int:
    """Print silences that are on or to come, and those that ended lately where asked."""
    with Api(settings) as api:
        found = [silence for silence in api.get("/silences")["silences"] if expired or silence["state"] != "expired"]
    if as_json:
        for silence in found:
            click.echo(json.dumps(silence, ensure_ascii=False))
        return 0
    rows = [[item["id"], item["state"], moment(item["starts_at"]), moment(item["ends_at"]), item["author"], ", ".join(item["matchers"]), item["comment"]] for item in found]
    for line in table(["silence", "state", "from", "until", "by", "matchers", "comment"], rows) if rows else ["no silences"]:
        click.echo(line)
    return 0


def expire_silence(settings: Settings, silence_id: str, *, echo: Echo) -> int:
    """End a silence now."""
    with Api(settings) as api:
        api.delete(f"/silences/{silence_id}")
    echo("ended")
    return 0


def span_s(text: str) -> int:
    """Seconds of a length of time like 90m, 2h or 1d12h.

    Errors:
        ConfigError: of another form, or nothing.

    >>> span_s("1d12h")
    129600
    """
    found = sum(int(number) * UNITS_S[unit] for number, unit in re.findall(r"(\d+)([smhdw])", text)) if _SPAN.fullmatch(text) else 0
    if not found:
        raise ConfigError(f"{text!r} is no length of time like 90m, 2h or 1d12h")
    return found


def moment(text: str) -> str:
    """An instant for people, in UTC."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M}"


def _who(alert: dict[str, Any]) -> str:
    return str(alert["assigned_to"] or alert["acknowledged_by"] or "-") + (" (muted)" if alert["muted"] else "")


def _counted(alert: dict[str, Any]) -> str:
    window = alert["window"]
    return f"{window['negative']} of {window['total']}"
