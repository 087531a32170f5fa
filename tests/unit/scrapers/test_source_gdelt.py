from __future__ import annotations

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged
from opinion.settings import Feed
from scrapers.source import Response, fitted
from scrapers.sources.gdelt import HOST, ask, follow
from tests.support.records import NOON

MD5 = "0123456789abcdef0123456789abcdef"
INDEX = f"""150383 297a16b493de7cf6ca809a7cc31d0b93 {HOST}/20261123014500.export.CSV.zip
318084 bb27f78ba45f69a17ea6ed7755e9f8ff {HOST}/20261123014500.mentions.CSV.zip
10768507 {MD5} {HOST}/20261123014500.gkg.csv.zip
"""


def steps(place: str, *, index: str = INDEX) -> list[tuple[str, str, str]]:
    response = Response(url=f"{HOST}/lastupdate.txt", body=index.encode(), fetched_at=NOON)
    return [(step.ask.url.rsplit("/", 1)[1], step.place, step.md5) for step in follow(response, place)]


def test_a_first_poll_reads_the_newest_file() -> None:
    assert steps("") == [("20261123014500.gkg.csv.zip", "20261123014500", MD5)]


def test_no_quarter_of_an_hour_is_left_out() -> None:
    assert [place for _, place, _ in steps("20261123004500")] == ["20261123010000", "20261123011500", "20261123013000", "20261123014500"]
    assert [md5 for _, _, md5 in steps("20261123011500")] == ["", MD5]


def test_what_was_read_is_not_read_again() -> None:
    assert steps("20261123014500") == []


def test_a_long_absence_is_made_up_for_by_a_day_and_the_rest_is_told() -> None:
    found = follow(Response(url=f"{HOST}/lastupdate.txt", body=INDEX.encode(), fetched_at=NOON), "20261121011500")
    assert len(found) == 97
    assert found[0].place == "20261122014500"
    assert [step.missed for step in found] == ["97 files before 2026-11-22 01:45 were left out: they are more than 24 h back", *[""] * 96]


def test_after_a_day_nothing_is_missed() -> None:
    found = follow(Response(url=f"{HOST}/lastupdate.txt", body=INDEX.encode(), fetched_at=NOON), "20261122013000")
    assert len(found) == 97
    assert not any(step.missed for step in found)


def test_the_translated_edition_has_files_of_its_own() -> None:
    index = INDEX.replace(".gkg.csv", ".translation.gkg.csv")
    assert [name for name, _, _ in steps("20261123013000", index=index)] == ["20261123014500.translation.gkg.csv.zip"]
    assert ask(Feed(source="gdelt", options={"edition": SecretStr("translation")}), NOON).url == f"{HOST}/lastupdate-translation.txt"
    assert ask(Feed(source="gdelt"), NOON).url == f"{HOST}/lastupdate.txt"


@pytest.mark.parametrize("index", ["", "<html>", "10768507 nonsense", INDEX.replace("20261123014500.gkg", "20269923014500.gkg")])
def test_an_index_without_a_graph_is_told(index: str) -> None:
    with pytest.raises(PageChanged):
        steps("", index=index)


def test_an_edition_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="english or translation"):
        fitted(Feed(source="gdelt", options={"edition": SecretStr("klingon")}))
