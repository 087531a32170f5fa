from __future__ import annotations

import asyncio
import gzip
import random
import traceback
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import brotli
import pytest
import zstandard

from opinion.addresses import is_public
from opinion.clock import ManualClock, monotonic_s
from opinion.errors import AddressRefused, BodyTooLarge, SourceError, SourceGone, SourceRateLimited, SourceUnavailable, SourceWalled
from opinion.settings import Settings
from scrapers.fetch import MOST_PER_HOST, MOST_REDIRECTS, Fetcher, Validators
from scrapers.source import Ask, Response
from tests.support.feed_server import FeedServer, Reply, redirect, reply
from tests.support.records import NOON

pytestmark = pytest.mark.integration

DEADLINE_S = 0.3
CAP = 200_000
FEED = b"<rss version='2.0'><channel/></rss>"


@pytest.fixture
async def server() -> AsyncIterator[FeedServer]:
    async with FeedServer() as found:
        yield found


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with new_fetcher() as found:
        yield found


def new_fetcher(**changes: Any) -> Fetcher:
    fields: dict[str, Any] = {"allow_private_sources": True, "fetch_deadline_s": 20.0, "max_body_bytes": CAP, "user_agent": "test/1 (mail@test.example)"}
    return Fetcher(Settings(**(fields | changes)), clock=ManualClock(NOON))


async def ask(fetcher: Fetcher, server: FeedServer, answer: Reply | list[Reply], path: str = "/feed") -> Response:
    server.replies[path] = [answer] if isinstance(answer, Reply) else answer
    return await fetcher.fetch(server.url + path)


async def refusal(fetcher: Fetcher, server: FeedServer, answer: Reply) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await ask(fetcher, server, answer)
    assert str(caught.value).startswith(f"{server.url}/feed: ")
    return caught.value


async def test_an_answer_comes_with_its_headers_address_and_time(fetcher: Fetcher, server: FeedServer) -> None:
    found = await ask(fetcher, server, reply(FEED, headers={"ETag": '"1"', "Content-Type": "text/xml; charset=GBK"}))
    assert (found.body, found.status, found.url, found.fetched_at) == (FEED, 200, server.url + "/feed", NOON)
    assert (found.headers["etag"], found.headers["content-type"]) == ('"1"', "text/xml; charset=GBK")


async def test_we_say_who_we_are_and_what_we_read(fetcher: Fetcher, server: FeedServer) -> None:
    await ask(fetcher, server, reply(FEED))
    (request,) = server.requests
    assert request.headers["user-agent"] == "test/1 (mail@test.example)"
    assert request.headers["accept-encoding"] == "gzip, deflate, br, zstd"
    assert "application/feed+json" in request.headers["accept"]
    assert not {"if-none-match", "if-modified-since", "cookie", "authorization"} & set(request.headers)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress), ("zstd", zstandard.ZstdCompressor().compress), ("identity", bytes)],
)
async def test_every_encoding_is_undone(fetcher: Fetcher, server: FeedServer, encoding: str, compress: Callable[[bytes], bytes]) -> None:
    found = await ask(fetcher, server, reply(compress(FEED), headers={"content-encoding": encoding}))
    assert found.body == FEED


async def test_two_encodings_in_two_headers_are_undone(fetcher: Fetcher, server: FeedServer) -> None:
    body = brotli.compress(gzip.compress(FEED))
    head = f"HTTP/1.1 200 X\r\ncontent-encoding: gzip\r\ncontent-encoding: br\r\ncontent-length: {len(body)}\r\n\r\n"
    assert (await ask(fetcher, server, Reply([head.encode() + body]))).body == FEED


async def test_a_chunked_body_is_put_together(fetcher: Fetcher, server: FeedServer) -> None:
    pieces = [b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n", b"5\r\n<rss>\r\n", b"6\r\n</rss>\r\n", b"0\r\n\r\n"]
    assert (await ask(fetcher, server, Reply(pieces, trickle=True))).body == b"<rss></rss>"


async def test_a_body_may_end_with_the_connection(fetcher: Fetcher, server: FeedServer) -> None:
    assert (await ask(fetcher, server, Reply([b"HTTP/1.0 200 X\r\n\r\n", FEED]))).body == FEED


async def test_validators_are_sent_back_and_304_has_no_body(fetcher: Fetcher, server: FeedServer) -> None:
    server.replies["/feed"] = [reply(status=304, headers={"etag": 'W/"2"', "last-modified": "Mon, 23 Nov 2026 09:00:00 GMT"})]
    found = await fetcher.fetch(server.url + "/feed", validators=Validators('W/"1"', "Mon, 23 Nov 2026 08:00:00 GMT"))
    assert (found.status, found.body, found.headers["etag"]) == (304, b"", 'W/"2"')
    assert server.requests[0].headers["if-none-match"] == 'W/"1"'
    assert server.requests[0].headers["if-modified-since"] == "Mon, 23 Nov 2026 08:00:00 GMT"


async def test_only_the_validators_that_there_are_are_sent(fetcher: Fetcher, server: FeedServer) -> None:
    server.replies["/feed"] = [reply(FEED)]
    await fetcher.fetch(server.url + "/feed", validators=Validators(etag='"1"'))
    assert "if-none-match" in server.requests[0].headers
    assert "if-modified-since" not in server.requests[0].headers


async def test_304_to_an_unconditional_request_is_no_answer(fetcher: Fetcher, server: FeedServer) -> None:
    assert isinstance(await refusal(fetcher, server, reply(status=304)), SourceUnavailable)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/new?x=1", "new?x=1", "{}/new?x=1"])
async def test_redirects_are_followed_and_the_last_address_kept(fetcher: Fetcher, server: FeedServer, status: int, location: str) -> None:
    server.replies["/new"] = [reply(FEED)]
    found = await ask(fetcher, server, redirect(location.format(server.url), status=status))
    assert (found.body, found.url) == (FEED, server.url + "/new?x=1")


async def test_a_redirect_loop_ends(fetcher: Fetcher, server: FeedServer) -> None:
    with pytest.raises(SourceUnavailable, match=f"more than {MOST_REDIRECTS} redirects"):
        await ask(fetcher, server, redirect("/feed?again"))
    assert len(server.requests) == MOST_REDIRECTS + 1


async def test_as_many_redirects_as_allowed_are_followed(fetcher: Fetcher, server: FeedServer) -> None:
    assert (await ask(fetcher, server, [*[redirect("/feed")] * MOST_REDIRECTS, reply(FEED)])).body == FEED


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://x.example/", "gopher://127.0.0.1:6379/_FLUSHALL", "javascript:x", "http://[::1", "data:text/xml,<rss/>", "http://x:99999/", "http://xn--/"],
)
async def test_a_redirect_leads_to_the_web_or_nowhere(fetcher: Fetcher, server: FeedServer, location: str) -> None:
    error = await refusal(fetcher, server, redirect(location))
    assert isinstance(error, SourceUnavailable)
    assert "no web address" in str(error)


async def test_a_redirect_without_a_place_is_an_answer_without_a_feed(fetcher: Fetcher, server: FeedServer) -> None:
    assert isinstance(await refusal(fetcher, server, reply(status=302)), SourceUnavailable)


@pytest.mark.parametrize("host", ["169.254.169.254", "127.0.0.2", "[::ffff:127.0.0.2]", "10.0.0.1", "[64:ff9b::a9fe:a9fe]"])
async def test_a_redirect_into_a_private_network_is_refused(monkeypatch: pytest.MonkeyPatch, server: FeedServer, host: str) -> None:
    monkeypatch.setattr("opinion.addresses.is_public", lambda address: address == "127.0.0.1" or is_public(address))  # the test's server is the internet
    async with new_fetcher(allow_private_sources=False) as fetcher:
        assert (await ask(fetcher, server, reply(FEED), "/other")).body == FEED
        with pytest.raises(AddressRefused):
            await ask(fetcher, server, redirect(f"http://{host}:{server.port + 1}/latest/meta-data/"))


async def test_private_addresses_are_refused_unless_allowed(server: FeedServer) -> None:
    async with new_fetcher(allow_private_sources=False) as fetcher:
        with pytest.raises(AddressRefused):
            await ask(fetcher, server, reply(FEED))
    assert server.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, SourceWalled),
        (401, SourceWalled),
        (403, SourceWalled),
        (404, SourceGone),
        (408, SourceUnavailable),
        (410, SourceGone),
        (425, SourceUnavailable),
        (429, SourceRateLimited),
        (451, SourceWalled),
        (500, SourceUnavailable),
        (502, SourceUnavailable),
        (503, SourceUnavailable),
        (522, SourceUnavailable),
        (300, SourceUnavailable),
    ],
)
async def test_every_status_has_its_error(fetcher: Fetcher, server: FeedServer, status: int, kind: type[SourceError]) -> None:
    error = await refusal(fetcher, server, reply(b"<html>no</html>", status=status))
    assert type(error) is kind
    assert str(error) == f"{server.url}/feed: answered {status}"


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-5", 0.0),
        ("315360000", 86_400.0),
        ("9" * 400, 86_400.0),
        ("soon", None),
        ("", None),
        ("1e3", None),
        (format_datetime(NOON + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOON - timedelta(days=1), usegmt=True), 0.0),
        (format_datetime(NOON + timedelta(days=3650), usegmt=True), 86_400.0),
        ("Monday, 23-Nov-26 12:01:00 GMT", 60.0),
        ("Mon Nov 23 12:01:00 2026", 60.0),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
async def test_what_a_server_asks_us_to_wait_is_heard_within_a_day(fetcher: Fetcher, server: FeedServer, value: str, wait_s: float | None) -> None:
    error = await refusal(fetcher, server, reply(status=429, headers={"retry-after": value}))
    assert isinstance(error, SourceRateLimited)
    assert error.wait_s == wait_s


async def test_429_without_a_wait_says_none(fetcher: Fetcher, server: FeedServer) -> None:
    error = await refusal(fetcher, server, reply(status=429))
    assert isinstance(error, SourceRateLimited)
    assert error.wait_s is None


@pytest.mark.parametrize("status", [403, 503])
async def test_a_refusal_with_a_wait_is_a_rate_limit(fetcher: Fetcher, server: FeedServer, status: int) -> None:
    error = await refusal(fetcher, server, reply(status=status, headers={"retry-after": "30"}))
    assert isinstance(error, SourceRateLimited)
    assert error.wait_s == 30.0


async def test_a_date_to_wait_for_is_read_by_the_servers_own_clock(fetcher: Fetcher, server: FeedServer) -> None:
    theirs = NOON + timedelta(hours=5)  # wrong by five hours
    headers = {"date": format_datetime(theirs, usegmt=True), "retry-after": format_datetime(theirs + timedelta(seconds=45), usegmt=True)}
    error = await refusal(fetcher, server, reply(status=429, headers=headers))
    assert isinstance(error, SourceRateLimited)
    assert error.wait_s == 45.0


@pytest.mark.parametrize(
    "answer",
    [
        reply(FEED, length=len(FEED) + 10),
        Reply([b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n5\r\n<rss>\r\n"]),
        Reply([b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n<rss>\r\n"]),
        Reply([b"HTTP/1.1 200 X\r\ncontent-le"]),
        Reply([b"HTTP/1.1 200 X\r\ncontent-length: -5\r\n\r\n"]),
        Reply([b"SSH-2.0-OpenSSH_9.6\r\n"]),
        Reply([b"\x00\xff" * 100]),
        Reply([b"HTTP/1.1 200 X\r\nx: " + b"a" * 300_000 + b"\r\n\r\n"]),
        Reply([]),
        reply(gzip.compress(FEED)[:-4], headers={"content-encoding": "gzip"}),
        reply(FEED, headers={"content-encoding": "gzip"}),
        reply(FEED, headers={"content-encoding": "sdch"}),
    ],
    ids=["length", "chunks", "bad chunk", "head", "negative length", "ssh", "noise", "long header", "nothing", "cut gzip", "no gzip", "unknown encoding"],
)
async def test_a_damaged_answer_may_be_better_next_time(fetcher: Fetcher, server: FeedServer, answer: Reply) -> None:
    assert isinstance(await refusal(fetcher, server, answer), SourceUnavailable)


async def test_what_a_server_sends_beyond_its_length_is_not_read(fetcher: Fetcher, server: FeedServer) -> None:
    assert (await ask(fetcher, server, reply(FEED + b"more", length=len(FEED)))).body == FEED


async def test_a_body_over_the_cap_is_not_read_to_its_end(fetcher: Fetcher, server: FeedServer) -> None:
    assert len((await ask(fetcher, server, reply(b"x" * CAP))).body) == CAP
    endless = Reply([b"HTTP/1.1 200 X\r\n\r\n", *[b"x" * 65_536] * 1_000])
    assert isinstance(await refusal(fetcher, server, endless), BodyTooLarge)


@pytest.mark.parametrize("length", [CAP + 1, 10**12])
async def test_a_length_over_the_cap_that_is_not_sent_is_a_cut_off_body(fetcher: Fetcher, server: FeedServer, length: int) -> None:
    assert isinstance(await refusal(fetcher, server, reply(FEED, length=length)), SourceUnavailable)


async def test_a_bomb_is_refused(fetcher: Fetcher, server: FeedServer) -> None:
    error = await refusal(fetcher, server, reply(gzip.compress(b"\x00" * 50_000_000), headers={"content-encoding": "gzip"}))
    assert isinstance(error, BodyTooLarge)
    noise = random.Random(7).randbytes(CAP + 1)
    assert isinstance(await refusal(fetcher, server, reply(brotli.compress(noise[:-60_000] + b" " * 90_000, quality=1), headers={"content-encoding": "br"})), BodyTooLarge)


@pytest.mark.parametrize(
    "answer",
    [
        Reply(hangs=True),
        Reply([b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n<rss>"], hangs=True),
        Reply([b"HTTP/1.1 200 X\r\n\r\n", *[b"x"] * 1_000], trickle=True),
        Reply([b"HTTP/1.1 200 X\r\n", *[b"x-y: z\r\n"] * 1_000], trickle=True),
        [Reply([b"HTTP/1.1 302 X\r\n", *[b"x-y: z\r\n"] * 10, b"location: /feed\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"], trickle=True)],
    ],
    ids=["silence", "stall", "slow body", "slow head", "slow redirects"],
)
async def test_a_deadline_ends_what_would_never_end(server: FeedServer, answer: Reply | list[Reply]) -> None:
    began_s = monotonic_s()
    async with new_fetcher(fetch_deadline_s=DEADLINE_S) as fetcher:
        with pytest.raises(SourceUnavailable, match=r"no whole answer within 0\.3 s"):
            await ask(fetcher, server, answer)
    assert DEADLINE_S <= monotonic_s() - began_s < 4 * DEADLINE_S


async def test_a_port_where_nobody_listens_is_unavailable(fetcher: Fetcher, server: FeedServer) -> None:
    with pytest.raises(SourceUnavailable, match=r"ConnectError"):
        await fetcher.fetch("http://127.0.0.1:1/feed")


async def test_tls_where_there_is_none_is_unavailable(fetcher: Fetcher, server: FeedServer) -> None:
    with pytest.raises(SourceUnavailable, match=r"ConnectError"):
        await fetcher.fetch(f"https://127.0.0.1:{server.port}/feed")


@pytest.mark.parametrize("url", ["http://127.0.0.1:x/", "http://[::1/", "http:///x", "http://xn--/", "http://a\x00b/", "http://\ud800/", "http://127.0.0.1:99999/", "http://.../"])
async def test_what_is_no_address_is_unavailable(fetcher: Fetcher, url: str) -> None:
    with pytest.raises(SourceUnavailable):
        await fetcher.fetch(url)


async def test_a_host_never_has_more_than_two_of_our_requests(fetcher: Fetcher, server: FeedServer) -> None:
    server.replies["/feed"] = [reply(FEED)]
    server.crowd = MOST_PER_HOST + 1
    found = await asyncio.gather(*(fetcher.fetch(f"{server.url}/feed?{n}") for n in range(6)))
    assert [response.body for response in found] == [FEED] * 6
    assert server.most_in_flight == MOST_PER_HOST


async def test_waiting_for_others_at_a_host_is_not_counted_against_the_deadline(server: FeedServer) -> None:
    server.replies["/slow"] = [Reply(hangs=True)]
    server.replies["/feed"] = [reply(FEED)]
    async with new_fetcher(fetch_deadline_s=DEADLINE_S) as fetcher:
        slow = [asyncio.create_task(fetcher.fetch(f"{server.url}/slow?{n}")) for n in range(MOST_PER_HOST)]
        assert (await asyncio.gather(asyncio.gather(*slow, return_exceptions=True), fetcher.fetch(server.url + "/feed")))[1].body == FEED


async def test_a_failed_request_gives_its_place_back(fetcher: Fetcher, server: FeedServer) -> None:
    for _ in range(2 * MOST_PER_HOST):
        await refusal(fetcher, server, reply(status=500))
        await refusal(fetcher, server, Reply([]))
    assert (await ask(fetcher, server, reply(FEED))).body == FEED


async def test_no_cookie_is_ever_sent_back(fetcher: Fetcher, server: FeedServer) -> None:
    cookie = {"set-cookie": "id=1; Path=/"}
    server.replies["/a"] = [reply(status=302, headers=cookie | {"location": "/b"})]
    server.replies["/b"] = [Reply([b"HTTP/1.1 200 X\r\nset-cookie: id=2; Path=/\r\n\r\n", *[b"x"] * 5], trickle=True)]
    await asyncio.gather(fetcher.fetch(server.url + "/a"), fetcher.fetch(server.url + "/b"))
    await fetcher.fetch(server.url + "/b")
    assert len(server.requests) == 4
    assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "answer",
    [
        reply(status=500),
        reply(status=403),
        reply(status=404),
        reply(status=429),
        Reply([]),
        reply(b"x", length=9),
        reply(b"x", headers={"content-encoding": "gzip"}),
        redirect("/feed?key=hush"),
        redirect("file:///hush"),
        redirect("http://u:hush@127.0.0.1:1/?hush"),
        redirect("http://hush:x@[::1"),
    ],
)
async def test_no_secret_of_an_address_gets_into_a_message(fetcher: Fetcher, server: FeedServer, answer: Reply) -> None:
    server.replies["/feed"] = [answer]
    with pytest.raises(SourceError) as caught:
        await fetcher.fetch(f"http://user:hush@127.0.0.1:{server.port}/feed?key=hush#hush")
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert server.requests[0].headers["authorization"].startswith("Basic ")
    assert "hush" not in "".join(traceback.format_exception_only(caught.value))


async def test_no_secret_of_an_address_that_cannot_be_read_gets_into_a_message(fetcher: Fetcher) -> None:
    for url in ("http://user:hush@127.0.0.1:x/?hush", "http://user:hush@[::1/?hush", "http://user:hush@xn--/?hush"):
        with pytest.raises(SourceUnavailable) as caught:
            await fetcher.fetch(url)
        assert "hush" not in str(caught.value)


async def test_a_secret_with_a_line_break_is_not_printed(fetcher: Fetcher, server: FeedServer) -> None:
    with pytest.raises(SourceUnavailable, match="cannot be sent") as caught:
        await fetcher.fetch(Ask(url=server.url + "/feed", headers={"Authorization": "Bearer hush\n"}))
    assert "hush" not in str(caught.value)
