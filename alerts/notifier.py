"""From transitions to deliveries: who is told, with what, and when. Holds the groups of the leading alerter; each change of one is kept in Redis.

transition ──▶ groups of the subscriptions that want it ──when due──▶ looked at: quiet, silenced, inhibited? ──▶ notice ──▶ queued ──▶ group kept

A crash between the last two queues the same delivery ids again, which changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import cast

import msgspec
import structlog
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.channels.channel import find_channel
from alerts.delivery_queue import KEEP, DeliveryQueue
from alerts.erasing import without_erased
from alerts.notify.groups import Group, Notice, NoticeReason, Timing, added, group_key, is_due, looked_at, postponed
from alerts.notify.labels import labels_of
from alerts.notify.quiet import quiet_until
from alerts.notify.silences import Inhibition, inhibiting, silencing
from alerts.plain import plain_of
from alerts.rank_store import RankStore
from alerts.silence_store import SilenceStore
from alerts.subscriptions import Subscription, SubscriptionStore, matches
from opinion.clock import Clock
from opinion.erased import ErasedIds
from opinion.errors import ConfigError, StoreUnavailable
from opinion.names import Names, delivery_id_of, digest
from opinion.records import Alert, AlertStatus, Delivery, DeliveryOutcome

log = structlog.get_logger()

LOOK_S = 0.2
"""Pause between looks at the groups: part of every alert's delay."""
RETRY_S = 2.0
AT_ONCE = 16
"""Groups worked on side by side: each takes several journeys to Redis, and half of our connections."""
SYSTEM = "system:"
"""What the subjects begin with that a subscription asks for to hear of our own troubles; `*` alone does not."""
RESENT_KEPT = timedelta(hours=1)
"""Deliveries that only repeat what is known are forgotten after this."""
PAST = "made before this state was restored: whether it arrived is not known"

_group = msgspec.json.Decoder(Group)


class Notifier:
    """Decides who is told.

    restore() ──▶ take(), run() until cancelled
    """

    def __init__(
        self, redis: Redis, names: Names, *, queue: DeliveryQueue, subscriptions: SubscriptionStore, silences: SilenceStore, inhibitions: Sequence[Inhibition], clock: Clock,
        leading: Callable[[], bool] = lambda: True, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._redis = redis
        self._names = names
        self._queue = queue
        self._subscriptions = subscriptions
        self._silences = silences
        self._inhibitions = inhibitions
        self._clock = clock
        self._leading = leading
        self._sleep = sleep
        self._ranks = RankStore(redis, names)
        self._erased = ErasedIds(redis, names)
        self._groups: dict[str, Group] = {}
        self._holder: dict[tuple[str, str], str] = {}  # subscription and alert -> key of the group that holds it
        self._firing: dict[str, Alert] = {}  # every alert that is on, told or not: it may inhibit others
        self._one = asyncio.Lock()  # a transition and a look never change a group at once

    async def restore(self) -> None:
        """Take up the groups as they were last kept.

        Errors:
            StoreUnavailable: Redis does not answer (retryable).
        """
        try:
            kept = cast("dict[bytes, bytes]", await self._redis.hgetall(self._names.groups))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the groups of alerts: {error}") from error
        self._groups, self._holder, self._firing = {}, {}, {}
        for key, value in kept.items():
            try:
                group = _group.decode(value)
            except msgspec.MsgspecError as error:  # of another version: what it told stays told by its delivery ids
                log.warning("a group of alerts cannot be read and is passed over", group=key.decode(), error=str(error))
                continue
            self._remember(group)
            self._firing |= {alert.alert_id: alert for alert in group.alerts.values() if alert.status != AlertStatus.RESOLVED}

    async def take(self, alert: Alert) -> None:
        """Put a transition into the group of every subscription that wants it, and tell at once what need not wait.

        Errors:
            StoreUnavailable: also where another process leads by now (retryable; doing it again changes nothing).
        """
        if not alert.sequence:
            return  # pending: for those who look, not for receivers
        async with self._one:
            if not self._leading():
                raise StoreUnavailable("another process leads: its groups stand")
            if alert.status == AlertStatus.RESOLVED:
                self._firing.pop(alert.alert_id, None)
            else:
                self._firing[alert.alert_id] = alert
            now = self._clock.now()
            subscriptions = await self._subscriptions.all()
            for subscription in subscriptions:
                group = self._group_of(alert, subscription)
                if not subscription.told or (alert.alert_id not in group.alerts and not matches(subscription, alert)):
                    continue
                if alert.alert_id not in group.alerts and alert.status == AlertStatus.RESOLVED:
                    continue  # the end of what it never heard of
                group = added(group, alert, at=now, timing=_timing(subscription))
                if is_due(group, at=now):
                    self._remember(group)  # the look keeps it; until then the transition is not acknowledged
                else:
                    await self._keep(group)
            await self._look(now, subscriptions)

    async def run(self) -> None:
        """Look at the groups until cancelled; an unreachable Redis is waited for."""
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                log.warning("groups of alerts wait for Redis", error=str(error))
                await self._sleep(RETRY_S)
            await self._sleep(LOOK_S)

    async def look(self) -> None:
        """Look at the groups that are due.

        Errors:
            StoreUnavailable (retryable).
        """
        async with self._one:
            if self._leading():
                await self._look(self._clock.now(), None)

    async def test(self, subscription: Subscription, *, nonce: str) -> str:
        """Queue a test message for one subscription, whatever it matches; the id of the delivery.

        Errors:
            StoreUnavailable (retryable).
            ConfigError: its channel is unknown.
        """
        notice = Notice(subscription_id=subscription.id, labels={}, reason=NoticeReason.TEST, alerts=[], at=self._clock.now())
        delivery = self._delivery(notice, subscription, delivery_id_of("test", 0, subscription.id + nonce))
        await self._queue.add(delivery, find_channel(subscription.channel).render(notice, subscription))
        return delivery.delivery_id

    async def note_past(self, alert: Alert) -> None:
        """Keep the messages of a transition that another Redis had, one for each subscription that wants it, as made: not sent, unless somebody asks for it.

        Errors:
            StoreUnavailable (retryable; doing it again changes nothing).
        """
        for subscription in await self._subscriptions.all():
            unwanted = not matches(subscription, alert) or (alert.status == AlertStatus.RESOLVED and not subscription.send_resolved)
            if unwanted or _resend(subscription) is not None:  # whose receiver forgets is told again anyway
                continue
            notice = Notice(subscription_id=subscription.id, labels=_labels(alert, subscription), reason=NoticeReason.FIRST, alerts=[alert], at=alert.updated_at)
            try:
                await self._enqueue(notice, subscription, past=True)
            except ConfigError as error:
                log.error("a message of former times is not kept: the subscription cannot work", subscription=subscription.id, error=str(error))  # noqa: TRY400

    async def tell_disabled(self, disabled: Subscription, reason: str, delivery_id: str) -> None:
        """Tell the other subscriptions that ask for subjects of `system:` that one is told no more, since this delivery; doing it again changes nothing.

        Errors:
            StoreUnavailable (retryable).
        """
        for subscription in await self._subscriptions.all():
            if subscription.id == disabled.id or not subscription.enabled or not any(glob.startswith(SYSTEM) for glob in subscription.match.subjects):
                continue
            notice = Notice(
                subscription_id=subscription.id,
                labels={"subscription_id": disabled.id, "subscription": disabled.name},
                reason=NoticeReason.DISABLED,
                alerts=[],
                at=self._clock.now(),
                summary=f"The subscription {disabled.name} is told no more: {reason}.",
            )
            try:
                body = find_channel(subscription.channel).render(notice, subscription)
            except Exception:  # the others are told all the same
                log.exception("a channel cannot say that a subscription is disabled", channel=subscription.channel)
            else:
                await self._queue.add(self._delivery(notice, subscription, delivery_id_of(f"disabled.{delivery_id}", 0, subscription.id)), body)

    async def _look(self, now: datetime, known: Sequence[Subscription] | None) -> None:
        due = [group for group in self._groups.values() if is_due(group, at=now)]
        if not due:
            return
        subscriptions = {subscription.id: subscription for subscription in (await self._subscriptions.all() if known is None else known)}
        silences = await self._silences.all()

        def kept_back(alert: Alert) -> bool:
            muted = alert.muted and alert.status != AlertStatus.RESOLVED  # until it is over
            return muted or silencing(alert, silences, at=now) is not None or inhibiting(alert, self._firing.values(), self._inhibitions) is not None

        async def look_at(group: Group) -> None:
            subscription = subscriptions.get(group.subscription_id)
            if subscription is None or not subscription.told:
                await self._forget(group)
            elif until := _quiet_until(subscription, group, now):
                await self._keep(postponed(group, until=until))
            else:
                await self._tell(group, subscription, now=now, kept_back=kept_back)

        for start in range(0, len(due), AT_ONCE):
            ends = await asyncio.gather(*[look_at(group) for group in due[start : start + AT_ONCE]], return_exceptions=True)
            for error in ends:  # once all have ended: nothing of this look goes on behind the next
                if error is not None:
                    raise error

    async def _tell(self, group: Group, subscription: Subscription, *, now: datetime, kept_back: Callable[[Alert], bool]) -> None:
        left, notice = looked_at(group, at=now, timing=_timing(subscription), send_resolved=subscription.send_resolved, kept_back=kept_back)
        if notice is not None:
            try:
                await self._enqueue(notice, subscription)
            except ConfigError as error:
                log.error("nobody is told: the subscription cannot work", subscription=subscription.id, error=str(error))  # noqa: TRY400 - its message is whole
            except StoreUnavailable:
                raise
            except Exception:  # the other receivers, and the alerts to come, must not wait for a channel to be mended
                log.exception("nobody is told: a channel failed in a way nobody thought of", subscription=subscription.id, channel=subscription.channel)
        if left is None:
            await self._forget(group)
        else:
            await self._keep(left)

    async def _enqueue(self, notice: Notice, subscription: Subscription, *, past: bool = False) -> None:
        """Queue the messages of a notice: one where the channel combines, else one for each alert; what is `past` as settled."""
        channel = find_channel(subscription.channel)
        repeated = notice.reason is NoticeReason.REPEAT
        again = f"#{notice.repeats}" if repeated else ""
        if channel.resend is not None:
            again = f"@{notice.at.timestamp():.0f}"  # what was told is forgotten: the same may have to be told once more
        if channel.combines:
            said = [f"{alert.alert_id}.{alert.sequence}.{alert.status.value}" for alert in notice.alerts]
            key = notice.alerts[0].alert_id if len(said) == 1 else digest("\n".join(said), chars=24)
            notices = [(notice, delivery_id_of(key, notice.alerts[0].sequence if len(said) == 1 else 0, subscription.id + again))]
        else:
            notices = [
                (replace(notice, alerts=[alert]), delivery_id_of(alert.alert_id, alert.sequence, subscription.id + again))
                for alert in notice.alerts
                if not repeated or alert.acknowledged_by is None
            ]
        for unranked, delivery_id in notices:
            alerts = await without_erased(unranked.alerts, self._erased)
            one = replace(unranked, alerts=[await self._ranks.ranked(alert, subscription.id) for alert in alerts])
            keep = RESENT_KEPT if repeated and channel.resend is not None else KEEP
            plain = plain_of(one, subscription, channel=channel)
            delivery = self._delivery(one, subscription, delivery_id)
            if past:
                delivery = replace(delivery, created_at=notice.at, due_at=None, settled_at=delivery.created_at, outcome=DeliveryOutcome.GONE, detail=PAST)
            await self._queue.add(delivery, channel.render(one, subscription), keep=keep, plain=plain)

    def _delivery(self, notice: Notice, subscription: Subscription, delivery_id: str) -> Delivery:
        first = notice.alerts[0] if notice.alerts else None
        now = self._clock.now()
        return Delivery(
            delivery_id=delivery_id,
            alert_id=notice.reason.value if first is None else first.alert_id,
            sequence=0 if first is None else first.sequence,
            subscription_id=subscription.id,
            channel=subscription.channel,
            reason=notice.reason.value,
            alert_ids=[alert.alert_id for alert in notice.alerts] if len(notice.alerts) > 1 else [],
            line="" if first is None else group_key(subscription.id, notice.labels) if find_channel(subscription.channel).combines else first.alert_id,
            created_at=now,
            due_at=now,
        )

    def _group_of(self, alert: Alert, subscription: Subscription) -> Group:
        """The group that holds the alert already, else that of its labels, which may be new."""
        held = self._holder.get((subscription.id, alert.alert_id))
        if held is not None:
            return self._groups[held]  # though its story or severity be another by now
        labels = _labels(alert, subscription)
        return self._groups.get(group_key(subscription.id, labels)) or Group(subscription_id=subscription.id, labels=labels)

    def _remember(self, group: Group) -> None:
        self._drop(group.key)
        self._groups[group.key] = group
        self._holder |= {(group.subscription_id, alert_id): group.key for alert_id in group.alerts}

    def _drop(self, key: str) -> None:
        known = self._groups.pop(key, None)
        if known is not None:
            for alert_id in known.alerts:
                self._holder.pop((known.subscription_id, alert_id), None)

    async def _keep(self, group: Group) -> None:
        try:
            await self._redis.hset(self._names.groups, group.key, msgspec.json.encode(group))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a group of alerts: {error}") from error
        self._remember(group)

    async def _forget(self, group: Group) -> None:
        try:
            await self._redis.hdel(self._names.groups, group.key)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not forget a group of alerts: {error}") from error
        self._drop(group.key)


def _resend(subscription: Subscription) -> timedelta | None:
    try:
        return find_channel(subscription.channel).resend
    except ConfigError:
        return None


def _timing(subscription: Subscription) -> Timing:
    """How long the groups of a subscription wait; a channel whose receiver forgets has all of it told again, at its own pace."""
    resend = _resend(subscription)
    return subscription.timing if resend is None else Timing(repeat=resend, forgets=True)


def _labels(alert: Alert, subscription: Subscription) -> dict[str, str]:
    """The labels of the group that an alert belongs to; a channel whose receiver forgets has one group, so that a repeat is one message."""
    if _resend(subscription) is not None:
        return {}
    found = labels_of(alert)
    return {label: found.get(label, "") for label in subscription.group_by} if subscription.group_by else {"alert_id": alert.alert_id}


def _quiet_until(subscription: Subscription, group: Group, now: datetime) -> datetime | None:
    """When the quiet hours end that all alerts of the group must wait for; None where one of them may be told now."""
    ends = [quiet_until(subscription.quiet_hours, at=now, severity=alert.severity) for alert in group.alerts.values()]
    return None if not ends or None in ends else min(end for end in ends if end is not None)
