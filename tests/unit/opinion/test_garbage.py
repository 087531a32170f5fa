from __future__ import annotations

import gc
import weakref

import pytest

from opinion.garbage import keep_for_good


class Held:
    """Something in a cycle."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def _thawed() -> object:
    yield
    gc.unfreeze()


def test_what_is_held_is_searched_no_more_and_garbage_is_freed() -> None:
    garbage, held = weakref.ref(Held()), Held()
    keep_for_good()
    assert garbage() is None
    assert not any(found is held for found in gc.get_objects())
    assert gc.get_freeze_count() > 0


def test_what_is_made_later_is_freed_as_ever() -> None:
    keep_for_good()
    later = weakref.ref(Held())
    gc.collect()
    assert later() is None
