from __future__ import annotations

import msgspec
import numpy as np
import pytest

from models.story_link import LIKENESS_MS, WINDOW_MS, Signature, best, linked, signature_of
from tests.support.meanings import signature
from tests.support.records import document

BODY = "Halden Rail said on Wednesday it had won a 640 million euro order for 82 regional trains from the Carpathian transport authority. Deliveries start soon."
FLASH = "央行今日开展1260亿元7天期逆回购操作，操作利率1.40%，与此前持平"


def test_a_copy_under_another_title_is_linked_without_any_embedding() -> None:
    one, other = (signature_of(document(1, title=title, text=BODY), 0, (), None) for title in ("Halden wins order", "Train maker lands deal"))
    assert linked(one, other) == 1.0


def test_it_is_symmetric_and_surer_for_a_closer_copy() -> None:
    first, closer, further = signature(BODY), signature(BODY + " More soon."), signature(BODY[:120])
    assert linked(first, closer) == linked(closer, first)
    assert (linked(first, closer) or 0) > (linked(first, further) or 0) > 0


@pytest.mark.parametrize(
    ("one", "other", "lang"),
    [
        (FLASH, FLASH.replace("1260", "835"), "zh"),
        ("青峦电子：控股股东拟减持不超过2%公司股份，原因为自身资金需求", "墨溪新材：控股股东拟减持不超过2%公司股份，原因为自身资金需求", "zh"),
        ("1月贷款市场报价利率出炉：1年期3.00%，5年期以上3.50%", "3月贷款市场报价利率出炉：1年期3.00%，5年期以上3.50%", "zh"),
        ("Agency Corbel affirms Ostmark Landesbank at A-, outlook changed to negative", "Agency Corbel affirms Suedhafen Landesbank at A-, outlook changed to negative", "en"),
        ("Closing bell: blue chips up 0.3%, tech index up 0.6%, volume 11.2 billion", "Closing bell: blue chips up 0.2%, tech index up 0.7%, volume 10.8 billion", "en"),
        ("Oil stocks rose by 2.4 million barrels in the week", "Oil stocks fell by 3.1 million barrels in the week", "en"),
    ],
)
def test_one_form_filled_in_twice_is_two_events(one: str, other: str, lang: str) -> None:
    assert linked(signature(one, lang=lang, closeness=0.99), signature(other, lang=lang, closeness=0.99)) is None


def test_a_rewording_is_linked_by_meaning_and_a_shared_name() -> None:
    one, other = "Moorland Water fined 14 million pounds for dumping sewage into River Teal", "Sewage in the Teal costs Moorland Water £14m in court"
    assert linked(signature(one, closeness=0.8), signature(other, closeness=0.8)) == pytest.approx(0.64, abs=0.05)
    assert linked(signature(one), signature(other, meaning=2)) is None
    assert linked(signature(one, closeness=0.8), signature(other.replace("Moorland Water", "Ravel").replace("Teal", "Dee"), closeness=0.8)) is None


def test_a_translation_needs_less_likeness_where_figures_agree() -> None:
    english, chinese = "Qinglu Auto to recall 48,600 electric cars", "青鹭汽车召回48600辆纯电车"
    weak = 0.6  # a cosine of .36
    assert linked(signature(english, closeness=weak), signature(chinese, lang="zh", closeness=weak)) is not None
    assert linked(signature("Qinglu Auto to recall electric cars", closeness=weak), signature("青鹭汽车召回纯电车", lang="zh", closeness=weak)) is None
    assert linked(signature(english), signature("青鹭汽车召回1.2万辆纯电车", lang="zh")) is None


def test_companies_that_are_known_to_differ_are_never_linked() -> None:
    ours, theirs = ("XNAS:AAPL",), ("XNAS:MSFT",)
    assert linked(signature(BODY, entities=ours), signature(BODY, entities=theirs)) is None
    assert linked(signature(BODY, entities=ours), signature(BODY, entities=(*theirs, *ours))) is not None
    assert linked(signature(BODY, entities=ours), signature(BODY)) is not None


def test_time_parts_what_is_alike() -> None:
    reworded = "An order for 82 trains worth 640 million euros goes to Halden Rail"
    day, window = LIKENESS_MS / 3_600_000, WINDOW_MS / 3_600_000
    assert linked(signature(BODY), signature(BODY, hours=window)) is not None
    assert linked(signature(BODY), signature(BODY, hours=window + 0.1)) is None
    assert linked(signature(BODY), signature(reworded, hours=-day)) is not None
    assert linked(signature(BODY), signature(reworded, hours=day + 0.1)) is None


def test_an_update_with_more_figures_is_linked() -> None:
    first, later = (
        "Quarterly sales of Zephyr Athletics fall 4 percent",
        "Zephyr Athletics expects $2.10 a share after sales fell 4 percent to $1.93 billion and tariffs cost $40 million",
    )
    assert linked(signature(first, closeness=0.75), signature(later, closeness=0.75, hours=2)) is not None


def test_the_best_is_the_most_alike_and_the_first_of_equals() -> None:
    own, near, far = signature(BODY), signature(BODY[:130]), signature("Something else of Halden Rail", meaning=2)
    assert best(own, [("far", far), ("near", near), ("own", own), ("own too", own)]) == "own"
    assert best(own, [("far", far)]) is None
    assert best(own, []) is None


def test_no_event_takes_two_issues_of_one_form_in_whatever_links_them() -> None:
    first, report, second = signature(FLASH, lang="zh"), signature("央行今日继续投放流动性，逆回购利率不变", lang="zh"), signature(FLASH.replace("1260", "835"), lang="zh")
    assert best(second, [("a", report)]) == "a"
    assert best(second, [("a", report), ("a", first)]) is None
    assert best(second, [("a", report), ("a", first), ("b", report)]) == "b"


def test_a_signature_is_small_and_survives_the_wire() -> None:
    made = signature(BODY, title="Halden wins order", entities=("XNAS:AAPL",))
    wire = msgspec.msgpack.encode(made)
    assert msgspec.msgpack.decode(wire, type=Signature) == made
    assert len(wire) < 1_000


def test_an_embedding_of_another_width_or_none_is_no_evidence() -> None:
    assert signature_of(document(1), 0, (), np.ones(16, np.float32)).embedding == b""
    bare = signature_of(document(1, text=BODY), 0, (), None)
    assert linked(bare, signature(BODY, hours=0)) is None  # noon of 2026 is past the window from 0
    assert best(bare, [("a", bare)]) == "a"
