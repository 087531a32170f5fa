"""What the API and the console stand on, over real Redis, and a browser of the console."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from alerts.api.parts import Parts
from opinion.names import Names
from tests.support.api import api_parts
from tests.support.console import browser_of


@pytest.fixture
async def parts(redis_url: str, names: Names, tmp_path: Path) -> AsyncIterator[Parts]:
    async with api_parts(redis_url, names, tmp_path) as found:
        yield found


@pytest.fixture
async def browser(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(parts) as client:
        yield client
