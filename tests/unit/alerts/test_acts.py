from __future__ import annotations

from typing import Any

import pytest

from alerts.acts import MOST_NOTES, Act, ActKind, act_of, marked
from opinion.errors import ConfigError
from opinion.records import Marks
from tests.support.records import NOON, alert


def act(kind: ActKind, **more: Any) -> Act:
    fields: dict[str, Any] = {"by": "ann", "at": NOON} | more
    return act_of("al_1", kind, **fields)


def test_the_first_who_takes_it_on_has_it() -> None:
    marks = marked(marked(Marks(), act(ActKind.ACKNOWLEDGE)), act(ActKind.ACKNOWLEDGE, by="bob"))
    assert (marks.acknowledged_by, marks.acknowledged_at) == ("ann", NOON)


def test_assigned_muted_and_back() -> None:
    marks = marked(marked(Marks(), act(ActKind.ASSIGN, to="bob")), act(ActKind.MUTE, text="noise"))
    assert (marks.assigned_to, marks.muted, marks.notes[0].text) == ("bob", True, "noise")
    assert not marked(marks, act(ActKind.UNMUTE)).muted
    assert marks.on(alert()).assigned_to == "bob"


def test_notes_are_bounded_and_not_doubled() -> None:
    marks = Marks()
    for number in range(MOST_NOTES + 5):
        for _ in range(2):
            marks = marked(marks, act(ActKind.NOTE, text=f"note {number}"))
    assert [note.text for note in marks.notes] == [f"note {number}" for number in range(5, MOST_NOTES + 5)]


@pytest.mark.parametrize(("kind", "more"), [(ActKind.ACKNOWLEDGE, {"by": " "}), (ActKind.ASSIGN, {}), (ActKind.NOTE, {"text": "  "})])
def test_acts_that_say_nothing_are_refused(kind: ActKind, more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        act(kind, **more)
