"""A real browser on a console that is really served; Debian's chromium, driven by playwright."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import BrowserContext, ConsoleMessage, Page, Request, async_playwright

from alerts.api.parts import Parts
from opinion.codec import encode
from opinion.records import Alert
from tests.support.api import TOKENS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
"""A container has no sandbox of its own kind and little shared memory; a browser that asks its maker for news is no witness of what our pages ask."""
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@dataclass
class Seen:
    """What a browser saw that it should not."""

    address: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        """Note errors in a page, and requests to others than ourselves."""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.strangers.append(request.url)


@asynccontextmanager
async def browsing(*, theme: str = "light", phone: bool = False, lang: str = "en-GB", zone: str = "UTC") -> AsyncIterator[BrowserContext]:
    """A browser without a past."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield await browser.new_context(
                viewport=PHONE if phone else DESK,  # type: ignore[arg-type]
                color_scheme="dark" if theme == "dark" else "light",
                locale=lang,
                timezone_id=zone,
                device_scale_factor=1,
            )
        finally:
            await browser.close()


async def sign_in(page: Page, address: str, *, scope: str = "admin") -> None:
    """Sign in as a person does."""
    await page.goto(f"{address}/sign-in")
    await page.fill("#token", TOKENS[scope])
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".live[data-state=on]")


def happens(parts: Parts, alert: Alert, *, offset: int) -> None:
    """Tell listeners of an alert, as its log does."""
    parts.live.take(0, offset, encode(alert))
