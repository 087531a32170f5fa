"""The console in a real browser, as a person uses it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

pytest.importorskip("playwright.async_api", reason="playwright is not installed")

from playwright.async_api import Dialog, Page, expect

from alerts.api.parts import Parts
from alerts.subscriptions import Subscription, new_key
from opinion.names import Names
from opinion.records import Severity
from tests.support.api import api_parts, served
from tests.support.browser import CHROMIUM, Seen, browsing, happens, sign_in
from tests.support.console import HOSTILE, SUBJECT, fill, open_alert, past
from tests.support.receiver import Receiver
from tests.support.records import NEGATIVE, scored
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180), pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: `apt-get install chromium`")]

PAGES = ["/", "/subjects", f"/subjects/{SUBJECT}?span=7d", "/documents", "/sources", "/receivers", "/system", "/alerts/al_001"]


@dataclass
class Visit:
    """A page that somebody who has signed in looks at."""

    page: Page
    address: str
    parts: Parts
    seen: Seen

    async def go(self, path: str) -> None:
        await self.page.goto(self.address + path)
        await expect(self.page.locator(".live[data-state=on]")).to_be_visible()


@pytest.fixture
async def parts(redis_url: str, names: Names, tmp_path: Path) -> AsyncIterator[Parts]:
    now = datetime.now(UTC)
    good = {"state": "ok", "polled_at": now.isoformat(), "last_good_at": now.isoformat(), "langs": {"en": now.isoformat()}}
    async with api_parts(redis_url, names, tmp_path) as found:
        yield dataclasses.replace(found, status=_answering({"leading": True, "watermark": now.isoformat(), "blind": [], "behind": 0}), sources=_answering({"wire": good}))


@asynccontextmanager
async def visiting(parts: Parts, *, scope: str = "admin", **look: Any) -> AsyncIterator[Visit]:
    """Somebody who has signed in; at the end nothing must have gone wrong in the browser, and nobody else been asked."""
    async with served(parts) as address, browsing(**look) as context:
        page = await context.new_page()
        seen = Seen(address)
        seen.watch(page)
        await sign_in(page, address, scope=scope)
        yield Visit(page, address, parts, seen)
        assert seen.errors == []
        assert seen.strangers == []


@pytest.mark.parametrize("look", [{}, {"theme": "dark", "lang": "zh-CN", "zone": "Asia/Shanghai"}, {"phone": True}], ids=["light", "dark-chinese", "phone"])
async def test_every_page_is_drawn_without_a_word_of_complaint_and_fits_the_screen(parts: Parts, look: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    await fill(parts, past(SUBJECT, now=now, hours=30))
    await parts.alerts.save(open_alert(1, at=now, subject=SUBJECT, name="Huasui Dairy"))
    async with visiting(parts, **look) as visit:
        for path in PAGES:
            await visit.go(path)
            wider = await visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, path
        ground = await visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(15, 22, 27)") == (look.get("theme") == "dark")
        await visit.go("/")
        column = await visit.page.evaluate("getComputedStyle(document.querySelector('.cards')).gridTemplateColumns.split(' ').length")
        assert column == (1 if look.get("phone") else 2)


async def test_an_alert_appears_by_itself_and_is_taken_on_and_silenced(parts: Parts) -> None:
    now = datetime.now(UTC)
    async with visiting(parts, scope="operate") as visit:
        page = visit.page
        await expect(page.get_by_text("No alert is on.")).to_be_visible()
        fresh = open_alert(1, at=now, subject=SUBJECT, name="Huasui Dairy", severity=Severity.CRITICAL)
        await parts.alerts.save(fresh)
        happens(parts, fresh, offset=0)
        card = page.locator("#al_001")
        await expect(card).to_be_visible()
        await expect(page.locator(".news")).to_contain_text("New alert: Huasui Dairy")
        await expect(page).to_have_title(re.compile(r"^\(1\)"))
        await card.get_by_role("button", name="Acknowledge").click()
        await expect(card).to_contain_text("taken on by operate")
        await expect(page.locator(".said")).to_have_text("The alert is yours.")
        await card.get_by_role("button", name="Silence 2 h").click()
        await expect(card).to_contain_text("silenced until")
        await card.get_by_role("button", name="False alarm").click()
        await expect(card).to_contain_text("called false by 1")
        assert [silence.author for silence in await parts.silences.all()] == ["operate"]


async def test_an_alert_that_came_while_the_server_was_away_is_told_when_it_is_back(parts: Parts) -> None:
    now, port = datetime.now(UTC), free_port()
    first, missed = open_alert(1, at=now), open_alert(2, at=now)
    async with browsing() as context:
        page = await context.new_page()
        async with served(parts, port=port) as address:
            await sign_in(page, address)
            await parts.alerts.save(first)
            happens(parts, first, offset=0)
            await expect(page.locator("#al_001")).to_be_visible()
        await expect(page.locator(".live[data-state=off]")).to_be_visible()
        await parts.alerts.save(missed)
        happens(parts, missed, offset=1)
        async with served(parts, port=port):
            await expect(page.locator(".live[data-state=on]")).to_be_visible(timeout=20_000)
            await expect(page.locator("#al_002")).to_be_visible()


async def test_what_somebody_writes_is_not_lost_to_a_refresh(parts: Parts) -> None:
    now = datetime.now(UTC)
    await parts.alerts.save(open_alert(1, at=now))
    async with visiting(parts) as visit:
        await visit.go("/alerts/al_001")
        await visit.page.fill("#note", "calling the comp")
        worse = replace(open_alert(1, at=now), sequence=2, severity=Severity.CRITICAL)
        await parts.alerts.save(worse)
        happens(parts, worse, offset=0)
        await expect(visit.page.locator(".news button")).to_be_visible()
        assert await visit.page.input_value("#note") == "calling the comp"
        await visit.page.press("#note", "Enter")
        await expect(visit.page.locator(".note")).to_contain_text("calling the comp")
        await expect(visit.page.locator("h1 .badge")).to_have_text("critical")


async def test_keys_do_what_the_pointer_does(parts: Parts) -> None:
    now = datetime.now(UTC)
    for number in range(3):
        await parts.alerts.save(open_alert(number, at=now - timedelta(minutes=number)))
    async with visiting(parts) as visit:
        page = visit.page
        keyboard = page.keyboard
        await keyboard.press("j")
        await keyboard.press("j")
        await expect(page.locator("#al_001")).to_be_focused()
        happens(parts, open_alert(2, at=now), offset=0)
        async with page.expect_response(lambda answer: answer.request.resource_type == "fetch"):
            pass
        await expect(page.locator("#al_001")).to_be_focused()
        await keyboard.press("k")
        await keyboard.press("a")
        await expect(page.locator("#al_000")).to_contain_text("taken on by admin")
        await keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()
        await keyboard.press("Escape")
        await keyboard.press("j")
        await keyboard.press("Enter")
        await expect(page).to_have_url(f"{visit.address}/alerts/al_000")
        await visit.go("/documents")
        await keyboard.press("/")
        await expect(page.locator("#q")).to_be_focused()


async def test_a_point_of_the_chart_leads_to_the_documents_behind_it_and_one_is_corrected(parts: Parts) -> None:
    now = datetime.now(UTC)
    await fill(parts, past(SUBJECT, now=now, hours=30))
    async with visiting(parts) as visit:
        page = visit.page
        await visit.go(f"/subjects/{SUBJECT}?span=7d")
        await page.locator(".chart .target").nth(5).click()
        await expect(page).to_have_url(re.compile(r"/documents\?subject="))
        await expect(page.locator("tbody tr")).to_have_count(36)
        await page.locator("tbody a").first.click()
        await page.get_by_role("radio", name="neutral").check()
        await page.get_by_role("button", name="Correct it").click()
        await expect(page.locator(".said")).to_contain_text("kept for training")
        assert await parts.redis.llen(parts.names.feedback) == 1


async def test_a_receiver_is_added_and_tested(parts: Parts) -> None:
    async with visiting(parts) as visit, Receiver() as receiver:
        page = visit.page
        await visit.go("/receivers")
        await page.fill("#name", "desk")
        await page.fill("#url", receiver.url)
        await page.get_by_role("button", name="Add").click()
        await expect(page.locator(".secret")).to_contain_text("whsec_")
        await page.get_by_role("link", name="Back").click()
        await page.get_by_role("button", name="Test").click()
        await expect(page.locator(".said")).to_contain_text("on its way")
        await expect(page.get_by_role("button", name="Send again")).to_be_visible()


async def test_a_hostile_document_runs_nothing(parts: Parts) -> None:
    now = datetime.now(UTC)
    base = scored(1, sentiment=NEGATIVE, subjects=(SUBJECT,))
    document = replace(base.document, title=HOSTILE, text="<svg/onload=alert(8)>" + HOSTILE, publisher=HOSTILE, url="javascript:alert(4)", canonical_url=None)
    await fill(parts, [replace(base, document=document, event_at=now)])
    await parts.redis.hset(parts.names.subject_names, SUBJECT, HOSTILE)
    alarm = open_alert(1, at=now, subject=SUBJECT, name=HOSTILE)
    async with visiting(parts) as visit:
        ran: list[str] = []
        visit.page.on("dialog", partial(_noted, ran))
        await parts.alerts.save(replace(alarm, evidence=[replace(alarm.evidence[0], title=HOSTILE, why=[HOSTILE], url="javascript:alert(5)")]))
        happens(parts, alarm, offset=0)
        await expect(visit.page.locator("#al_001")).to_be_visible()
        for path in [*PAGES, f"/documents/{document.doc_id}"]:
            await visit.go(path)
            assert await visit.page.locator("body").evaluate("(body) => body.querySelectorAll('img, body script, [onload], [onerror], [onmouseover]').length") == 0, path
            assert await visit.page.locator("a[href^='javascript']").count() == 0, path
        assert ran == []


async def test_language_and_theme_are_chosen_and_remembered(parts: Parts) -> None:
    async with visiting(parts) as visit:
        page = visit.page
        await page.get_by_role("link", name="中文").click()
        await page.get_by_role("link", name="深色").click()
        await visit.go("/sources")
        await expect(page.locator("html")).to_have_attribute("lang", "zh-Hans")
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_nobody_with_a_machine_that_reads_aloud_is_left_out(parts: Parts) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="axe-playwright-python is not installed")
    now = datetime.now(UTC)
    await fill(parts, past(SUBJECT, now=now, hours=30))
    await parts.alerts.save(open_alert(1, at=now, subject=SUBJECT, name="Huasui Dairy"))
    await parts.subscriptions.put(Subscription(id="sub_1", name="desk", url="https://desk.example/h", keys=[new_key()]))
    await parts.notifier.test((await parts.subscriptions.all())[0], nonce="1")
    for theme in ("light", "dark"):
        async with visiting(parts, theme=theme) as visit:
            for path in [*PAGES, "/alerts/nonsense"]:
                await visit.page.goto(visit.address + path)
                found = await axe.Axe().run(visit.page)
                grave = [(item["id"], [node["html"][:200] for node in item["nodes"]][:3]) for item in found.response["violations"]]
                assert grave == [], (theme, path)
            visit.seen.errors.clear()  # that a page is not there


async def _noted(ran: list[str], dialog: Dialog) -> None:
    ran.append(dialog.message)
    await dialog.dismiss()


def _answering(value: Any) -> Any:
    async def answer() -> Any:
        return value

    return answer
