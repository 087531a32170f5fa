"""Commands that operate a running alerter, through its API."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from opinion.settings import Settings

AS_JSON = click.option("--json", "as_json", is_flag=True, help="For scripts: a JSON object per line.")
BY = click.option("--by", metavar="NAME", help="Who does it; default: the name of the token.")
SEVERITIES = click.Choice(["warning", "high", "critical"])


def _say(line: str) -> None:
    click.echo(line, err=True)


def _settings() -> Settings:
    from opinion.settings import load_settings
    from yuqing.logs import configure_logs

    settings = load_settings()
    configure_logs("warning")
    return settings


@click.group()
def alerts() -> None:
    """Alerts: look, take on, give away, mute."""


@alerts.command("list")
@click.option(
    "--status", type=click.Choice(["open", "pending", "firing", "updated", "resolved", "all"]), default="all", help="open: firing or updated; pending: held back, told to nobody."
)
@click.option("--subject", help="Of this subject only, e.g. entity:XNAS:AAPL.")
@click.option("--limit", type=click.IntRange(min=1), default=50, help="At most so many.")
@AS_JSON
def alerts_list(**given: Any) -> None:
    """Alerts, those changed last first."""
    from yuqing.remote.alerts import list_alerts

    sys.exit(list_alerts(_settings(), **given))


@alerts.command("show")
@click.argument("alert_id")
@AS_JSON
def alerts_show(alert_id: str, *, as_json: bool) -> None:
    """One alert with its numbers and evidence."""
    from yuqing.remote.alerts import show_alert

    sys.exit(show_alert(_settings(), alert_id, as_json=as_json))


@alerts.command("ack")
@click.argument("alert_id")
@BY
@click.option("--note", default="", help="What is to be said with it.")
def alerts_ack(alert_id: str, *, by: str | None, note: str) -> None:
    """Take an alert on: it is not repeated any more."""
    _act(alert_id, "ack", by=by, note=note)


@alerts.command("assign")
@click.argument("alert_id")
@click.argument("to")
@BY
@click.option("--note", default="", help="What is to be said with it.")
def alerts_assign(alert_id: str, to: str, *, by: str | None, note: str) -> None:
    """Give an alert to somebody."""
    _act(alert_id, "assign", to=to, by=by, note=note)


@alerts.command("note")
@click.argument("alert_id")
@click.argument("text")
@BY
def alerts_note(alert_id: str, text: str, *, by: str | None) -> None:
    """Write on an alert."""
    _act(alert_id, "note", text=text, by=by)


@alerts.command("mute")
@click.argument("alert_id")
@BY
@click.option("--note", default="", help="What is to be said with it.")
@click.option("--undo", is_flag=True, help="Tell of it again.")
def alerts_mute(alert_id: str, *, by: str | None, note: str, undo: bool) -> None:
    """Tell nobody of an alert any more until it is over."""
    _act(alert_id, "unmute" if undo else "mute", by=by, note=note)


def _act(alert_id: str, kind: str, **body: Any) -> None:
    from yuqing.remote.alerts import act

    sys.exit(act(_settings(), alert_id, kind, body, echo=_say))


@click.group()
def silence() -> None:
    """Silences: nobody is told of matching alerts for a while."""


@silence.command("add")
@click.argument("matchers", nargs=-1, required=True)
@click.option("--for", "length", default="2h", show_default=True, help="How long, e.g. 90m, 2h, 1d12h.")
@click.option("--comment", default="", help="Why.")
@click.option("--by", "author", metavar="NAME", help="Whose it is; default: the name of the token.")
def silence_add(matchers: tuple[str, ...], *, length: str, comment: str, author: str | None) -> None:
    """Silence alerts whose labels fulfil all MATCHERS, e.g. 'subject="topic:Macro"' or 'market=~"XSHG|XSHE"'.

    Labels: alertname, subject, subject_kind, subject_name, market, severity, lane, story, alert_id.
    """
    from yuqing.remote.alerts import add_silence

    sys.exit(add_silence(_settings(), list(matchers), length=length, comment=comment, author=author, echo=_say))


@silence.command("list")
@click.option("--expired", is_flag=True, help="Also those that ended in the last five days.")
@AS_JSON
def silence_list(*, expired: bool, as_json: bool) -> None:
    """Silences that are on or to come."""
    from yuqing.remote.alerts import list_silences

    sys.exit(list_silences(_settings(), expired=expired, as_json=as_json))


@silence.command("expire")
@click.argument("silence_id")
def silence_expire(silence_id: str) -> None:
    """End a silence now."""
    from yuqing.remote.alerts import expire_silence

    sys.exit(expire_silence(_settings(), silence_id, echo=_say))


@click.group()
def subscribe() -> None:
    """Receivers of alerts."""


@subscribe.command("add")
@click.argument("name")
@click.option("--url", help="Where alerts are posted, of channels that have an address.")
@click.option("--channel", default="webhook", show_default=True, help="`yuqing subscribe channels` lists them.")
@click.option("--option", "options", metavar="NAME=VALUE", multiple=True, help="What the channel asks for.")
@click.option("--secret", help="Of signed webhooks; default: one is made and shown once.")
@click.option("--subject", "subjects", multiple=True, help="Glob of subjects; any is enough. Default: all.")
@click.option("--watch", "watchlist", multiple=True, help="A ticker or code, e.g. AAPL or 600519.")
@click.option("--severity", type=SEVERITIES, default="warning", show_default=True, help="Less severe alerts are not sent.")
@click.option("--language", type=click.Choice(["en", "zh", "both"]), default="both", show_default=True, help="What people are told in.")
@click.option("--matcher", "matchers", multiple=True, help="A condition on labels, as of silences.")
@click.option("--group-by", multiple=True, help="Label: alerts that share its value are told together.")
@click.option("--repeat", "repeat", metavar="TIME", help="Tell again what nobody took on, e.g. every 4h. Default: never.")
@click.option("--quiet", metavar="START-END[@ZONE]", help="Quiet hours, e.g. 22:00-07:00@Asia/Shanghai; critical alerts are told all the same.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Most messages a minute.")
@click.option("--no-resolved", is_flag=True, help="Do not tell when it is over.")
@AS_JSON
def subscribe_add(name: str, **given: Any) -> None:
    """Add a receiver."""
    from yuqing.remote.alerts import span_s
    from yuqing.remote.receivers import add, options_of, quiet_of

    watched = list(given["watchlist"])
    match = {
        "subjects": list(given["subjects"]) or ([] if watched else ["*"]),
        "watchlist": watched,
        "severity_at_least": given["severity"],
        "matchers": list(given["matchers"]),
    }
    body = {
        "name": name, "url": given["url"], "channel": given["channel"], "options": options_of(given["options"]), "secret": given["secret"], "match": match,
        "language": given["language"], "group_by": list(given["group_by"]), "repeat_interval_s": span_s(given["repeat"]) if given["repeat"] else None,
        "quiet_hours": quiet_of(given["quiet"]), "rate_per_min": given["rate"], "send_resolved": False if given["no_resolved"] else None,
    }  # fmt: skip
    sys.exit(add(_settings(), body, as_json=given["as_json"], echo=_say))


@subscribe.command("list")
@AS_JSON
def subscribe_list(*, as_json: bool) -> None:
    """All receivers."""
    from yuqing.remote.receivers import list_receivers

    sys.exit(list_receivers(_settings(), as_json=as_json))


@subscribe.command("show")
@click.argument("subscription")
def subscribe_show(subscription: str) -> None:
    """One receiver, by name or id."""
    from yuqing.remote.receivers import show

    sys.exit(show(_settings(), subscription))


@subscribe.command("remove")
@click.argument("subscription")
def subscribe_remove(subscription: str) -> None:
    """Remove a receiver."""
    from yuqing.remote.receivers import remove

    sys.exit(remove(_settings(), subscription, echo=_say))


@subscribe.command("rotate")
@click.argument("subscription")
def subscribe_rotate(subscription: str) -> None:
    """A new key for a signed webhook."""
    from yuqing.remote.receivers import rotate

    sys.exit(rotate(_settings(), subscription, echo=_say))


@subscribe.command("test")
@click.argument("subscription")
def subscribe_test(subscription: str) -> None:
    """Send a test message and say what became of it."""
    from yuqing.remote.receivers import test

    sys.exit(test(_settings(), subscription, echo=_say))


@subscribe.command("channels")
def subscribe_channels() -> None:
    """The channels there are, and what they ask for."""
    from yuqing.remote.receivers import channels

    sys.exit(channels(_settings()))


@click.group()
def deliveries() -> None:
    """What became of every message."""


@deliveries.command("list")
@click.option("--subscription", help="To this receiver only, by name or id.")
@click.option("--alert", help="Of this alert only.")
@click.option("--outcome", help="Of this outcome only, e.g. delivered or exhausted.")
@click.option("--limit", type=click.IntRange(min=1), default=50, help="At most so many.")
@AS_JSON
def deliveries_list(**given: Any) -> None:
    """Deliveries, newest first."""
    from yuqing.remote.receivers import list_deliveries

    sys.exit(list_deliveries(_settings(), **given))


@deliveries.command("show")
@click.argument("delivery_id")
def deliveries_show(delivery_id: str) -> None:
    """One delivery."""
    from yuqing.remote.receivers import show_delivery

    sys.exit(show_delivery(_settings(), delivery_id))


@deliveries.command("retry")
@click.argument("delivery_ids", nargs=-1)
@click.option("--subscription", help="Instead: of this receiver, by name or id, what never arrived.")
@click.option("--since", metavar="TIME", help="With --subscription: all of the last so long, arrived or not, e.g. 2h.")
def deliveries_retry(delivery_ids: tuple[str, ...], *, subscription: str | None, since: str | None) -> None:
    """Send deliveries again now: the same bytes under the same id."""
    from yuqing.remote.receivers import retry, retry_all

    settings = _settings()
    if subscription is None and since is None and delivery_ids:
        sys.exit(retry(settings, delivery_ids, echo=_say))
    if subscription is None or delivery_ids:
        raise click.UsageError("name deliveries, or a --subscription")
    sys.exit(retry_all(settings, subscription, since=since, echo=_say))


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (alerts, silence, subscribe, deliveries):
        main.add_command(command)
