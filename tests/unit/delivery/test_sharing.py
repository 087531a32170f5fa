from __future__ import annotations

from typing import Any, cast

from prometheus_client import CollectorRegistry

from alerts.deliver import MOST_QUICK, MOST_SLOW, SETTLED_AT_ONCE, Deliverer
from alerts.endpoint import FEW_AT_ONCE, MOST_AT_ONCE, RECHECK_S, SLOW_S, Answer, Endpoint
from alerts.subscriptions import Subscription
from opinion.clock import SystemClock
from opinion.metrics import AlerterMetrics

NOW_S = 1000.0


def deliverer() -> Deliverer:
    nothing = cast("Any", None)
    return Deliverer(nothing, nothing, sender=nothing, clock=SystemClock(), metrics=AlerterMetrics(CollectorRegistry()))


def named(*names: str, **fields: Any) -> dict[str, Subscription]:
    return {name: Subscription(id=name, name=name, **fields) for name in names}


def hanging(deliverer: Deliverer, name: str, *, tries: int = FEW_AT_ONCE) -> None:
    endpoint = deliverer._endpoints.setdefault(name, Endpoint())
    for number in range(tries):
        endpoint.began(f"{name} {number}", now_s=NOW_S - 2 * SLOW_S, rate_per_min=None)


def test_receivers_that_hang_leave_the_room_of_the_others_alone() -> None:
    found = deliverer()
    for number in range(MOST_SLOW):
        hanging(found, f"slow{number}")
    wanted, left_alone = found._share(["slow0", "new"], named("slow0", "new"), NOW_S)
    assert wanted == {"new": FEW_AT_ONCE}
    assert left_alone == {"slow0": RECHECK_S}


def test_slow_receivers_are_tried_as_far_as_there_is_room_for_slow_ones() -> None:
    found = deliverer()
    hanging(found, "full", tries=MOST_SLOW - 1)
    for name in ("slow0", "slow1"):
        found._endpoints[name] = Endpoint()
        found._endpoints[name].began("m", now_s=NOW_S - 10, rate_per_min=None)
        found._endpoints[name].ended("m", Answer.WORKS, now_s=NOW_S - 5)
    wanted, left_alone = found._share(["slow0", "slow1"], named("slow0", "slow1"), NOW_S)
    assert wanted == {"slow0": 1}
    assert left_alone == {"slow1": RECHECK_S}


def test_quick_receivers_wait_for_each_other_without_being_left_alone() -> None:
    found = deliverer()
    names = [f"quick{number}" for number in range(MOST_QUICK)]
    for name in names:
        found._endpoints[name] = Endpoint()
        for number in range(20):
            found._endpoints[name].began("m", now_s=number, rate_per_min=None)
            found._endpoints[name].ended("m", Answer.WORKS, now_s=number + 0.1)
    wanted, left_alone = found._share(names, named(*names), NOW_S)
    assert sum(wanted.values()) == MOST_QUICK
    assert wanted == dict.fromkeys(names[: MOST_QUICK // MOST_AT_ONCE], MOST_AT_ONCE)
    assert left_alone == {}


def test_what_waits_for_nobody_any_more_is_taken_out_whatever_else_is_under_way() -> None:
    found = deliverer()
    for number in range(MOST_QUICK):
        found._endpoints[f"busy{number}"] = Endpoint()
        found._endpoints[f"busy{number}"].began("m", now_s=NOW_S, rate_per_min=None)
    wanted, left_alone = found._share(["removed", "off", "new"], named("off", enabled=False) | named("new"), NOW_S)
    assert wanted == {"removed": SETTLED_AT_ONCE, "off": SETTLED_AT_ONCE}
    assert left_alone == {}


def test_a_pause_is_waited_out_in_one_go() -> None:
    found = deliverer()
    found._endpoints["limited"] = Endpoint()
    found._endpoints["limited"].began("m", now_s=NOW_S, rate_per_min=None)
    found._endpoints["limited"].ended("m", Answer.LIMITED, now_s=NOW_S, pause_s=600)
    assert found._share(["limited"], named("limited"), NOW_S) == ({}, {"limited": 600})
