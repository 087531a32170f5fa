from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.entities import MAX_CHARS, LinkedEntity, Linker, linked_text
from opinion.errors import ConfigError
from opinion.records import Document
from tests.support.records import document

ENTITIES = Path(__file__).parents[2] / "data" / "entities"
CASES, UNSEEN = ENTITIES / "cases.jsonl", ENTITIES / "unseen.jsonl"
"""Sentences that rules were made with, and sentences that nobody looked at while making them."""
PRECISION_FLOOR, RECALL_FLOOR = 0.97, 0.94
"""Of the unseen ones. Measured .983 and .958."""


class Case(msgspec.Struct, forbid_unknown_fields=True):
    """A hand-written sentence and the listings that it names."""

    text: str
    want: list[str]
    title: str = ""
    lang: str = "en"
    note: str = ""


def cases(path: Path = CASES) -> list[Case]:
    return [msgspec.json.decode(line, type=Case) for line in path.read_bytes().splitlines()]


@cache
def linker() -> Linker:
    return Linker.load()


def link(text: str, **changes: Any) -> list[LinkedEntity]:
    fields: dict[str, Any] = {"title": "", "text": text, "lang": "en"} | changes
    return linker().link(document(1, **fields))


def ids(text: str, **changes: Any) -> list[str]:
    return [entity.id for entity in link(text, **changes)]


def spans_of(entity: LinkedEntity, item: Document) -> list[str]:
    return [linked_text(item)[start:end] for start, end in entity.spans]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.text[:40])
def test_a_sentence_names_exactly_the_companies_it_names(case: Case) -> None:
    assert sorted(ids(case.text, title=case.title, lang=case.lang)) == case.want


def test_unseen_sentences_hold_the_floors() -> None:
    found = [(set(ids(case.text, title=case.title, lang=case.lang)), set(case.want), case.text) for case in cases(UNSEEN)]
    right = sum(len(got & want) for got, want, _ in found)
    precision, recall = right / sum(len(got) for got, _, _ in found), right / sum(len(want) for _, want, _ in found)
    missed = [(text, got, want) for got, want, text in found if got != want]
    assert precision >= PRECISION_FLOOR, missed
    assert recall >= RECALL_FLOOR, missed


@pytest.mark.parametrize("text", ["Follow @Tesla", "关注@特斯拉中国 抽奖", "转发//@腾讯公关:辟谣"])
def test_a_handle_names_nobody(text: str) -> None:
    assert ids(text, lang="zh-Hans") == []


def test_a_handle_ends_with_its_name() -> None:
    assert ids("//@雷军:特斯拉降价", lang="zh-Hans") == ["XNAS:TSLA"]


@pytest.mark.parametrize(("text", "want"), [("nvidia is up", ["XNAS:NVDA"]), ("apple is up", []), ("we target a gap", [])])
def test_only_names_that_are_no_words_count_in_small_letters(text: str, want: list[str]) -> None:
    assert ids(text) == want


def test_ambiguous_names_of_one_trade_carry_each_other() -> None:
    assert sorted(ids("Delta, United and American cut fares")) == ["XNAS:AAL", "XNAS:UAL", "XNYS:DAL"]
    assert sorted(ids("美的、格力、海尔涨价", lang="zh-Hans")) == ["XSHE:000333", "XSHE:000651", "XSHG:600690"]
    assert ids("苹果、小米、玉米涨价", lang="zh-Hans") == []


def test_a_shorter_name_is_read_where_the_longer_one_breaks_a_word() -> None:
    assert ids("京东方面回应", lang="zh-Hans") == ["XHKG:09618"]
    assert ids("京东方扩产", lang="zh-Hans") == ["XSHE:000725"]


@pytest.mark.parametrize(("text", "want"), [("中国银行业总资产", []), ("中国银行业绩亮眼", ["XSHG:601988"])])
def test_an_industry_is_no_bank_but_its_figures_are(text: str, want: list[str]) -> None:
    assert ids(text, lang="zh-Hans") == want


@pytest.mark.parametrize("text", ["Fires in the Amazon rose", "Amazon fires rose as the rainforest dried"])
def test_a_sure_name_that_is_a_word_gives_way_to_its_surroundings(text: str) -> None:
    assert ids(text) == []


def test_there_are_hard_negatives_in_both_languages() -> None:
    negatives = [case.lang for case in cases() if not case.want]
    assert negatives.count("en") >= 15
    assert negatives.count("zh-Hans") >= 10


def test_a_tag_of_the_source_is_fully_relevant() -> None:
    (entity,) = link("Quarterly figures attached.", symbols=["XSHG:600519"])
    assert entity == LinkedEntity("XSHG:600519", "贵州茅台", 1.0, ())


def test_a_tag_that_no_table_knows_is_kept_under_its_code() -> None:
    (entity,) = link("Quarterly figures attached.", symbols=["XTKS:7203"])
    assert (entity.id, entity.name) == ("XTKS:7203", "7203")


def test_a_tagged_listing_wins_over_the_one_of_the_language() -> None:
    assert ids("中国平安发布年报", lang="zh-Hans", symbols=["XHKG:02318"]) == ["XHKG:02318"]
    assert ids("中国平安(02318.HK)发布年报", lang="zh-Hans") == ["XHKG:02318"]


@pytest.mark.parametrize(
    ("lang", "text", "listing"),
    [
        ("zh-Hans", "工商银行派息", "XSHG:601398"),
        ("en", "ICBC pays a dividend", "XHKG:01398"),
        ("und", "工商银行派息", "XSHG:601398"),
        ("und", "ICBC pays a dividend", "XHKG:01398"),
    ],
)
def test_the_language_chooses_among_listings(lang: str, text: str, listing: str) -> None:
    assert ids(text, lang=lang) == [listing]


def test_share_classes_are_one_entity() -> None:
    assert ids("$GOOGL and $GOOG and Google") == ["XNAS:GOOG"]
    assert ids("$GOOGL alone") == ["XNAS:GOOGL"]


@pytest.mark.parametrize(
    "text",
    ["600519.SH", "SH600519", "600519.SS", "SH:600519", "sh600519", "某公司(600519)", "某公司\uff08600519\uff09", "证券代码:600519", "证券代码\uff1a600519", "600519.XSHG"],
)
def test_every_way_of_writing_a_mainland_code_is_read(text: str) -> None:
    assert ids(text, lang="zh-Hans") == ["XSHG:600519"]


@pytest.mark.parametrize("text", ["00700.HK", "0700.HK", "700.HK", "HK00700", "HK:0700", "某公司(00700)", "HKEX: 700"])
def test_every_way_of_writing_a_hong_kong_code_is_read(text: str) -> None:
    assert ids(text, lang="zh-Hans") == ["XHKG:00700"]


@pytest.mark.parametrize("text", ["$MSFT", "$msft", "MSFT.O", "MSFT.US", "(NASDAQ: MSFT)", "NASDAQ:MSFT", "NasdaqGS: MSFT", "Microsoft (MSFT)", "\uff08纳斯达克\uff1aMSFT\uff09"])
def test_every_way_of_writing_a_new_york_code_is_read(text: str) -> None:
    assert ids(text) == ["XNAS:MSFT"]


@pytest.mark.parametrize("text", ["$FB was volatile", "$PTR pays", "$BRK-B"])
def test_former_tickers_and_variants_are_read(text: str) -> None:
    assert ids(text) in (["XNAS:META"], ["XHKG:00857"], ["XNYS:BRK.B"])


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("C.N fell", ["XNYS:C"]),
        ("(ON.O)", ["XNAS:ON"]),
        ("BABA.K", ["XNYS:BABA"]),
        ("AAPL US Equity", ["XNAS:AAPL"]),
        ("(T US)", ["XNYS:T"]),
        ("US.NVDA", ["XNAS:NVDA"]),
        ("$某某(PDD)$", ["XNAS:PDD"]),
        ("Gartner (IT)", ["XNYS:IT"]),
        ("5.HK", ["XHKG:00005"]),
        ("700 HK Equity", ["XHKG:00700"]),
        ("HKG:1810", ["XHKG:01810"]),
        ("港股01810拉升", ["XHKG:01810"]),
        ("00700收盘涨3%", ["XHKG:00700"]),
        ("机器人300024的年线", ["XSHE:300024"]),
    ],
)
def test_rarer_ways_of_writing_a_code_are_read(text: str, want: list[str]) -> None:
    assert ids(text) == want


@pytest.mark.parametrize("text", ["the U.N. chief", "C.N. Tower", "J.N.Smith", "Vitamin C.", "paid US 30", "指数000001收盘涨1%", "邮编00700", "10086今天停机", "1.5.HK", "(ON)"])
def test_what_looks_like_a_code_is_none(text: str) -> None:
    assert ids(text) == []


@pytest.mark.parametrize("text", ["999999.SH", "$ZZZZZ", "(XNAS)", "12345", "total 600519 units", "1,600519", "600519%", "$ES_F falls", "version 600519.5"])
def test_what_is_no_known_code_is_no_company(text: str) -> None:
    assert ids(text) == []


def test_an_ambiguous_name_counts_once_the_company_is_sure() -> None:
    text = "Apple, the fruit? No: apple growers aside, $AAPL fell and so did Apple"
    (entity,) = link(text)
    assert [text[start:end] for start, end in entity.spans] == ["Apple", "$AAPL", "Apple"]


def test_spans_count_in_title_and_text() -> None:
    item = document(1, title="Tesla recalls cars", text="The recall by Tesla covers 2026 models.")
    (entity,) = linker().link(item)
    assert spans_of(entity, item) == ["Tesla", "Tesla"]


def test_letters_that_grow_in_lower_case_do_not_shift_spans() -> None:
    item = document(1, title="", text="İİİ Tesla")
    (entity,) = linker().link(item)
    assert spans_of(entity, item) == ["Tesla"]


def test_a_name_that_is_a_code_too_is_one_mention() -> None:
    assert link("IBM (NYSE: IBM)")[0].spans == ((0, 3), (11, 14))


def test_only_the_beginning_is_looked_at() -> None:
    assert ids("." * MAX_CHARS + " Tesla") == []


def test_order_is_by_relevance_then_id() -> None:
    entities = link("Pfizer and Tesla. Tesla again, Tesla.")
    assert [entity.id for entity in entities] == ["XNAS:TSLA", "XNYS:PFE"]
    assert ids("Pfizer, Tesla") == sorted(ids("Pfizer, Tesla"))


def test_a_title_mention_outweighs_a_late_one() -> None:
    late = link("x " * 200 + "Tesla", title="Car sales fell")[0].relevance
    early = link("x " * 200, title="Tesla sales fell")[0].relevance
    assert late < 0.5 < early


def test_a_round_up_is_about_none_of_its_companies() -> None:
    text = "Tesla, Pfizer, Boeing, Intel, Nvidia and Starbucks moved in late trading."
    assert max(entity.relevance for entity in link(text)) < 0.5
    assert max(entity.relevance for entity in link(text, symbols=["XNAS:TSLA", "XNYS:PFE", "XNYS:BA", "XNAS:INTC", "XNAS:NVDA", "XNAS:SBUX"])) < 0.5


def test_a_round_up_is_still_about_the_company_of_its_title() -> None:
    entities = link("Pfizer, Boeing, Intel, Nvidia and Starbucks moved too.", title="Tesla tumbles after the bell")
    assert [entity.id for entity in entities if entity.relevance >= 0.5] == ["XNAS:TSLA"]


def test_a_tag_among_few_stays_relevant_in_a_text_that_names_many() -> None:
    entities = link("Tesla, Pfizer, Boeing, Intel, Nvidia and Starbucks moved.", symbols=["XNAS:TSLA"])
    assert (entities[0].id, entities[0].relevance) == ("XNAS:TSLA", 1.0)


def test_further_companies_come_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    path.write_text("id,name,name_zh,aliases\nDEMO:NORTH,Norvale Freight plc,诺瓦货运,Norvale|??Freightco\n", encoding="utf-8")
    more = Linker.load(extra=[path])
    assert [entity.id for entity in more.link(document(1, title="", text="Norvale cut its outlook"))] == ["DEMO:NORTH"]
    assert [entity.name for entity in more.link(document(1, title="", text="诺瓦货运裁员", lang="zh-Hans"))] == ["Norvale Freight plc"]
    assert more.link(document(1, title="", text="a Freightco truck passed")) == []
    assert [entity.id for entity in more.link(document(1, title="", text="Freightco shares fell"))] == ["DEMO:NORTH"]


@pytest.mark.parametrize("content", ["id,name\nnocolon,Acme\n", "name\nAcme\n", "id,name,name_zh,aliases\nX:A,Acme, ,a,b,c,d\n", "\xff\xfe"])
def test_a_malformed_file_names_itself(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"bad\.csv"):
        Linker.load(extra=[path])


def test_a_missing_file_names_itself(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.csv"):
        Linker.load(extra=[tmp_path / "absent.csv"])


def test_what_is_known_of_a_listing_can_be_asked() -> None:
    company = linker().company("XSHG:601318")
    assert company is not None
    assert (company.name_zh, company.group) == ("中国平安", "XHKG:02318")
    assert linker().company("XNAS:NOPE") is None
