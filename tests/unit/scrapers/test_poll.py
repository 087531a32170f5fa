from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from opinion.clock import epoch_ms
from scrapers.cursor import Cursor
from scrapers.poll import MOST_FILES, MOST_WAITING, moved
from scrapers.source import Ask, Parsed, Problem, Step
from tests.support.records import NOON, document

URL = "https://x.example/7.json"
STEP = Step(ask=Ask(url=URL), place="7", patience_s=900.0)
AGAIN = Step(ask=Ask(url=URL))
WAITING = Cursor(place="9", waiting={URL: epoch_ms(NOON + timedelta(seconds=900))})
ABSENT = Parsed([], [Problem("empty", "7 is not there")])
THERE = Parsed([document(7)])


def test_what_is_published_moves_the_place() -> None:
    assert moved(Cursor(place="6"), STEP, THERE, at=NOON) == (Cursor(place="7"), [])


def test_what_may_still_come_waits_untold_and_holds_up_no_other() -> None:
    assert moved(Cursor(place="6"), STEP, ABSENT, at=NOON) == (replace(WAITING, place="7"), [])


def test_what_waits_is_asked_for_again_until_it_comes_and_the_place_stays() -> None:
    assert moved(WAITING, AGAIN, ABSENT, at=NOON + timedelta(seconds=899)) == (WAITING, [])
    assert moved(WAITING, AGAIN, THERE, at=NOON + timedelta(seconds=60)) == (Cursor(place="9"), [])


def test_what_never_came_is_told_at_last() -> None:
    assert moved(WAITING, AGAIN, ABSENT, at=NOON + timedelta(seconds=900)) == (Cursor(place="9"), ABSENT.problems)


def test_what_nobody_waits_for_is_told_at_once() -> None:
    assert moved(Cursor(place="6"), replace(STEP, patience_s=0.0), ABSENT, at=NOON) == (Cursor(place="7"), ABSENT.problems)


def test_what_holds_nothing_and_is_well_is_not_waited_for() -> None:
    assert moved(Cursor(place="6"), STEP, Parsed([]), at=NOON) == (Cursor(place="7"), [])


def test_what_was_left_out_is_told_even_where_the_file_waits() -> None:
    missed = [Problem("over_cap", "5 are left out")]
    assert moved(Cursor(), replace(STEP, missed=missed[0].detail), THERE, at=NOON)[1] == missed
    assert moved(Cursor(), replace(STEP, missed=missed[0].detail), ABSENT, at=NOON)[1] == missed


def test_no_more_wait_than_leave_room_for_others() -> None:
    crowd = Cursor(waiting={f"https://x.example/{number}": epoch_ms(NOON) + 1 for number in range(MOST_WAITING)})
    assert moved(crowd, STEP, ABSENT, at=NOON) == (replace(crowd, place="7"), ABSENT.problems)
    assert MOST_WAITING < MOST_FILES
