from __future__ import annotations

import re
from pathlib import Path

from alerts.api.access import Scope
from yuqing.api_document import document

FILE = Path(__file__).parents[3] / "docs" / "api.md"
PAGE = document()


def section(heading: str) -> str:
    return PAGE.split(f"### `{heading}`\n")[1].split("\n### ")[0]


def test_page_is_what_the_generator_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == PAGE, "run `make api`"


def test_every_request_under_the_api_names_the_scope_that_it_needs() -> None:
    found = re.findall(r"^### `(\w+) (/api\S*)`\n\n.*?(Scope `(\w+)`|No token)\.$", PAGE, re.MULTILINE)
    assert len(found) > 25
    assert len(found) == len(re.findall(r"^### `\w+ /api", PAGE, re.MULTILINE))
    assert {scope for _, _, _, scope in found} == set(Scope)


def test_a_request_has_its_parameters_and_the_fields_of_its_body() -> None:
    listing = section("GET /api/v1/alerts")
    assert "| `limit` | query | integer, 1 to 500; 50 unless given | Most rows of the answer. |" in listing
    assert "Scope `read`." in listing
    adding = section("POST /api/v1/subscriptions")
    assert "| **`name`** | body | string" in adding
    assert "Scope `admin`." in adding


def test_a_body_of_several_forms_lists_the_fields_of_all() -> None:
    giving = section("POST /api/v1/feedback")
    assert "`alert_id`" in giving
    assert "`doc_id`" in giving
    assert "`wrong_entity`" in giving
