from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from models.company_names import simplified
from models.names_table import COLUMNS, COMPANIES, CURATED, LIKELY, LISTED, SURE, WEAK, load_table, not_tickers, trades
from models.training.securities import build, write
from opinion.errors import ConfigError


def extra(folder: Path, *rows: str) -> Path:
    path = folder / "extra.csv"
    path.write_text("\n".join(("id,symbol,name,name_zh,aliases,same_as", *rows)) + "\n", encoding="utf-8")
    return path


def test_marks_tell_how_much_context_a_name_needs(tmp_path: Path) -> None:
    names = load_table([extra(tmp_path, "T:1,,Quorvex,,Sure Name|?Likelyname|??Weakname|???Listname|-Quorvex,")]).names
    assert [names[name].level for name in ("sure name", "likelyname", "weakname", "listname")] == [SURE, LIKELY, WEAK, LISTED]
    assert "quorvex" not in names


def test_what_speaks_for_a_company_is_kept_apart_from_its_names(tmp_path: Path) -> None:
    table = load_table([extra(tmp_path, "T:1,,Quorvex,,~Gizmo|@airline|!swamp,", "T:2,,Quorvex Two,,~Gadget,T:1")])
    topic = table.topics["T:1"]
    assert {"Gizmo", "Gadget", *trades()["airline"]} == set(topic.words)
    assert (topic.vetoes, topic.trades) == (("swamp",), ("airline",))
    assert {"gizmo", "@airline", "airline", "swamp"}.isdisjoint({name for name, known in table.names.items() if known.groups == ("T:1",)})


def test_an_unknown_trade_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="witchcraft"):
        load_table([extra(tmp_path, "T:1,,Quorvex,,@witchcraft,")])


def test_a_small_alias_says_that_the_name_is_written_so(tmp_path: Path) -> None:
    names = load_table([extra(tmp_path, "T:1,,QuorVex,,quorvex,", "T:2,,Zimbur,,,")]).names
    assert (names["quorvex"].text, names["quorvex"].small, names["zimbur"].small) == ("QuorVex", True, False)


def test_traditional_characters_lead_to_the_simplified_name() -> None:
    assert simplified("滙豐與國泰航空，中國平安") == "汇丰与国泰航空，中国平安"
    assert "国泰航空" in load_table().names


def test_simplified_text_and_every_position_stay() -> None:
    text = "千万科研经费到账，著名企业家谈乾坤"
    assert simplified(text) == text
    assert len(simplified("臺灣積體電路製造")) == 8


def test_a_name_of_two_companies_tells_neither_alone(tmp_path: Path) -> None:
    name = load_table([extra(tmp_path, "T:1,,,,Twinname Works,", "T:2,,,,Twinname Works,")]).names["twinname works"]
    assert (name.level, name.groups) == (WEAK, ("T:1", "T:2"))


def test_listings_of_one_company_share_a_group_whichever_way_they_point(tmp_path: Path) -> None:
    table = load_table([extra(tmp_path, "T:3,,Ringname One,,,T:1", "T:1,,Ringname Two,,,T:2", "T:2,,Ringname Three,,,T:3")])
    assert table.groups["T:1"] == ("T:1", "T:2", "T:3")


def test_a_later_file_adds_to_a_listing(tmp_path: Path) -> None:
    table = load_table([extra(tmp_path, "XNAS:TSLA,,,,Teslamobile,")])
    assert table.companies["XNAS:TSLA"].name == "Tesla, Inc."
    assert table.names["teslamobile"].groups == table.names["tesla"].groups == ("XNAS:TSLA",)


def test_curated_rows_are_of_listings_in_the_table_or_bring_their_own_name() -> None:
    with gzip.open(COMPANIES, "rt", encoding="utf-8") as file:
        known = {row["id"] for row in csv.DictReader(file)}
    with CURATED.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len({row["id"] for row in rows}) == len(rows)
    assert [row["id"] for row in rows if row["id"] not in known and not (row["name"] or row["name_zh"])] == []
    assert [row["same_as"] for row in rows if row["same_as"] and row["same_as"] not in known | {row["id"] for row in rows}] == []


def test_large_companies_are_known_by_the_names_people_use() -> None:
    names = load_table().names
    for name in ("apple", "tesla", "jpmorgan", "alibaba", "腾讯", "贵州茅台", "宁德时代", "比亚迪", "中芯国际", "petrochina", "台积电"):
        assert name in names


def test_abbreviations_are_tickers_only_with_their_exchange() -> None:
    assert {"CEO", "ETF", "AI"} <= not_tickers()


def test_the_table_is_small_enough_to_travel() -> None:
    assert COMPANIES.stat().st_size < 1_000_000


def test_building_takes_only_openly_licensed_columns_and_is_reproducible(tmp_path: Path) -> None:
    header = "id,symbol,name,name_zh,full_name,industry,source\n"
    (tmp_path / "us.csv").write_text(header + 'XNAS:QVX,QVX,"Quorvex, Inc.",库沃,Quorvex Common Stock,Tech,nasdaq-listings\n', encoding="utf-8")
    (tmp_path / "cn.csv").write_text(
        header
        + "XSHG:600001,600001,English Name Ltd,*ST库沃,库沃股份有限公司,钢铁,dsa-index+open-stock-data+go-stock\nXSHG:688001,688001,Closed Ltd,闭源科技,,,dsa-index+go-stock\n",
        encoding="utf-8",
    )
    (tmp_path / "hk.csv").write_text(header + "XHKG:00099,00099,Quorvex Asia Limited,库沃亚洲,,,open-stock-data+FinanceDatabase\n", encoding="utf-8")
    (tmp_path / "aliases.csv").write_text(
        "id,alias,lang,kind,ambiguous,source\nXNAS:QVX,QVOLD,ticker,former_ticker,0,stocknet/hand\nXSHG:600001,旧名称股份,zh,former_short_name,0,tushare-namechange 2014-2024\n",
        encoding="utf-8",
    )
    rows = build(tmp_path)
    assert [(row.id, row.name, row.name_zh) for row in rows] == [("XHKG:00099", "Quorvex Asia Limited", ""), ("XNAS:QVX", "Quorvex, Inc.", ""), ("XSHG:600001", "", "*ST库沃")]
    assert [dict(row.aliases) for row in rows[1:]] == [{"Quorvex, Inc.": "", "Quorvex": "", "$QVOLD": ""}, {"*ST库沃": "", "库沃": "-"}]
    first, second = tmp_path / "a.gz", tmp_path / "b.gz"
    write(rows, first)
    write(build(tmp_path), second)
    assert first.read_bytes() == second.read_bytes()
    assert gzip.decompress(first.read_bytes()).decode().splitlines()[0] == ",".join(COLUMNS)
