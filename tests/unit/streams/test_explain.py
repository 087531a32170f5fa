from __future__ import annotations

import pytest

from streams.explain import AHEAD_S, SHARE, Allowance


def test_answers_take_their_share_of_the_time_and_no_more() -> None:
    now_s = 0.0
    allowance = Allowance(lambda: now_s)
    spent_s = 0.0
    while now_s < 1000:
        now_s += allowance.wait_s()
        allowance.spend(1.5)
        spent_s += 1.5
        now_s += 1.5
    assert spent_s == pytest.approx(AHEAD_S + SHARE * 1000, abs=2 * 1.5)


def test_a_quiet_time_saves_up_only_so_much() -> None:
    now_s = 0.0
    allowance = Allowance(lambda: now_s)
    now_s = 1e6
    assert allowance.wait_s() == 0
    allowance.spend(AHEAD_S + 0.2)
    assert allowance.wait_s() == pytest.approx(0.2 / SHARE)
