"""E-mails as they go out: the text itself, in both languages; what nobody may put into them; how a server's answers are taken."""

from __future__ import annotations

import re
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser

import httpx
import pytest

from alerts.channels import email
from alerts.channels.channel import Message, Sender, checked
from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription
from opinion.errors import ConfigError, DeliveryBlocked, DeliveryError, DeliveryRateLimited, DeliveryRefused, DeliveryUnavailable
from tests.support.channel_stands import subscription
from tests.support.notices import DISABLED, HOSTILE, NOTICES, TEST, ended_alert, evidence, many_alerts, notice, whole_alert
from tests.support.records import NOON
from tests.support.smtp_server import TLS, MailServer

OPTIONS = {"host": "127.0.0.1", "security": "none", "from": "Yuqing 舆情 <alerts@yuqing.example>", "to": "one@desk.example, Two <two@desk.example>"}

ENGLISH = """\
[HIGH] Huasui Dairy: negative opinion surged

Negative opinion on Huasui Dairy surged: 41 of 58 texts in the last 60 min were negative (71%, usual 22%, 3.2x), told by 14 publishers in 19 stories.

Negative: 41 of 58 (71%, usual 22%, 3.2x)
Window: 60 min from 2026-11-23 11:00 UTC; 19 stories, 14 publishers, 20 authors
Score: 9.0 (p = 1.0e-09)
Trend: +12.0 points/h (+5.0 to +19.0)
Since: 2026-11-23 12:00 UTC

Documents:
1. Huasui Dairy recalls product 1 (news.example, 2026-11-23 11:55 UTC, told 7 times)
   https://news.example/1?a=1&b=2
2. 华穗乳业召回婴幼儿配方奶粉 (news.example, 2026-11-23 11:50 UTC)
   https://news.example/2?a=1&b=2

Open in the console: https://yuqing.example/alerts/al_1

--\x20
yuqing · desk
"""
CHINESE = """\
[高风险] Huasui Dairy：负面舆情激增

Huasui Dairy的负面舆情激增：最近60分钟的58条文本中有41条为负面（占71%，平时22%，为平时的3.2倍），涉及14家发布方、19个独立报道。

负面：58条中41条（71%，平时22%，3.2倍）
窗口：自2026-11-23 11:00 UTC起60分钟；19个报道、14家发布方、20位作者
显著性：9.0 (p = 1.0e-09)
趋势：每小时+12.0个百分点（+5.0至+19.0）
始于：2026-11-23 12:00 UTC

相关文章：
1. Huasui Dairy recalls product 1 (news.example, 2026-11-23 11:55 UTC, 7次报道)
   https://news.example/1?a=1&b=2
2. 华穗乳业召回婴幼儿配方奶粉 (news.example, 2026-11-23 11:50 UTC)
   https://news.example/2?a=1&b=2

在控制台中查看：https://yuqing.example/alerts/al_1

--\x20
yuqing · desk
"""


def desk(language: str = "en", **options: str) -> Subscription:
    return subscription("email", language=language, options=OPTIONS | options)


def rendered(told: Notice, language: str = "en", **options: str) -> EmailMessage:
    found = message_from_bytes(email.render(told, desk(language, **options)), policy=default)
    assert isinstance(found, EmailMessage)
    return found


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def two_documents() -> Notice:
    return notice(whole_alert(evidence=[evidence(1, story_size=7), evidence(2, title="华穗乳业召回婴幼儿配方奶粉", lang="zh-Hans")]))


class Shown(HTMLParser):
    """What a person sees of a page, and where its links lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


@pytest.mark.parametrize(("language", "text"), [("en", ENGLISH), ("zh", CHINESE)])
def test_the_plain_body_reads_so(language: str, text: str) -> None:
    assert part(rendered(two_documents(), language), "plain") == text


@pytest.mark.parametrize(("language", "text"), [("en", ENGLISH), ("zh", CHINESE)])
def test_the_html_body_says_the_same(language: str, text: str) -> None:
    shown = Shown(part(rendered(two_documents(), language), "html"))
    lines = [line for line in re.split(r"\n|：|: ", shown.text) if line.strip()]
    for said in ("41", "12:00", "华穗乳业召回婴幼儿配方奶粉"):
        assert any(said in line for line in lines)
    sentence = text.splitlines()[2]
    assert sentence in shown.text
    assert shown.links == ["https://news.example/1?a=1&b=2", "https://news.example/2?a=1&b=2", "https://yuqing.example/alerts/al_1"]


@pytest.mark.parametrize(
    ("name", "language", "subject"),
    [
        ("first", "en", "[HIGH] Huasui Dairy: negative opinion surged"),
        ("first", "both", "[HIGH · 高风险] Huasui Dairy: negative opinion surged · 负面舆情激增"),
        ("updated", "en", "[HIGH] Huasui Dairy: negative opinion grew more severe"),
        ("acknowledged", "zh", "[高风险] Huasui Dairy：已确认"),
        ("repeat", "en", "[HIGH] Huasui Dairy: negative opinion is still high"),
        ("resolved", "en", "[OVER] Huasui Dairy: negative opinion has calmed"),
        ("resolved", "zh", "[已平息] Huasui Dairy：负面舆情已平息"),
        ("group", "en", "[HIGH] 5 on, 1 over: Company 0, Company 1, Company 2 +3"),
        ("digest", "zh", "[高风险] 3条进行中（免打扰时段汇总）：Company 0, Company 1, Company 2"),
        ("test", "both", "Test message · 测试消息: desk"),
        ("disabled", "en", "A receiver is told no more: other"),
        ("blind", "en", "[CRITICAL] Chinese: no documents come in"),
        ("seeing", "zh", "[已平息] Chinese：信息已恢复"),
    ],
)
def test_a_subject_says_what_it_is_about(name: str, language: str, subject: str) -> None:
    assert str(rendered(NOTICES[name], language)["subject"]) == subject


def test_transitions_of_an_alert_make_a_thread() -> None:
    messages = [rendered(told) for told in (notice(whole_alert()), notice(whole_alert(2)), notice(ended_alert()))]
    assert {str(message["references"]) for message in messages} == {"<al_1.sub_desk@yuqing.example>"}
    assert {str(message["in-reply-to"]) for message in messages} == {"<al_1.sub_desk@yuqing.example>"}
    assert str(rendered(notice(*many_alerts(2)))["references"]).split() == ["<al_0.sub_desk@yuqing.example>", "<al_1.sub_desk@yuqing.example>"]
    assert rendered(TEST)["references"] is None


def test_headers_are_those_of_a_machine_and_no_others() -> None:
    message = rendered(NOTICES["hostile name"])
    assert [name for name in message if name != "Content-Type"] == ["Subject", "From", "To", "Date", "Auto-Submitted", "In-Reply-To", "References", "MIME-Version"]
    assert message["auto-submitted"] == "auto-generated"
    assert message["bcc"] is None
    assert str(message["from"]) == "Yuqing 舆情 <alerts@yuqing.example>"
    assert str(message["to"]) == "one@desk.example, Two <two@desk.example>"
    assert str(message["date"]) == "Mon, 23 Nov 2026 12:01:00 +0000"


def test_every_line_is_short_ascii() -> None:
    for told in NOTICES.values():
        for line in email.render(told, desk("both")).split(b"\r\n"):
            assert line.isascii()
            assert len(line) <= 998


def test_hostile_texts_are_text() -> None:
    message = rendered(NOTICES["hostile"])
    page = part(message, "html")
    shown = Shown(page)
    assert shown.tags <= {"html", "head", "meta", "title", "body", "div", "h2", "p", "table", "tr", "td", "a"}
    assert all(link.startswith(("https://news.example/", "https://yuqing.example/")) for link in shown.links)
    assert "<script>alert(1)</script> <b>bold</b> & \"quoted\" 'too'" in shown.text
    for text in (page, part(message, "plain"), str(message["subject"])):
        assert not re.search("[\x00\x07\x1b\u202e\u2066\u200b]", text)
    assert HOSTILE[5] in page


def test_an_address_that_is_none_is_no_link() -> None:
    page = part(rendered(NOTICES["hostile name"]), "html")
    assert "javascript" not in page


def test_a_crowd_is_told_by_titles_and_a_number() -> None:
    text = part(rendered(NOTICES["crowd"]), "plain")
    assert text.count("Negative opinion on Huasui Dairy surged") == 20
    assert "- [HIGH] Company 219: negative opinion surged\n- 280 more\n" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"from": "nobody"},
        {"from": ""},
        {"to": "a@b.example\r\nBcc: c@d.example"},
        {"to": "a@b.example," * 60},
        {"to": "舆情@b.example"},
        {"from": '"a\r\nb" <x@y.example>'},
        {"host": "mail.example/x"},
        {"host": "user@mail.example"},
        {"port": "99999"},
        {"port": "x"},
        {"security": "ssl"},
        {"username": "yuqing"},
        {"username": "yuqing", "password": "hush", "security": "none"},
    ],
)
def test_options_that_cannot_work_are_refused_and_not_shown(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(desk(**wrong))
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def deliver(server: MailServer, *, host: str = "127.0.0.1", allow_private: bool = True, **options: str) -> DeliveryError | None:
    held = desk(host=host, port=str(server.port), **options)
    async with httpx.AsyncClient() as client:
        message = Message(id="msg_1", body=email.render(NOTICES["first"], held), at=NOON + timedelta(seconds=1))
        try:
            await email.send(Sender(client, allow_private=allow_private, timeout_s=5), held, message)
        except DeliveryError as error:
            return error
    return None


async def test_a_message_has_an_id_of_its_delivery_on_every_try() -> None:
    async with MailServer(security="none") as server:
        assert await deliver(server) is None
        assert await deliver(server) is None
    first, second = server.letters
    assert first == second
    assert str(first.message["message-id"]) == "<msg_1@yuqing.example>"
    assert (first.sender, first.recipients) == ("alerts@yuqing.example", ["one@desk.example", "two@desk.example"])
    assert first.part("plain").startswith("[HIGH] Huasui Dairy")


@pytest.mark.parametrize(
    ("answers", "kind", "said"),
    [
        ({"CONNECT": "421 too many connections"}, DeliveryUnavailable, "127.0.0.1 answered 421"),
        ({"CONNECT": "554 no"}, DeliveryRefused, "127.0.0.1 answered 554"),
        ({"MAIL": "451 4.3.0 later"}, DeliveryUnavailable, "127.0.0.1 answered 451"),
        ({"MAIL": "450 4.7.1 greylisted"}, DeliveryRateLimited, "127.0.0.1 answered 450"),
        ({"MAIL": "550 5.7.1 hush@desk.example"}, DeliveryRefused, "127.0.0.1 answered 550"),
        ({"RCPT": "550 5.1.1 hush@desk.example unknown"}, DeliveryRefused, "127.0.0.1 answered 550"),
        ({"RCPT": "450 4.7.1 hush"}, DeliveryRateLimited, "127.0.0.1 answered 450"),
        ({"RCPT <one@desk.example>": "550 no", "RCPT <two@desk.example>": "451 later"}, DeliveryUnavailable, "127.0.0.1 answered 451"),
        ({"CONTENT": "552 too large"}, DeliveryRefused, "127.0.0.1 answered 552"),
        ({"DATA": "452 4.3.1 full"}, DeliveryUnavailable, "127.0.0.1 answered 452"),
    ],
)
async def test_answers_have_a_meaning(answers: dict[str, str], kind: type[DeliveryError], said: str) -> None:
    async with MailServer(answers=answers, security="none") as server:
        error = await deliver(server)
    assert type(error) is kind
    assert str(error) == said


async def test_one_refused_recipient_leaves_the_others_told() -> None:
    async with MailServer(answers={"RCPT <one@desk.example>": "550 5.1.1 unknown"}, security="none") as server:
        assert await deliver(server) is None
    assert [letter.recipients for letter in server.letters] == [["two@desk.example"]]


async def test_wrong_credentials_are_refused_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    async with MailServer(password="right") as server:
        error = await deliver(server, security="starttls", username="yuqing", password="hush")
    assert type(error) is DeliveryRefused
    assert str(error) == "127.0.0.1 did not take the credentials: 535"
    assert server.letters == []


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_with_tls_nothing_is_sent_in_the_clear(security: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))
    async with MailServer(security=security, password="hush") as server:
        assert await deliver(server, security=security, username="yuqing", password="hush") is None
    (letter,) = server.letters
    assert (letter.secure, letter.login) == (True, "yuqing")


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_an_unknown_certificate_is_not_trusted(security: str) -> None:
    async with MailServer(security=security, password="hush") as server:
        error = await deliver(server, security=security, username="yuqing", password="hush")
    assert type(error) is DeliveryUnavailable
    assert server.letters == []
    assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


async def test_without_starttls_nothing_is_sent_where_it_is_asked_for() -> None:
    async with MailServer(security="none", password="hush") as server:
        error = await deliver(server, security="starttls", username="yuqing", password="hush")
    assert type(error) is DeliveryRefused
    assert not [command for command in server.commands if command.startswith(("AUTH", "MAIL"))]


async def test_a_private_server_is_called_only_where_that_is_allowed() -> None:
    async with MailServer(security="none") as server:
        for host in ("127.0.0.1", "localhost"):
            assert type(await deliver(server, host=host, allow_private=False)) is DeliveryBlocked
    assert server.commands == []
    assert server.letters == []


async def test_a_name_that_does_not_resolve_is_tried_again() -> None:
    async with MailServer(security="none") as server:
        assert type(await deliver(server, host="no-such-host.invalid")) is DeliveryUnavailable


def test_a_test_says_so() -> None:
    assert part(rendered(TEST), "plain").startswith("This is a test. Nothing has happened.\n")
    assert part(rendered(TEST, "zh"), "plain").startswith("这是一条测试消息")


def test_another_receivers_end_says_why() -> None:
    assert part(rendered(DISABLED), "plain").startswith("The subscription other is told no more: the receiver answered 410.\n")


def test_an_alert_on_sources_has_no_numbers_of_opinion() -> None:
    text = part(rendered(NOTICES["blind"]), "plain")
    assert "Blind for Chinese." in text
    assert "Since: 2026-11-23 12:00 UTC" in text
    assert "Negative" not in text
    assert "Score" not in text


def test_what_decided_is_shown() -> None:
    text = part(rendered(NOTICES["ranked"]), "plain")
    assert "Priority: 82% (severity high; a line Bcc: everyone@desk.example and a body)\n" in text
    assert "(news.example, 2026-11-23 11:55 UTC · “recalls”, “<script>alert(1)</script> <b>bold</b> & \"quoted\" 'too'”)\n" in text
