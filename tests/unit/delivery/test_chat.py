"""Chat messages as they go out, by what a service takes; what Apprise is kept from."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from datetime import timedelta
from typing import Any

import httpx
import pytest
from apprise import NotifyType

from alerts.channels import chat
from alerts.channels.channel import Message, Sender, checked
from alerts.channels.chat_text import MOST_BYTES, cut_bytes, escaped, inert
from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription
from opinion.errors import ConfigError, DeliveryBlocked, DeliveryError
from opinion.serving import TcpServer
from opinion.tasks import end
from tests.support.channel_stands import chat_target, http_receiver, subscription
from tests.support.notices import NOTICES, ended_alert, evidence, many_alerts, notice, whole_alert
from tests.support.receiver import Answer, Receiver

NTFY = "ntfys://topic"
GOOGLE_CHAT = "gchat://workspace/key/token"
TARGETS = {
    "dingtalk": "dingtalk://abcdefgh12345678",
    "discord": "discord://1234567890/abcdefghijklmnopqrstuvwxyz",
    "feishu": "feishu://abcdefgh12345678",
    "feishu card": "feishu://abcdefgh12345678?format=markdown",
    "google chat": GOOGLE_CHAT,
    "mattermost": "mmosts://mattermost.example/3ccdd113474722377935511fc85d3dd4",
    "ntfy": NTFY,
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
    "sms": "voipms://password:user@example.com/4165551234/4165551235",
    "telegram": "tgram://123456789:abcdefghijklmnop/12315544/",
    "teams": "workflows://host.example/workflow1a2b3c/signature",
    "wecom": "wecombot://abcdefgh12345678",
}

ENGLISH = """\
Negative opinion on Huasui Dairy surged: 41 of 58 texts in the last 60 min were negative (71%, usual 22%, 3.2x), told by 14 publishers in 19 stories.
Score 9.0 (p = 1.0e-09) · Trend +12.0 points/h (+5.0 to +19.0) · Since 2026-11-23 12:00 UTC
• Huasui Dairy recalls product 1 (news.example, 2026-11-23 11:55 UTC, told 7 times)
  https://news.example/1?a=1&b=2
• 华穗乳业召回婴幼儿配方奶粉 (news.example, 2026-11-23 11:50 UTC)
  https://news.example/2?a=1&b=2
• Huasui Dairy recalls product 3 (news.example, 2026-11-23 11:45 UTC)
  https://news.example/3?a=1&b=2
… 2 more
Console: https://yuqing.example/alerts/al_1"""
CHINESE = """\
Huasui Dairy的负面舆情激增：最近60分钟的58条文本中有41条为负面（占71%，平时22%，为平时的3.2倍），涉及14家发布方、19个独立报道。
显著性 9.0 (p = 1.0e-09) · 趋势 每小时+12.0个百分点（+5.0至+19.0） · 始于 2026-11-23 12:00 UTC
• Huasui Dairy recalls product 1 (news.example, 2026-11-23 11:55 UTC, 7次报道)
  https://news.example/1?a=1&b=2
• 华穗乳业召回婴幼儿配方奶粉 (news.example, 2026-11-23 11:50 UTC)
  https://news.example/2?a=1&b=2
• Huasui Dairy recalls product 3 (news.example, 2026-11-23 11:45 UTC)
  https://news.example/3?a=1&b=2
……另有2条
控制台：https://yuqing.example/alerts/al_1"""
MARKDOWN = """\
Negative opinion on Huasui Dairy has calmed after 2 h.

Score 9.0 (p = 1.0e-09) · Trend +12.0 points/h (+5.0 to +19.0) · Since 2026-11-23 12:00 UTC · Until 2026-11-23 14:00 UTC

- [Huasui Dairy recalls product 1](https://news.example/1?a=1&b=2) (news.example, 2026-11-23 11:55 UTC)

[Console](https://yuqing.example/alerts/al_1)"""


def desk(target: str = NTFY, language: str = "en") -> Subscription:
    return subscription("chat", language=language, options={"target": target})


def rendered(told: Notice, target: str = NTFY, language: str = "en") -> dict[str, Any]:
    found = json.loads(chat.render(told, desk(target, language)))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("language", "text"), [("en", ENGLISH), ("zh", CHINESE)])
def test_a_message_reads_so(language: str, text: str) -> None:
    assert rendered(NOTICES["first"], language=language)["body"] == text


def test_markdown_is_written_where_a_service_wants_it() -> None:
    found = rendered(notice(ended_alert(evidence=[evidence(1)])), GOOGLE_CHAT)
    assert (found["format"], found["body"]) == ("markdown", MARKDOWN)
    assert found["title"] == "\\[OVER\\] Huasui Dairy: negative opinion has calmed"


@pytest.mark.parametrize(("name", "kind"), [("first", "failure"), ("resolved", "success"), ("test", "info")])
def test_a_message_is_coloured_by_what_it_tells(name: str, kind: str) -> None:
    assert rendered(NOTICES[name])["kind"] == kind


def test_several_alerts_are_told_with_one_document_each() -> None:
    found = rendered(notice(*many_alerts(2)))
    assert found["title"] == "[HIGH] 2 on: Company 0, Company 1"
    assert found["body"].split("\n\n")[1].splitlines() == [
        "[HIGH] Company 1: negative opinion surged",
        ENGLISH.splitlines()[0],
        *ENGLISH.splitlines()[2:4],
        "Console: https://yuqing.example/alerts/al_1",
    ]


def test_of_a_crowd_the_number_that_is_left_out_is_told() -> None:
    lines = rendered(NOTICES["crowd"], TARGETS["wecom"])["body"].splitlines()
    assert lines[0] == "- [HIGH] Company 0: negative opinion surged"
    assert lines[-1] == f"… {500 - (len(lines) - 1)} more"
    assert len(lines) > 10


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
@pytest.mark.parametrize("language", ["en", "zh", "both"])
def test_a_message_is_within_what_the_service_takes(target: str, language: str) -> None:
    """In bytes, which is what WeCom and Feishu count; in the form that the service gets, as far as Apprise makes it before it sends."""
    held = checked(desk(target, language))
    plugin = chat._plugin(held)
    for told in NOTICES.values():
        found = json.loads(chat.render(told, held))
        title, body = found["title"].encode(), found["body"].encode()
        assert len(body) <= MOST_BYTES
        apart = plugin.title_maxlen > 0 and not plugin.overflow_amalgamate_title
        assert len(body) + (0 if apart else len(title)) <= plugin.body_maxlen
        assert len(title) <= (plugin.title_maxlen or plugin.body_maxlen)


def test_nobody_is_called_and_no_link_is_of_somebodys_making() -> None:
    body = rendered(NOTICES["hostile"], TARGETS["discord"])["body"]
    assert "@everyone" not in body
    assert "<" not in body
    assert "](" not in body
    markdown = rendered(NOTICES["hostile"], GOOGLE_CHAT)["body"]
    assert "](https://evil.example)" not in markdown
    assert "](https://news.example/2?a=1&b=2)" in markdown


@pytest.mark.parametrize("text", ["@all", "a@b.example", "[x](y)", "plain 文字 😀", "<a href='x'>y</a> 5 > 3"])
def test_inert_text_reads_the_same(text: str) -> None:
    assert inert(text).replace("\u200b", "").replace("‹", "<").replace("›", ">") == text


@pytest.mark.parametrize(
    ("text", "markdown"), [("# no heading", "\u200b# no heading"), ("1. no list", "\u200b1. no list"), ("a_b *c* [d] `e` \\", "a\\_b \\*c\\* \\[d\\] \\`e\\` \\\\")]
)
def test_markdown_is_escaped_where_it_must_be(text: str, markdown: str) -> None:
    assert escaped(text) == markdown


@pytest.mark.parametrize("most", range(3, 20))
def test_a_cut_ends_between_characters(most: int) -> None:
    found = cut_bytes("负面😀舆情 surged", most)
    assert len(found.encode()) <= most
    assert found.endswith("…")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "hush",
        "hush://hush",
        "feishu://",
        "mailto://hush:hush@example.com",
        "syslog://",
        "xmpp://hush:hush@example.com",
        "https://example.com/hush",
        "ntfy://hush\n",
        "file:///etc/hush",
    ],
)
def test_targets_that_cannot_work_are_refused_and_not_shown(target: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(desk(target))
    for said in (str(caught.value), caplog.text, *capfd.readouterr()):
        assert "hush" not in said


def test_native_addresses_of_services_are_taken() -> None:
    for target in ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=abcdefgh12345678"):
        checked(desk(target))


def test_apprise_keeps_nothing_and_tries_once() -> None:
    plugin = chat._plugin(desk("ntfys://topic?retry=5"))
    assert not plugin.redirects
    assert plugin.asset.storage_mode.value == "memory"
    assert plugin.image_url(NotifyType.INFO) is None


def test_nothing_is_loaded_before_there_is_a_chat() -> None:
    script = "import sys; from alerts.channels.channel import all_channels; all_channels(); sys.exit('apprise' in sys.modules or 'requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0


async def deliver(target: str, told: Notice = NOTICES["first"], *, allow_private: bool = True, timeout_s: float = 5.0) -> DeliveryError | None:
    held = desk(target)
    async with httpx.AsyncClient() as client:
        message = Message(id="msg", body=chat.render(told, held), at=told.at + timedelta(seconds=1))
        try:
            await chat.send(Sender(client, allow_private=allow_private, timeout_s=timeout_s), held, message)
        except DeliveryError as error:
            return error
    return None


async def test_a_service_gets_title_body_and_colour() -> None:
    async with Receiver() as receiver:
        assert await deliver(chat_target(receiver, "json")) is None
    (found,) = receiver.received
    body = json.loads(found.body)
    assert (body["title"], body["message"], body["type"]) == ("[HIGH] Huasui Dairy: negative opinion surged", ENGLISH, "failure")
    assert body["attachments"] == []


async def test_one_try_is_one_request() -> None:
    async with http_receiver("failing") as receiver:
        error = await deliver(chat_target(receiver, "ntfy") + "?retry=5&wait=0.1")
        assert str(error) == "ntfy answered 500"
        assert len(receiver.received) == 1


async def test_a_redirect_is_not_followed() -> None:
    async with Receiver() as elsewhere, Receiver(Answer(302, {"location": elsewhere.url})) as receiver:
        assert await deliver(chat_target(receiver, "ntfy") + "?redirect=yes") is not None
        assert elsewhere.received == []


async def test_a_private_address_behind_a_name_is_not_called() -> None:
    async with Receiver() as receiver:
        error = await deliver(chat_target(receiver, "ntfy").replace("127.0.0.1", "localhost"), allow_private=False)
    assert type(error) is DeliveryBlocked
    assert str(error) == "ntfy may not be called: it resolves to a private or reserved address"


async def test_a_receiver_that_drips_is_left_and_its_thread_is_free_again() -> None:
    connected, left = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        connected.release()
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            left.release()

    server = TcpServer(drip)
    (port,) = (await server.start("127.0.0.1")).values()
    target = f"ntfy://127.0.0.1:{port}/topic"
    tries = [asyncio.create_task(deliver(target, timeout_s=60)) for _ in range(chat.MOST_AT_ONCE)]
    async with asyncio.timeout(30), Receiver() as receiver:
        for _ in tries:
            await connected.acquire()
        await end(*tries)
        for _ in tries:
            await left.acquire()
        assert await deliver(chat_target(receiver, "ntfy")) is None
    await server.stop()


async def test_messages_wait_for_a_thread() -> None:
    async with Receiver() as receiver:
        told = notice(whole_alert(evidence=[]))
        assert await asyncio.gather(*(deliver(chat_target(receiver, "json"), told) for _ in range(3 * chat.MOST_AT_ONCE))) == [None] * 3 * chat.MOST_AT_ONCE
        assert len(receiver.received) == 3 * chat.MOST_AT_ONCE
