"""The commands of the documentation, typed beside a running instance: the quick start first, which brings the alert that the other pages speak of."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.classifier import tiny_classifier
from tests.support.documented import rule_of
from tests.support.fences import PAGES, ROOT, SHELL, commands, fences_of
from tests.support.model import trained_directory
from tests.support.reader import QUICKSTART, Instance, Step, instance, read, samples
from tests.support.workers import until
from tests.unit.yuqing.test_models_command import like_the_shipped

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="no bash or curl on this machine: `apt-get install curl`"),
]

TRANSLATIONS = [page for page in PAGES if page.name.endswith(".zh-CN.md")]
"""Their commands are those of the page that they translate: tests/unit/test_pages.py."""
OTHERS = [
    page
    for page in PAGES
    if page not in (QUICKSTART, *TRANSLATIONS) and any(rule_of(command) is None for fence in fences_of(page) if fence.lang == SHELL for command in commands(fence.body))
]


class Begun:
    """An instance, and what the quick start said there."""

    def __init__(self, running: Instance, steps: list[Step], received: str) -> None:
        self.running = running
        self.steps = steps
        self.received = received


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def begun(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Begun]:
    """The quick start, followed to its end."""
    async with instance(tmp_path_factory.mktemp("documents")) as running:
        checkout = running.checkout
        samples(checkout)
        tiny_classifier(checkout.folder / "my-classifier")
        (checkout.folder / "runs").mkdir()
        trained_directory(checkout.folder / "runs" / "mine", scores=like_the_shipped())
        steps = await read(QUICKSTART, running)
        log = checkout.folder / "beside.log"
        await until(lambda: "alert.firing" in log.read_text(), within_s=30)
        yield Begun(running, steps, log.read_text())


async def test_the_quick_start_ends_with_a_verified_alert(begun: Begun) -> None:
    assert "verified: alert.test - This is a test. Nothing has happened." in begun.received
    assert "verified: alert.firing - Negative opinion on Huasui Dairy surged: 12 of 12 texts" in begun.received
    assert '{"accepted":12,"duplicates":0,"problems":[]}' in [step.said.strip() for step in begun.steps]
    assert any("taken on by ann" in step.said for step in begun.steps)


@pytest.mark.parametrize("page", OTHERS, ids=[str(page.relative_to(ROOT)) for page in OTHERS])
async def test_every_command_of_a_page_works(begun: Begun, page: Path) -> None:
    await begun.running.forget_receivers()
    assert await read(page, begun.running)
