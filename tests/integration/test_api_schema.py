"""Requests that nobody thought of, made from the OpenAPI document itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth

from opinion.names import Names
from tests.support.api import bearer, served_api

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EXAMPLES = 25
"""Of each operation."""


def test_every_answer_is_as_the_document_says(redis_url: str, names: Names, tmp_path: Path) -> None:
    failures: list[BaseException] = []
    with served_api(redis_url, names, tmp_path) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json").exclude(path="/api/v1/stream")  # it never ends
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        assert len(operations) > 30
        for operation in operations:

            @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy())
            def check(case: Case[Any]) -> None:
                case.call_and_validate(headers=bearer(), excluded_checks=[ignored_auth])  # who may do what is tested by hand

            try:
                check()
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - all of them are to be seen at once
                failures.append(error)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} operations answer otherwise", failures)
