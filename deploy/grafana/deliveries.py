"""The dashboard of telling: alerts, how late they are, and what became of every message."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import NEUTRAL, Panel, board, choice, filled, less_is_worse, lines, more_is_worse, number

CHOSEN = 'channel=~"$channel"'


def deliveries() -> models.Dashboard:
    """The whole dashboard."""
    made = board(
        "deliveries",
        uid="yuqing-deliveries",
        says="Alerts, how late they are, and what became of every message.",
        variables=[choice("channel", label="Channel", of="yuqing_deliveries_total, channel")],
    )
    return filled(made, {"Now": _now(), "Messages": _messages(), "Alerts": _alerts()})


def _now() -> list[Panel]:
    delivered = f'sum(increase(yuqing_deliveries_total{{{CHOSEN}, outcome="delivered"}}[1h]))'
    return [
        number("Waiting", says="Deliveries not yet settled.", unit="short", queries={"waiting": "max(yuqing_delivery_queue_length)"}, steps=more_is_worse(20, 100)),
        number("Oldest", says="Age of the oldest delivery not yet settled.", unit="s", queries={"oldest": "max(yuqing_delivery_oldest_age_seconds)"}, steps=more_is_worse(60, 900)),
        number(
            "Receivers not called",
            says="Because they keep failing; they are tried now and then.",
            unit="none",
            queries={"receivers": "max(yuqing_delivery_breakers_open)"},
            steps=more_is_worse(1, 3),
        ),
        number("Delivered in an hour", says="Messages that receivers took.", unit="short", queries={"delivered": delivered}, steps=NEUTRAL),
        number(
            "Tries that succeed",
            says="Share of the last hour's.",
            unit="percentunit",
            queries={"share": f"{delivered} / sum(increase(yuqing_deliveries_total{{{CHOSEN}}}[1h]))"},
            steps=less_is_worse(0.95, 0.5),
        ),
        number(
            "Given up in a day",
            says="Every try failed for days, or the address is one that webhooks may not go to: `yuqing deliveries list --outcome exhausted`.",
            unit="short",
            queries={"given up": f'sum(increase(yuqing_deliveries_total{{{CHOSEN}, outcome=~"exhausted|address_refused"}}[1d]))'},
            steps=more_is_worse(1, 1),
        ),
    ]


def _messages() -> list[Panel]:
    return [
        lines(
            "Tries, by outcome",
            says="Five-minute sums.",
            unit="short",
            queries={"{{outcome}}": f"sum by (outcome) (increase(yuqing_deliveries_total{{{CHOSEN}}}[5m]))"},
            stacked=True,
        ),
        lines(
            "Tries, by channel",
            says="Five-minute sums.",
            unit="short",
            queries={"{{channel}}": f"sum by (channel) (increase(yuqing_deliveries_total{{{CHOSEN}}}[5m]))"},
            stacked=True,
        ),
        lines(
            "Length of a try",
            says="p50 and p95 by channel; 15 s is the most.",
            unit="s",
            queries={
                f"{{{{channel}}}}, p{100 * q:g}": f"histogram_quantile({q:g}, sum by (channel, le) (rate(yuqing_delivery_duration_seconds_bucket{{{CHOSEN}}}[10m])))"
                for q in (0.5, 0.95)
            },
            steps=((None, "green"), (15, "red")),
        ),
        lines("Waiting", says="Deliveries not yet settled.", unit="short", queries={"waiting": "max(yuqing_delivery_queue_length)"}, steps=((None, "green"), (100, "red"))),
        lines(
            "Oldest",
            says="Age of the oldest delivery not yet settled.",
            unit="s",
            queries={"oldest": "max(yuqing_delivery_oldest_age_seconds)"},
            steps=((None, "green"), (900, "red")),
        ),
        lines(
            "Receivers not called, or given up",
            says="Not called for a while because they keep failing; given up in the last day because they answered 410 or failed for days.",
            unit="none",
            queries={"not called": "max(yuqing_delivery_breakers_open)", "given up, {{reason}}": "sum by (reason) (increase(yuqing_subscriptions_disabled_total[1d]))"},
        ),
    ]


def _alerts() -> list[Panel]:
    return [
        lines(
            "From fetch to alert",
            says="From the fetch of the newest evidence to the transition in Kafka, p50 and p95 of the last hour. The aim is 15 s to the receiver.",
            unit="s",
            queries={f"p{100 * q:g}": f"histogram_quantile({q:g}, sum by (le) (rate(yuqing_alert_delay_seconds_bucket[1h])))" for q in (0.5, 0.95)},
            steps=((None, "green"), (15, "red")),
            span=6,
        ),
        lines(
            "From alert to first try",
            says="From the making of a delivery to its first try, p50 and p95 of the last hour; grouping and quiet hours come before.",
            unit="s",
            queries={
                f"{{{{channel}}}}, p{100 * q:g}": f"histogram_quantile({q:g}, sum by (channel, le) (rate(yuqing_delivery_delay_seconds_bucket{{{CHOSEN}}}[1h])))"
                for q in (0.5, 0.95)
            },
            steps=((None, "green"), (5, "red")),
            span=6,
        ),
        lines(
            "Transitions",
            says="Five-minute sums, by status.",
            unit="short",
            queries={"{{status}}": "sum by (status) (increase(yuqing_alert_transitions_total[5m]))"},
            span=6,
        ),
        lines("Alerts that are on", says="By severity.", unit="short", queries={"{{severity}}": "max by (severity) (yuqing_alerts_firing)"}, stacked=True, span=6),
    ]
