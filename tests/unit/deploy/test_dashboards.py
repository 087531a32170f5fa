from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.write import FOLDER, dashboards
from tests.support.grafana import expressions
from tests.support.prometheus import DEPLOY, METRIC
from tests.unit.deploy.test_rules import shown_names

BOARDS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
UNITS = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
BUILT_IN = {"__rate_interval"}


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in board["panels"] if panel["type"] != "row")


def variables(board: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


def test_files_are_what_the_code_makes() -> None:
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")} == dashboards(), "run `make dashboards`"


def test_uids_stay_for_whoever_links_to_them() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {f"yuqing-{name}" for name in ("opinion", "pipeline", "sources", "deliveries")}


@each_board
def test_types_of_grafana_read_the_file_and_write_it_again(board: dict[str, Any]) -> None:
    register_default_plugins()
    assert json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder)) == board


@each_board
def test_every_panel_says_what_it_shows_and_in_what_unit(board: dict[str, Any]) -> None:
    found = list(panels(board))
    assert len(found) >= 10
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in found:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"]


@each_board
def test_panels_lie_beside_each_other_in_full_rows(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells


@each_board
def test_panels_ask_for_what_is_shown_and_variables_that_are_there(board: dict[str, Any]) -> None:
    asked = expressions(board)
    assert asked
    for expression in asked:
        assert set(METRIC.findall(expression)) <= shown_names(), expression
        assert set(re.findall(r"\$(\w+)", expression)) <= variables(board).keys() | BUILT_IN, expression


@each_board
def test_choices_are_of_labels_that_are_shown(board: dict[str, Any]) -> None:
    for name, variable in variables(board).items():
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"])
            assert match is not None, name
            assert match[1] in shown_names()
            assert f"${name}" in " ".join(expressions(board))


@each_board
def test_alerts_of_both_kinds_are_drawn(board: dict[str, Any]) -> None:
    assert [annotation["expr"].split("{")[0] for annotation in board["annotations"]["list"]] == ["max by (severity) (yuqing_alerts_firing) > 0", "ALERTS"]


def test_grafana_finds_the_data_and_the_files_by_what_compose_tells_it() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "yuqing.yml").read_text())["providers"]
    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    assert (provider["type"], provider["options"]) == ("file", {"path": "${DASHBOARDS}"})
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == scraped
