"""The documentation as a site: built without a warning, asking no other host for anything, and read in a real browser."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="mkdocs is not installed")
pytest.importorskip("playwright.async_api", reason="playwright is not installed")

from playwright.async_api import expect

from tests.support.browser import CHROMIUM, Seen, browsing
from tests.support.fences import DOCS, ROOT
from tests.support.workers import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LOADING = {"img": "src", "script": "src", "iframe": "src", "source": "src", "link": "href"}
"""Elements that a browser fetches by itself, and where it is said from where; of links only these kinds."""
LINKED = {"stylesheet", "preconnect", "preload", "prefetch", "dns-prefetch", "icon", "shortcut icon", "modulepreload"}


class Loads(HTMLParser):
    """What a page has a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in LOADING and (tag != "link" or given.get("rel") in LINKED):
            self.found.append(given.get(LOADING[tag]) or "")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site, and what was said while it was built."""
    into = tmp_path_factory.mktemp("site")
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=150)
    assert done.returncode == 0, done.stderr
    return into, done.stdout + done.stderr


@pytest.fixture(scope="module")
def address(built: tuple[Path, str]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built[0])))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


def pages(site: Path) -> list[str]:
    return sorted(str(path.parent.relative_to(site)) for path in site.rglob("index.html"))


def test_it_is_built_without_a_warning_and_has_every_page(built: tuple[Path, str]) -> None:
    site, said = built
    assert re.findall(r"^(?:WARNING|ERROR).*", said, re.MULTILINE) == []
    written = {str(path.relative_to(DOCS)).removesuffix(".md") for path in DOCS.rglob("*.md")}
    assert set(pages(site)) == {"." if name == "index" else name for name in written}


def test_nothing_on_it_comes_from_another_host(built: tuple[Path, str]) -> None:
    site, _ = built
    for path in site.rglob("*.html"):
        parser = Loads()
        parser.feed(path.read_text(encoding="utf-8"))
        assert parser.found
        assert [address for address in parser.found if re.match(r"(?:[a-z]+:)?//", address)] == [], path
    for path in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", path.read_text(encoding="utf-8")) == [], path


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: `apt-get install chromium`")
async def test_every_page_is_drawn_without_a_word_of_complaint_and_fits_the_screen(built: tuple[Path, str], address: str) -> None:
    async with browsing() as context:
        page = await context.new_page()
        seen = Seen(address)
        seen.watch(page)
        for name in pages(built[0]):
            await page.goto(f"{address}/{name}/")
            await expect(page.locator("h1").first).to_be_visible()
            wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, name
    assert seen.errors == []
    assert seen.strangers == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: `apt-get install chromium`")
@pytest.mark.parametrize(("word", "page"), [("breaker", "Runbooks"), ("接收端", "快速上手"), ("yuqing_consumer_lag_records", "Metrics")])
async def test_a_word_of_either_language_is_found(address: str, word: str, page: str) -> None:
    async with browsing() as context:
        shown = await context.new_page()
        await shown.goto(address)
        await shown.locator("input[data-md-component=search-query]").click()
        await shown.keyboard.insert_text(word)
        result = shown.locator(".md-search-result__list").get_by_role("heading", name=page)

        async def found() -> bool:
            await shown.keyboard.press("End")  # the search listens to keys: what an input method writes alone goes unheard
            return await result.count() > 0

        await until(found, within_s=30)
