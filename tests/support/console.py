"""A console with something to see: open alerts, a past, documents, receivers; and a browser's part of signing in."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import httpx
from msgspec.structs import replace

from alerts.api.app import build_api
from alerts.api.parts import Parts
from opinion.records import Alert, AlertEvidence, AlertStatus, AlertWindow, ScoredDocument, Severity
from opinion.windows import Applied
from tests.support.api import TOKENS
from tests.support.records import NEGATIVE, NEUTRAL, POSITIVE, alert, scored

BROWSER = {"accept": "text/html,application/xhtml+xml", "accept-language": "en", "sec-fetch-site": "same-origin"}
SUBJECT = "entity:XDEM:HSRY"
PAGES = ["/", "/alerts/al_001", "/subjects", f"/subjects/{SUBJECT}", "/documents", "/sources", "/receivers", "/system"]
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>' onmouseover='alert(3)"
"""A text that tries to leave its place, as text and as an attribute."""


async def sign_in(client: httpx.AsyncClient, scope: str = "admin") -> str:
    """Sign the client in; the token that every form must carry."""
    answer = await client.post("/sign-in", data={"token": TOKENS[scope], "next": "/"})
    assert answer.status_code == 303, answer.text
    return csrf_of((await client.get("/")).text)


def csrf_of(page: str) -> str:
    """The token in the forms of a page."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def send(client: httpx.AsyncClient, path: str, *, csrf: str, values: Mapping[str, str] = {}, back: str = "/") -> httpx.Response:
    """A form of a page."""
    return await client.post(path, data={"csrf": csrf, "back": back, **values})


def open_alert(number: int, *, at: datetime, severity: Severity = Severity.HIGH, name: str = "", subject: str = "", **changes: Any) -> Alert:
    """Alert number N, on since `at`, with documents to show."""
    evidence = [
        AlertEvidence(
            doc_id=scored(number * 10 + place).document.doc_id,
            title=f"Regulator looks into company {number}: report {place} tells of recalls",
            url=f"https://news.example/{number}/{place}",
            publisher="news.example",
            published_at=at,
            lang="en",
            negative=0.93,
            story_size=3,
            why=["looks into", "recalls"],
            kind="news",
        )
        for place in range(5)
    ]
    window = AlertWindow(
        start_at=at - timedelta(hours=1), width_s=3600, total=58, negative=41, ratio=0.707, baseline_ratio=0.22, expected_negative=12.8,
        lift=3.2, p_value=1e-9, score=9.0, theta=4.2, stories=19, publishers=14, authors=20,
    )  # fmt: skip
    called = name or f"Company {number}"
    return alert(
        alert_id=f"al_{number:03d}", subject=subject or f"entity:XDEM:{number:04d}", subject_name=called, severity=severity,
        status=AlertStatus.FIRING, started_at=at, updated_at=at,
        evidence=evidence, window=window, rules_version="r1",
        summary=f"Negative opinion on {called} surged: 41 of 58 texts in the last 60 min were negative (71%, usual 22%, 3.2x), told by 14 publishers in 19 stories.",
        summary_zh=f"{called}的负面舆情激增：最近60分钟的58条文本中有41条为负面（占71%，平时22%，为平时的3.2倍），涉及14家发布方、19个独立报道。",
        **changes,
    )  # fmt: skip


def past(subject: str, *, now: datetime, hours: int, surge_h: int = 2, first: int = 0, per_hour: int = 12) -> list[ScoredDocument]:
    """Texts of some hours on a subject: a fifth negative, most of them in the last `surge_h`."""
    found = []
    for number in range(hours * per_hour):
        at = now - timedelta(hours=hours) + timedelta(hours=number / per_hour)
        surging = at >= now - timedelta(hours=surge_h)
        place = number % 10
        mood = (NEGATIVE if place < 7 else NEUTRAL) if surging else (NEGATIVE if place in (0, 5) else POSITIVE if place == 7 else NEUTRAL)
        item = scored(first + number, sentiment=mood, subjects=(subject, "topic:Macro"), title=f"Huasui Dairy {'recalls formula' if surging else 'reports'} {number}")
        found.append(replace(item, document=replace(item.document, published_at=at, fetched_at=at), event_at=at, scored_at=at, model="yuqing-base@1", backend="onnx"))
    return found


async def fill(parts: Parts, documents: list[ScoredDocument]) -> None:
    """Count documents and keep them."""
    await parts.windows.apply("scored-0", [Applied(offset, item) for offset, item in enumerate(documents)])
    await parts.archive.put(0, list(enumerate(documents)))


class Elements(HTMLParser):
    """What a browser would make of a page: tags with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def browser_of(parts: Parts) -> httpx.AsyncClient:
    """A client of the console over these parts, as a browser asks."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=build_api(parts)), base_url="http://console", headers=BROWSER)


def changed_parts(parts: Parts, **changes: Any) -> Parts:
    """The parts with some in place of others."""
    return dataclasses.replace(parts, **changes)


def answering(value: Any) -> Any:
    """A coroutine function that returns the value."""

    async def answer() -> Any:
        return value

    return answer
