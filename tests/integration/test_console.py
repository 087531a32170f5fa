from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from msgspec.structs import replace

from alerts.api.parts import Parts
from alerts.console import now as now_page
from alerts.history import history
from opinion.explaining import Question
from opinion.names import Names
from opinion.records import AlertStatus, Lane, ScoredDocument, Severity
from opinion.redis_client import connect
from tests.support.api import api_parts
from tests.support.console import PAGES, SUBJECT, Elements, answering, browser_of, changed_parts, fill, open_alert, past, send, sign_in
from tests.support.receiver import Receiver
from tests.support.records import alert, scored

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_every_page_is_there_in_both_languages(browser: httpx.AsyncClient, parts: Parts, lang: str) -> None:
    now = datetime.now(UTC)
    documents = past(SUBJECT, now=now, hours=30)
    await fill(parts, documents)
    await parts.alerts.save(open_alert(1, at=now, subject=SUBJECT, name="Huasui Dairy"))
    await sign_in(browser)
    for path in [*PAGES, f"/documents/{documents[-1].document.doc_id}", f"/subjects/{SUBJECT}?span=1h", f"/subjects/{SUBJECT}?span=30d"]:
        answer = await browser.get(path, params={"lang": lang} | dict(httpx.QueryParams(path.partition("?")[2])))
        assert answer.status_code == 200, (path, answer.text[:2000])
        assert f'lang="{"zh-Hans" if lang == "zh" else "en"}"' in answer.text
        assert ("退出" if lang == "zh" else "Sign out") in answer.text
    assert ("激增" if lang == "zh" else "surged") in (await browser.get("/")).text, "the language is remembered"


async def test_the_worst_and_newest_alert_stands_first(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC)
    severities = [Severity.WARNING, Severity.CRITICAL, Severity.HIGH, Severity.CRITICAL]
    for number, severity in enumerate(severities):
        await parts.alerts.save(open_alert(number, at=now + timedelta(seconds=number), severity=severity))
    await parts.alerts.save(replace(open_alert(9, at=now), status=AlertStatus.RESOLVED, ended_at=now))
    await sign_in(browser)
    cards = [item["id"] for item in Elements((await browser.get("/")).text).of("article")]
    assert cards == ["al_003", "al_001", "al_002", "al_000"]


async def test_an_alert_is_taken_on_silenced_and_called_false_from_its_card(browser: httpx.AsyncClient, parts: Parts) -> None:
    await parts.alerts.save(open_alert(1, at=datetime.now(UTC), subject='topic:M&A | "Investments"', name="M&A"))
    csrf = await sign_in(browser, "operate")
    buttons = [str(item["formaction"]) for item in Elements((await browser.get("/")).text).of("button") if "formaction" in item]
    assert [path.rpartition("/")[2] for path in buttons] == ["ack", "silence", "false"]
    for path, said in zip(buttons, ["acknowledged", "silenced", "judged"], strict=True):
        answer = await send(browser, path, csrf=csrf, back="/?lang=en")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/?lang=en&said={said}")
    page = (await browser.get(answer.headers["location"])).text
    for words in ("taken on by operate", "silenced until", "called false by 1", "the ranking learns from it"):
        assert words in page
    (silence,) = await parts.silences.all()
    assert silence.matchers == ['subject="topic:M&A | \\"Investments\\""']
    assert silence.ends_at - silence.starts_at == timedelta(hours=2)
    found = await parts.alerts.get("al_001")
    assert found is not None
    assert found.acknowledged_by == "operate"
    kept = [msgspec.json.decode(row) for row in await parts.redis.lrange(parts.names.feedback, 0, -1)]
    assert [(row["verdict"], row["by"]) for row in kept] == [("false", "operate")]


async def test_what_is_over_cannot_be_taken_on_and_says_so_on_a_page(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC)
    await parts.alerts.save(alert(alert_id="al_001", status=AlertStatus.RESOLVED, ended_at=now, updated_at=now))
    csrf = await sign_in(browser)
    answer = await send(browser, "/alerts/al_001/ack", csrf=csrf)
    assert (answer.status_code, answer.headers["content-type"]) == (409, "text/html; charset=utf-8")
    assert "al_001 ended at" in answer.text


async def test_a_point_of_the_chart_leads_to_just_its_documents(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    await fill(parts, past(SUBJECT, now=now, hours=26))
    await sign_in(browser)
    for span, steps, texts in (("24h", 48, 6), ("7d", 9, 36)):
        page = Elements((await browser.get(f"/subjects/{SUBJECT}?span={span}")).text)
        points = [str(link["href"]) for link in page.of("a") if link.get("tabindex") == "-1" and str(link["href"]).startswith("/documents?")]
        assert abs(len(points) - steps) <= 1
        rows = Elements((await browser.get(points[5])).text)
        assert len([row for row in rows.of("tr") if "data-row" in row]) == texts


async def test_coarse_and_fine_steps_count_the_same(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC).replace(minute=30, second=0, microsecond=0)
    await fill(parts, past(SUBJECT, now=now, hours=26))
    span = {"since": now - timedelta(hours=24), "until": now, "now": now}
    fine, coarse = [await history(parts.windows, SUBJECT, step_s=step_s, **span) for step_s in (900, 3600)]
    by_hour = Counter[str]()
    for point in fine:
        by_hour[point["at"][:13]] += point["total"]
    inner = {point["at"][:13]: point["total"] for point in coarse}
    assert list(inner.values())[1:-1] == [12] * 23
    assert {hour: by_hour[hour] for hour in list(inner)[1:-1]} == {hour: inner[hour] for hour in list(inner)[1:-1]}


async def test_documents_are_found_by_what_the_form_asks_for(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC)
    await fill(parts, past(SUBJECT, now=now, hours=4))
    await sign_in(browser)
    empty = {"q": "", "subject": "", "sentiment": "", "lang": "", "kind": "", "source": "", "since": "", "until": ""}
    for asked, count in (({}, 48), ({"sentiment": "positive"}, 2), ({"q": "recalls"}, 24), ({"kind": "social"}, 0), ({"subject": SUBJECT, "lang": "en"}, 48)):
        page = Elements((await browser.get("/documents", params=empty | asked)).text)
        assert len([row for row in page.of("tr") if "data-row" in row]) == count, asked


async def test_a_document_shows_the_words_that_decided_and_takes_a_correction(browser: httpx.AsyncClient, parts: Parts) -> None:
    item = scored(1, title="Huasui Dairy recalls formula")
    await fill(parts, [item])
    await parts.redis.set(parts.names.explanation(_question_key(item)), msgspec.json.encode(["recalls"]))
    csrf = await sign_in(browser, "operate")
    path = f"/documents/{item.document.doc_id}"
    assert "Huasui Dairy <mark>recalls</mark> formula" in (await browser.get(path)).text
    assert (await send(browser, f"{path}/label", csrf=csrf, values={"sentiment": "neutral"}, back=path)).headers["location"] == f"{path}?said=corrected"
    assert (await send(browser, f"{path}/label", csrf=csrf, values={"sentiment": "awful"}, back=path)).status_code == 422
    (kept,) = [msgspec.json.decode(row) for row in await parts.redis.lrange(parts.names.feedback, 0, -1)]
    assert (kept["doc_id"], kept["verdict"], kept["correct"], kept["by"]) == (item.document.doc_id, "wrong_sentiment", "neutral", "operate")


async def test_a_receiver_is_added_tested_rotated_switched_off_and_removed(browser: httpx.AsyncClient, parts: Parts) -> None:
    csrf = await sign_in(browser)
    async with Receiver() as receiver:
        made = await send(browser, "/receivers", csrf=csrf, values={"name": "desk", "url": receiver.url, "subjects": "topic:*\nentity:*", "severity": "high", "language": "zh"})
        (held,) = await parts.subscriptions.all()
        assert held.keys[0] in made.text
        assert (held.match.subjects, held.match.severity_at_least, held.language) == (["topic:*", "entity:*"], Severity.HIGH, "zh")
        assert "whsec_" not in (await browser.get("/receivers")).text
        assert (await send(browser, f"/receivers/{held.id}/test", csrf=csrf, back="/receivers")).headers["location"] == "/receivers?said=test_sent"
        (delivery,) = (await parts.queue.page(limit=5)).deliveries
        assert (await send(browser, f"/deliveries/{delivery.delivery_id}/retry", csrf=csrf, back="/receivers")).status_code == 303
        fresh = await send(browser, f"/receivers/{held.id}/rotate", csrf=csrf)
        (rotated,) = await parts.subscriptions.all()
        assert rotated.keys[0] in fresh.text
        assert rotated.keys[1] == held.keys[0]
        await send(browser, f"/receivers/{held.id}/disable", csrf=csrf)
        assert not (await parts.subscriptions.all())[0].enabled
        assert (await send(browser, f"/receivers/{held.id}/test", csrf=csrf)).status_code == 409
        await send(browser, f"/receivers/{held.id}/remove", csrf=csrf)
        assert await parts.subscriptions.all() == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "", "url": "https://a.example"}, "name"),
        ({"name": "a", "url": "ftp://a.example"}, "url"),
        ({"name": "a", "channel": "pigeon"}, "pigeon"),
        ({"name": "a", "url": "https://a.example", "options": "secret-without-a-name"}, "line 1"),
        ({"name": "a", "url": "https://a.example", "severity": "bad"}, "severity"),
    ],
)
async def test_a_wrong_receiver_says_what_is_wrong(browser: httpx.AsyncClient, parts: Parts, values: dict[str, str], words: str) -> None:
    answer = await send(browser, "/receivers", csrf=await sign_in(browser), values=values)
    assert answer.status_code in (409, 422)
    assert words in answer.text
    assert "secret-without-a-name" not in answer.text
    assert await parts.subscriptions.all() == []


async def test_blindness_is_told_with_its_reason(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC)
    await sign_in(browser)
    lost = {"state": "silent", "polled_at": now.isoformat()}
    new = {"state": "waiting", "polled_at": now.isoformat()}
    good = {"state": "ok", "polled_at": now.isoformat()}
    seen = {"watermark": now.isoformat(), "blind": [], "behind": 0}
    for status, sources, words in (
        (seen | {"blind": ["yuqing.scored.v1-0"]}, {"a": good}, "No worker is alive on 1 partitions"),
        (seen | {"watermark": None}, {"a": good}, "nothing is being watched"),
        (seen, {"a": lost, "b": lost}, "None of 2 sources brings anything."),
        (
            seen,
            {"a": lost, "b": new | {"last_error": "https://b.example/: <b> does not resolve"}},
            "None of 2 sources brings anything, for example b: https://b.example/: &lt;b&gt; does not",
        ),
        (seen, {"a": lost, "b": good}, "Nothing comes from 1 of 2 sources: a"),
        (seen, {"a": good | {"polled_at": (now - timedelta(hours=1)).isoformat()}}, "None of 1 sources brings anything."),
        (seen | {"watermark": (now - timedelta(minutes=30)).isoformat()}, {"a": good}, "complete only until 30 min ago"),
        (seen, {"a": good}, "Eyes open"),
    ):
        async with browser_of(changed_parts(parts, status=answering(status), sources=answering(sources))) as other:
            other.cookies.update(browser.cookies)
            page = (await other.get("/")).text
        assert words in page
        assert ("No alert is on, but" in page) == ("sources: a" not in words and "complete" not in words and "Eyes" not in words)


async def test_sources_that_fell_silent_stand_apart_from_opinions(browser: httpx.AsyncClient, parts: Parts) -> None:
    now = datetime.now(UTC)
    await parts.alerts.save(open_alert(1, at=now))
    await parts.alerts.save(replace(open_alert(2, at=now, subject="source:reuters", name="reuters"), lane=Lane.SOURCE, evidence=[]))
    await sign_in(browser)
    page = (await browser.get("/")).text
    assert page.index("al_001") < page.index("Sources and languages that fell silent") < page.index("al_002")
    assert (await browser.get("/alerts/al_002")).status_code == 200


async def test_assets_are_kept_for_ever_under_their_own_address_and_asked_again_under_another(browser: httpx.AsyncClient) -> None:
    page = Elements((await browser.get("/sign-in")).text)
    for path in [str(page.of("script")[0]["src"]), *(str(link["href"]) for link in page.of("link"))]:
        answer = await browser.get(path)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        again = await browser.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await browser.get(path.partition("?")[0])).headers["cache-control"] == "no-cache"
    assert (await browser.get("/static/..%2fwords.py")).status_code == 404
    assert (await browser.get("/static/words.py")).status_code == 404


async def test_without_redis_a_page_says_so_and_strangers_are_not_told_where_it_is(parts: Parts) -> None:
    away = connect("redis://127.0.0.1:1")
    async with browser_of(changed_parts(parts, redis=away)) as client:
        answer = await client.get("/")
    await away.aclose()
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "does not answer" in answer.text
    assert "127.0.0.1" not in answer.text


async def test_who_listens_is_asked_again_who_they_are(browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(now_page, "LISTEN_S", -1.0)
    await sign_in(browser)
    answer = await browser.get("/live")
    assert (answer.text, answer.headers["cache-control"]) == ("retry: 3000\n\n", "no-store")


async def test_pages_take_their_part_of_what_a_token_may_ask(redis_url: str, names: Names, tmp_path: Path) -> None:
    async with api_parts(redis_url, names, tmp_path, rate_per_min=3) as parts, browser_of(parts) as client:
        await sign_in(client, "read")
        answers = [await client.get("/system") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "retry-after" in answers[-1].headers


def _question_key(item: ScoredDocument) -> str:
    document = item.document
    return Question(doc_id=document.doc_id, title=document.title, text=document.text, kind=document.kind.value, lang=document.lang).key
