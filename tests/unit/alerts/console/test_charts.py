from __future__ import annotations

import re
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest

from alerts.console.charts import Span, Step, Tick, bar, chart, count_band, share_band, sparkline
from tests.support.records import NOON

HOSTILE = "</title><script>alert('1')</script>\"&"
SVG = "{http://www.w3.org/2000/svg}"


def steps(*counts: tuple[int, int], usual: float = 0.2) -> list[Step]:
    return [
        Step(at=NOON + timedelta(minutes=15 * number), total=total, negative=negative, usual=usual, label=f"step {number}", href=f"/documents?n={number}")
        for number, (total, negative) in enumerate(counts)
    ]


def drawn(found: list[Step], **changes: object) -> str:
    values = {"spans": [], "ticks": [], "rho": 0.01, "title": "A", "desc": "B"} | changes
    return str(chart(found, **values))  # type: ignore[arg-type]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def path_of(svg: str, kind: str) -> list[tuple[float, float]]:
    path = next(item.attrib["d"] for item in parsed(svg).iter(f"{SVG}path") if item.attrib["class"] == kind)
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_the_same_numbers_give_the_same_bytes() -> None:
    assert drawn(steps((4, 1), (5, 2))) == drawn(steps((4, 1), (5, 2)))
    assert sparkline([0.1, None, 0.3], band=(0.1, 0.2), label="x") == sparkline([0.1, None, 0.3], band=(0.1, 0.2), label="x")


def test_a_higher_share_stands_higher_and_a_step_without_texts_breaks_the_line() -> None:
    svg = drawn(steps((10, 1), (10, 5), (0, 0), (10, 9), (10, 2)))
    line = path_of(svg, "line")
    assert len(line) == 4
    assert line[2][1] < line[1][1] < line[3][1] < line[0][1]
    assert next(item.attrib["d"] for item in parsed(svg).iter(f"{SVG}path") if item.attrib["class"] == "line").count("M") == 2


def test_a_share_that_stands_alone_is_a_dot() -> None:
    dots = list(parsed(drawn(steps((0, 0), (10, 5), (0, 0)))).iter(f"{SVG}circle"))
    assert len(dots) == 1


@pytest.mark.parametrize("counts", [[(0, 0), (0, 0)], [(1, 1), (1, 1)], [(1_000_000, 3), (1, 0)], [(7, 7), (0, 0)]])
def test_everything_lies_within_the_picture(counts: list[tuple[int, int]]) -> None:
    root = parsed(drawn(steps(*counts), spans=[Span(begin=NOON - timedelta(days=9), end=NOON + timedelta(days=9), severity="high", label="x", href="/alerts/1")]))
    for item in root.iter(f"{SVG}rect"):
        assert 0 <= float(item.attrib["x"]) <= 960
        assert float(item.attrib["x"]) + float(item.attrib["width"]) <= 961
        assert 0 <= float(item.attrib["y"]) <= 304
        assert float(item.attrib["height"]) >= 0
    for kind in ("line", "usual", "band"):
        assert all(0 <= x <= 960 and 0 <= y <= 304 for x, y in path_of(str(drawn(steps(*counts))), kind))


def test_each_step_with_texts_leads_to_its_documents_and_says_its_numbers() -> None:
    root = parsed(drawn(steps((4, 1), (0, 0), (5, 2))))
    links = list(root.iter(f"{SVG}a"))
    assert [link.attrib["href"] for link in links] == ["/documents?n=0", "/documents?n=2"]
    assert [next(link.iter(f"{SVG}title")).text for link in links] == ["step 0", "step 2"]
    assert {link.attrib["tabindex"] for link in links} == {"-1"}


def test_texts_stay_texts() -> None:
    hostile = [Step(at=step.at, total=1, negative=1, usual=0.2, label=HOSTILE, href=f"/x?a={HOSTILE}") for step in steps((1, 1), (1, 1))]
    spans = [Span(begin=NOON, end=NOON, severity=HOSTILE, label=HOSTILE, href=HOSTILE)]
    for svg in (drawn(hostile, spans=spans, ticks=[Tick(NOON, HOSTILE)], title=HOSTILE, desc=HOSTILE), sparkline([1.0], band=(0, 1), label=HOSTILE), bar(0.5, kind=HOSTILE)):
        assert not list(parsed(str(svg)).iter(f"{SVG}script"))
    assert next(parsed(drawn(hostile, title=HOSTILE)).iter(f"{SVG}title")).text == HOSTILE


def test_no_style_stands_in_a_picture() -> None:
    svg = drawn(steps((4, 1), (5, 2))) + sparkline([0.1, 0.2], band=(0, 1), label="x") + bar(0.5, kind="negative")
    assert " style=" not in svg
    assert not re.search(r" on\w+=", svg)


def test_the_band_is_narrow_where_many_texts_are_and_never_leaves_shares() -> None:
    few, many = share_band(0.2, texts=5, rho=0.01), share_band(0.2, texts=500, rho=0.01)
    assert few[0] < many[0] < 0.2 < many[1] < few[1]
    assert share_band(0.02, texts=1, rho=0.0)[0] == 0.0
    assert share_band(0.98, texts=0, rho=0.0)[1] == 1.0
    assert count_band(0.0) == (0.0, 0.0)


def test_a_small_line_of_nothing_is_still_a_picture() -> None:
    for values in ([], [None, None], [0.0]):
        parsed(str(sparkline(values, band=(0.0, 0.0), label="x")))
