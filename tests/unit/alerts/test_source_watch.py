from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from alerts.source_watch import ALL, LANGUAGES, LAST_FOR, SPOKEN_WITHIN, SourceHealth, Watching, acted_on, step
from alerts.subscriptions import Match, Subscription, matches
from opinion.metrics import WATCHED_LANGUAGES
from opinion.records import Alert, Severity
from tests.support.records import NOON

MINUTE = timedelta(minutes=1)


def source(state: str = "ok", *langs: str, **changes: Any) -> SourceHealth:
    return SourceHealth(**({"state": state, "langs": dict.fromkeys(langs, NOON)} | changes))


def look(watching: Watching, sources: dict[str, SourceHealth], at: datetime) -> tuple[Watching, list[Alert]]:
    return step(watching, sources, at=at, links="http://x")


def told(alerts: list[Alert]) -> list[tuple[str, str, int]]:
    return [(alert.subject, alert.status.value, alert.sequence) for alert in alerts]


def test_a_source_that_falls_silent_is_told_once_and_so_is_its_return() -> None:
    lost = {"cls": source("silent", "zh", last_error="answered 404"), "feed": source("ok", "zh", "en")}
    watching, first = look(Watching(), lost, NOON)
    assert told(first) == [("source:cls", "firing", 1)]
    assert "404" in first[0].summary
    watching, again = look(watching, lost, NOON + MINUTE)
    assert again == []
    watching, sequence = acted_on(watching, first[0].alert_id)
    assert sequence == 2
    watching, back = look(watching, lost | {"cls": source("ok", "zh")}, NOON + 9 * MINUTE)
    assert told(back) == [("source:cls", "resolved", 3)]
    assert back[0].alert_id == first[0].alert_id
    assert "9 min" in back[0].summary
    assert watching == Watching()


def test_a_language_without_sources_is_blindness_once_it_lasts() -> None:
    lost = {"cls": source("silent", "zh"), "sina": source("walled", "zh"), "feed": source("ok", "en")}
    watching, first = look(Watching(), lost, NOON)
    assert {alert.subject for alert in first} == {"source:cls", "source:sina"}
    watching, second = look(watching, lost, NOON + LAST_FOR)
    assert told(second) == [("language:zh", "firing", 1)]
    assert second[0].severity == Severity.CRITICAL
    assert "calm means nothing" in second[0].summary
    _, back = look(watching, lost | {"sina": source("ok", "zh")}, NOON + 2 * LAST_FOR)
    assert told(back) == [("language:zh", "resolved", 2), ("source:sina", "resolved", 2)]


def test_a_short_loss_of_all_is_no_blindness() -> None:
    lost = {"cls": source("silent", "zh")}
    watching, _ = look(Watching(), lost, NOON)
    watching, told_now = look(watching, {"cls": source("ok", "zh")}, NOON + LAST_FOR - MINUTE)
    assert told(told_now) == [("source:cls", "resolved", 2)]
    _, later = look(watching, lost, NOON + LAST_FOR)
    assert told(later) == [("source:cls", "firing", 1)]  # counted from anew


def test_nothing_left_at_all_is_told_even_where_nothing_ever_came() -> None:
    watching, _ = look(Watching(), {"feed": source("broken")}, NOON)
    _, told_now = look(watching, {"feed": source("broken")}, NOON + LAST_FOR)
    assert told(told_now) == [("language:all", "firing", 1)]
    assert look(Watching(), {}, NOON) == (Watching(), [])


def test_sources_that_have_not_answered_yet_leave_us_blind_though_none_of_them_is_lost() -> None:
    waiting = {"cls": source("waiting", "zh"), "sina": source("waiting")}
    watching, first = look(Watching(), waiting, NOON)
    assert first == []
    watching, told_now = look(watching, waiting, NOON + LAST_FOR)
    assert told(told_now) == [("language:all", "firing", 1), ("language:zh", "firing", 1)]
    _, back = look(watching, waiting | {"sina": source("ok")}, NOON + 2 * LAST_FOR)
    assert told(back) == [("language:all", "resolved", 2)]


def test_a_lost_source_is_not_back_because_its_scraper_began_anew() -> None:
    others = {"feed": source("ok", "en")}
    watching, _ = look(Watching(), others | {"cls": source("silent")}, NOON)
    watching, told_now = look(watching, others | {"cls": source("waiting")}, NOON + MINUTE)
    assert told_now == []
    watching, told_now = look(watching, others | {"cls": source("silent")}, NOON + 2 * MINUTE)
    assert told_now == []
    _, back = look(watching, others | {"cls": source("ok")}, NOON + 3 * MINUTE)
    assert told(back) == [("source:cls", "resolved", 2)]


def test_who_last_spoke_a_language_long_ago_is_not_missed_in_it() -> None:
    old = {"feed": source("silent", langs={"zh": NOON - SPOKEN_WITHIN - MINUTE}), "other": source("ok", "en")}
    watching, _ = look(Watching(), old, NOON)
    assert look(watching, old, NOON + LAST_FOR)[1] == []


def test_partial_sources_are_not_lost() -> None:
    assert look(Watching(), {"feed": source("partial", "en"), "new": source("waiting")}, NOON)[1] == []


def test_everyone_hears_of_blindness_and_only_those_who_ask_of_single_sources() -> None:
    watching, first = look(Watching(), {"cls": source("silent", "zh")}, NOON)
    blind = look(watching, {"cls": source("silent", "zh")}, NOON + LAST_FOR)[1][-1]
    everybody = Subscription(id="s", name="desk")
    operator = Subscription(id="o", name="ops", match=Match(subjects=["source:*"]))
    assert (matches(everybody, first[0]), matches(everybody, blind)) == (False, True)
    assert (matches(operator, first[0]), matches(operator, blind)) == (True, False)


def test_languages_that_may_be_lost_are_those_with_a_metric() -> None:
    assert {*LANGUAGES, ALL} == set(WATCHED_LANGUAGES)
