"""Who may see and do what in the console, and that hostile texts stay texts."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest
from msgspec.structs import replace

from alerts.api.access import Access
from alerts.api.parts import Parts
from opinion.records import AlertEvidence, EntityMention
from tests.support.api import TOKENS
from tests.support.console import HOSTILE, PAGES, SUBJECT, Elements, answering, browser_of, changed_parts, csrf_of, fill, open_alert, past, send, sign_in
from tests.support.records import NEGATIVE, alert, scored

pytestmark = pytest.mark.integration

POSTS = [
    "/sign-out", "/alerts/al_001/ack", "/alerts/al_001/note", "/alerts/al_001/mute", "/alerts/al_001/unmute", "/alerts/al_001/true", "/alerts/al_001/false",
    f"/subjects/{SUBJECT}/silence", "/silences/sil_1/end", "/documents/feed:1/label", "/deliveries/msg_1/retry",
    "/receivers", "/receivers/sub_1/rotate", "/receivers/sub_1/test", "/receivers/sub_1/enable", "/receivers/sub_1/disable", "/receivers/sub_1/remove",
]  # fmt: skip


async def test_who_has_not_signed_in_is_asked_to_and_comes_back(browser: httpx.AsyncClient) -> None:
    for path in [*PAGES, "/live"]:
        answer = await browser.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/sign-in?next=%2F")
    wrong = await browser.post("/sign-in", data={"token": "wrong", "next": "/sources"})
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    right = await browser.post("/sign-in", data={"token": TOKENS["read"], "next": "/sources"})
    assert right.headers["location"] == "/sources"
    cookie = right.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"))
    assert TOKENS["read"] not in cookie
    assert (await browser.get("/sources")).status_code == 200
    evil = await browser.post("/sign-in", data={"token": TOKENS["read"], "next": "//evil.example"})
    assert evil.headers["location"] == "/"


async def test_a_link_in_a_message_needs_no_second_sign_in(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/alerts/al_001", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert answer.status_code == 200
    assert 'content="0; url=/alerts/al_001"' in answer.text


async def test_a_session_ends_when_it_is_signed_out_of_and_when_its_token_is_taken_away(browser: httpx.AsyncClient, parts: Parts) -> None:
    csrf = await sign_in(browser, "operate")
    held = dict(browser.cookies)
    assert (await send(browser, "/sign-out", csrf=csrf)).headers["location"] == "/sign-in"
    browser.cookies.update(held)
    assert (await browser.get("/")).status_code == 303, "the id alone is worth nothing any more"
    browser.cookies.clear()
    await sign_in(browser, "operate")
    async with browser_of(changed_parts(parts, access=Access(TOKENS["admin"]))) as other:
        other.cookies.update(browser.cookies)
        assert (await other.get("/")).status_code == 303


async def test_nothing_in_redis_is_the_token_or_the_cookie(browser: httpx.AsyncClient, parts: Parts) -> None:
    await sign_in(browser, "operate")
    cookie = browser.cookies["yuqing_session"]
    (key,) = [key async for key in parts.redis.scan_iter(parts.names.console_session("*"))]
    kept = key + await parts.redis.get(key)
    assert cookie.encode() not in kept
    assert TOKENS["operate"].encode() not in kept
    assert 43_000 < await parts.redis.ttl(key) <= 43_200


async def test_programs_still_find_json_at_the_root(browser: httpx.AsyncClient) -> None:
    for accept in ("application/json", "*/*"):
        assert (await browser.get("/", headers={"accept": accept})).json()["name"] == "Yuqing"


async def test_every_form_needs_its_token_and_our_own_pages(browser: httpx.AsyncClient) -> None:
    csrf = await sign_in(browser)
    for path in POSTS:
        for values in ({}, {"csrf": ""}, {"csrf": "."}, {"csrf": csrf[:-1]}, {"csrf": "x" + csrf}, {"csrf": csrf.partition(".")[2]}):
            assert (await browser.post(path, data=values)).status_code in (403, 415), path
        assert (await browser.post(path, data={"csrf": csrf}, headers={"sec-fetch-site": "cross-site"})).status_code == 403, path
        assert (await browser.post(path, json={"csrf": csrf})).status_code == 415, path
    assert (await browser.post("/sign-out", data={"csrf": csrf, "x": "x" * 70_000})).status_code == 413
    assert (await browser.get("/")).status_code == 200


async def test_a_form_of_another_session_is_refused_and_no_two_pages_hold_the_same_token(browser: httpx.AsyncClient, parts: Parts) -> None:
    theirs = await sign_in(browser)
    assert csrf_of((await browser.get("/")).text) != theirs
    async with browser_of(parts) as other:
        await sign_in(other)
        assert (await send(other, "/sign-out", csrf=theirs)).status_code == 403
    assert (await send(browser, "/sign-out", csrf=theirs)).status_code == 303, "older pages of the session still work"


async def test_pages_are_compressed_for_browsers_that_read_that(browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    small, plain = await browser.get("/receivers"), await browser.get("/receivers", headers={"accept-encoding": "identity"})
    assert small.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(small.headers["content-length"]) < len(plain.content) / 2
    assert "Accept-Language" in small.headers["vary"]


async def test_who_may_only_read_can_do_nothing_and_who_operates_changes_no_receivers(browser: httpx.AsyncClient) -> None:
    csrf = await sign_in(browser, "read")
    for path in POSTS[1:]:
        assert (await send(browser, path, csrf=csrf)).status_code == 403, path
    csrf = await sign_in(browser, "operate")
    for path in ("/receivers", *(f"/receivers/sub_1/{verb}" for verb in ("rotate", "enable", "disable", "remove"))):
        assert (await send(browser, path, csrf=csrf)).status_code == 403, path
    assert (await send(browser, "/receivers/sub_1/test", csrf=csrf)).status_code == 404


async def test_every_answer_has_the_headers_that_keep_hostile_texts_harmless(browser: httpx.AsyncClient) -> None:
    await sign_in(browser)
    for path in ["/sign-in", *PAGES, "/documents?since=nonsense"]:
        headers = (await browser.get(path)).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert all(f"{part} 'none'" in policy for part in ("frame-ancestors", "base-uri"))
        assert (headers["x-content-type-options"], headers["referrer-policy"], headers["cache-control"]) == ("nosniff", "same-origin", "no-store")


async def test_no_page_holds_inline_script_or_style_or_asks_another_host(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC)
    await fill(parts, past(SUBJECT, now=now, hours=3))
    await parts.alerts.save(open_alert(1, at=now, subject=SUBJECT))
    await sign_in(browser)
    for path in ["/sign-in", *PAGES]:
        page = Elements((await browser.get(path)).text)
        for tag, attributes in page.tags:
            assert tag not in ("style", "iframe", "object", "embed", "base")
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            if tag == "script":
                assert str(attributes["src"]).startswith("/static/")
            if tag in ("img", "link", "script", "form"):
                assert all(str(attributes.get(name) or "/").startswith("/") for name in ("src", "href", "action", "formaction")), (path, tag, attributes)


async def test_a_hostile_document_stays_text_wherever_it_is_shown(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC)
    base = scored(1, sentiment=NEGATIVE, subjects=(SUBJECT,))
    document = replace(base.document, title=HOSTILE, text=HOSTILE, publisher=HOSTILE, url="javascript:alert(4)", canonical_url=None, lang=HOSTILE, source=HOSTILE[:50])
    mention = EntityMention(HOSTILE, HOSTILE, 1.0, NEGATIVE)
    hostile = replace(base, document=document, event_at=now, entities=[mention], topic=HOSTILE, topics={HOSTILE: 1.0}, model=HOSTILE, backend=HOSTILE, story_id="st_1")
    await fill(parts, [hostile, *past(SUBJECT, now=now, hours=1, first=10)])
    shown = AlertEvidence(
        doc_id=document.doc_id,
        title=HOSTILE,
        url='https://x.example/"onmouseover="alert(5)',
        publisher=HOSTILE,
        published_at=now,
        lang=HOSTILE,
        negative=0.9,
        story_size=2,
        why=[HOSTILE],
    )
    await parts.alerts.save(
        alert(alert_id="al_001", subject=SUBJECT, subject_name=HOSTILE, summary=HOSTILE, summary_zh=HOSTILE, evidence=[shown], rules_version=HOSTILE, started_at=now)
    )
    await parts.redis.hset(parts.names.subject_names, SUBJECT, HOSTILE)
    csrf = await sign_in(browser)
    await send(browser, "/alerts/al_001/note", csrf=csrf, values={"note": HOSTILE})
    await send(browser, f"/subjects/{SUBJECT}/silence", csrf=csrf, values={"note": HOSTILE})
    await send(browser, "/receivers", csrf=csrf, values={"name": HOSTILE[:90], "url": "https://desk.example/h"})
    health = {"state": "broken", "polled_at": now.isoformat(), "url": "javascript:alert(6)", "last_error": HOSTILE, "langs": {HOSTILE: now.isoformat()}}
    parts = changed_parts(parts, sources=answering({HOSTILE: health}))
    async with browser_of(parts) as other:
        other.cookies.update(browser.cookies)
        paths = [
            *PAGES,
            f"/documents/{document.doc_id}",
            "/documents?q=" + httpx.QueryParams({"q": HOSTILE})["q"][:90],
            "/subjects/entity:" + "%3Cscript%3Ealert(7)",
            "/alerts/%3Cscript%3E",
        ]
        texts = ""
        for path in paths:
            answer = await other.get(path)
            assert answer.status_code in (200, 404), path
            page = Elements(answer.text)
            texts += page.text
            assert len(page.of("script")) == 1, path
            assert not page.of("img"), path
            for tag, attributes in page.tags:
                assert not [name for name in attributes if name.startswith("on")], (path, tag, attributes)
                for name in ("href", "src", "action", "formaction"):
                    assert not str(attributes.get(name) or "").lower().startswith(("javascript:", "data:")), (path, tag)
        assert texts.count(HOSTILE) >= 6, "it is shown, as text"


async def test_links_out_of_the_console_tell_nothing_of_it(browser: httpx.AsyncClient, parts: Parts) -> None:
    await parts.alerts.save(open_alert(1, at=datetime.now(UTC)))
    await sign_in(browser)
    out = [link for link in Elements((await browser.get("/")).text).of("a") if str(link["href"]).startswith("http")]
    assert len(out) == 3
    assert {link["rel"] for link in out} == {"noopener noreferrer nofollow"}
