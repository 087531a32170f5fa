from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from alerts.detect.rules import HOUR_S, Rules
from alerts.detect.share import tail
from opinion.records import Severity
from tests.support.recordings import count_line, weeks_of_counts
from tests.support.surges import COMPANY, MONDAY_S
from yuqing.backtest_picture import draw
from yuqing.backtest_strips import DAY_S, Scene, bin_of, strips_of
from yuqing.pictures import DPI, WIDTH_IN, printable
from yuqing.plant_report import Alarm
from yuqing.planting import Surge
from yuqing.recorded import read_recording

TWO_WEEKS = weeks_of_counts(days=14)
ALARMS = {COMPANY: [Alarm(MONDAY_S + 3 * DAY_S, MONDAY_S + 3 * DAY_S + 7200, Severity.HIGH, 0.8, 0.2), Alarm(MONDAY_S + 13 * DAY_S, None, Severity.CRITICAL, 0.9, 0.2)]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *args: object, **kwargs: object) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def size_of(path: Path) -> tuple[int, int]:
    height, width = matplotlib.image.imread(path).shape[:2]
    return width, height


@pytest.mark.parametrize(("days", "pane_s", "texts", "expected"), [(1, 60, 10_000, 300), (1, 60, 480, 1800), (14, 300, 10**6, HOUR_S), (56, 300, 10**6, 3 * HOUR_S)])
def test_bins_suit_the_length_of_the_record_and_its_texts(days: int, pane_s: int, texts: int, expected: int) -> None:
    assert bin_of(span_s=days * DAY_S, pane_s=pane_s, texts=texts) == expected


@pytest.mark.parametrize(
    ("days", "pane_s", "texts", "expected"), [(365, 300, 10**6, DAY_S), (365, 300, 80, 7 * DAY_S), (2, DAY_S, 9, DAY_S), (4000, 300, 0, 28 * DAY_S), (1, 60, 0, HOUR_S)]
)
def test_bins_of_long_coarse_and_silent_records(days: int, pane_s: int, texts: int, expected: int) -> None:
    assert bin_of(span_s=days * DAY_S, pane_s=pane_s, texts=texts) == expected


def test_a_strip_holds_every_text_and_a_band_around_the_usual_share() -> None:
    recording = read_recording(TWO_WEEKS)
    (strip,) = strips_of(Scene("x", recording, {}), rules=Rules())
    assert (strip.bin_s, len(strip.starts_s)) == (HOUR_S, 14 * 24)
    assert [strip.total.sum(), strip.negative.sum()] == recording.tracks[COMPANY].counts[:2].sum(axis=1).tolist()
    settled = slice(48, None)
    assert np.abs(strip.usual[settled] - 0.2).max() < 0.1
    assert ((strip.low <= strip.usual) & (strip.usual <= strip.high)).all()
    inside = (strip.share >= strip.low) & (strip.share <= strip.high)
    assert 0.93 < inside.mean() < 1
    edge = tail(strip.high * strip.total, strip.total, usual=strip.usual, rho=Rules().rho_of(HOUR_S))
    assert edge == pytest.approx(0.025, abs=1e-4)


def test_a_silent_bin_has_no_share_and_no_band() -> None:
    lines = [count_line(MONDAY_S + HOUR_S * hour, total=0 if hour % 2 else 60, negative=0 if hour % 2 else 12) for hour in range(48)]
    (strip,) = strips_of(Scene("x", read_recording(lines), {}), rules=Rules())
    for values in (strip.share, strip.low, strip.high):
        assert np.isnan(values).tolist() == [False, True] * 24


def test_the_subjects_with_the_most_alerts_come_first_then_the_loudest() -> None:
    lines = [line for number in range(8) for line in weeks_of_counts(days=1, per_hour=10 + 10 * number, subject=f"s{number}")]
    alarms = {"s0": ALARMS[COMPANY], "s2": ALARMS[COMPANY][:1]}
    assert [strip.subject for strip in strips_of(Scene("x", read_recording(lines), alarms), rules=Rules())] == ["s0", "s2", "s7", "s6", "s5", "s4"]


@pytest.mark.parametrize("subjects", [1, 3, 8])
def test_each_subject_has_a_row_of_shares_and_one_of_texts(tmp_path: Path, drawn: list[Figure], subjects: int) -> None:
    lines = [line for number in range(subjects) for line in weeks_of_counts(days=3, subject=f"s{number}", seed=number)]
    draw(Scene("x.jsonl", read_recording(lines), {}), tmp_path / "x.png", rules=Rules())
    (figure,) = drawn
    shown = min(subjects, 6)
    assert len(figure.axes) == 2 * shown
    assert [axes.get_ylabel() for axes in figure.axes] == ["negative", "texts"] * shown
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    width, height = size_of(tmp_path / "x.png")
    assert width == WIDTH_IN * DPI
    assert 200 * shown < height < 600 * shown


def test_alerts_and_planted_surges_are_marked(tmp_path: Path, drawn: list[Figure]) -> None:
    surges = [Surge(COMPANY, MONDAY_S + 3 * DAY_S - 60, 10.0), Surge(COMPANY, MONDAY_S + 9 * DAY_S, 10.0)]
    draw(Scene("x.jsonl", read_recording(TWO_WEEKS), ALARMS, surges, 5.0), tmp_path / "x.png", rules=Rules())
    shares = drawn[0].axes[0]
    lines = {str(line.get_marker()): line for line in shares.get_lines()}
    assert sum(line.get_marker() == "v" for line in shares.get_lines()) == 2
    assert lines["D"].get_ydata()[0] == 0.9  # type: ignore[index]
    assert [line.get_markerfacecolor() == "white" for line in shares.get_lines() if line.get_marker() == "^"] == [False, True]
    said = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert [word for word in said if "alert" in word or "planted" in word] == ["alert: high", "alert: critical", "planted, caught", "planted, missed"]
    assert "2 surges of 5 times" in drawn[0].texts[0].get_text()


def test_words_of_a_picture_do_not_run_into_each_other(tmp_path: Path, drawn: list[Figure]) -> None:
    lines = [line for number in range(6) for line in weeks_of_counts(days=14, subject=f"s{number}" * 40, seed=number)]
    alarms = {f"s{number}" * 40: ALARMS[COMPANY] for number in range(6)}
    draw(Scene("x.jsonl" * 40, read_recording(lines), alarms), tmp_path / "x.png", rules=Rules())
    (figure,) = drawn
    blocks = [axes.get_tightbbox() for axes in figure.axes] + [figure.texts[0].get_window_extent(), figure.legends[0].get_window_extent()]
    for i, one in enumerate(blocks):
        assert one is not None
        assert one.x0 >= 0
        assert one.x1 <= figure.bbox.width
        assert not any(other is not None and one.overlaps(other) for other in blocks[:i])


@pytest.mark.parametrize("lines", [[count_line(MONDAY_S, total=1, negative=1)], [count_line(MONDAY_S + 60 * n, total=0, negative=0) for n in range(9)]])
def test_next_to_nothing_is_drawn_too(tmp_path: Path, drawn: list[Figure], lines: list[bytes]) -> None:
    draw(Scene("x", read_recording(lines), {}), tmp_path / "x.png", rules=Rules())
    assert len(drawn[0].axes) == 2


def test_an_empty_record_says_so(tmp_path: Path, drawn: list[Figure]) -> None:
    draw(Scene("empty.jsonl", read_recording([]), {}), tmp_path / "x.png", rules=Rules())
    assert drawn[0].axes == []
    assert "no rows" in drawn[0].texts[0].get_text()
    assert size_of(tmp_path / "x.png")[0] == WIDTH_IN * DPI


def test_names_the_font_lacks_are_escaped_and_no_formula(tmp_path: Path, drawn: list[Figure]) -> None:
    names = ["topic:宏观", "cash $x_1$ & 50%", "two\nlines"]
    lines = [line for name in names for line in weeks_of_counts(days=1, subject=name)]
    draw(Scene("舆情.jsonl", read_recording(lines), {}), tmp_path / "x.png", rules=Rules())
    titles = {axes.get_title(loc="left").split("   ")[0] for axes in drawn[0].axes} - {""}
    assert titles == {"topic:\\u5b8f\\u89c2", "cash $x_1$ & 50%", "two\\nlines"}
    assert printable("é €") == "é €"
