"""Everything that a polled source is known to do wrong, and what is to come of it."""

from __future__ import annotations

import gzip
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime

import brotli
import zstandard
from pydantic import SecretStr

from opinion.settings import Feed
from tests.support.fault_site import Answer, Asked, FaultSite, Play, conditional
from tests.support.feed_server import Reply, redirect, reply
from tests.support.records import NOON

SECURE_HOST, SHIFTY_HOST = "127.1.9.1", "127.1.9.2"
"""By TLS: with a certificate that is trusted, and with one that is so but while the site is ill."""
INTERVAL_S = 0.3
DEADLINE_S = 1.5
MOST_BYTES = 1_000_000
DAY_S = 86_400.0

Form = Callable[..., bytes]
"""Name of a fault, and titles -> a good body."""
Wait = Callable[[int], float]
"""Failures in a row (0 after a good poll) -> seconds until the next poll, give or take a fifth."""


def steady(_failures: int) -> float:
    """As often as configured."""
    return INTERVAL_S


def slower(failures: int) -> float:
    """Half as often each time: it may pass by itself."""
    return min(INTERVAL_S * 2.0**failures, 300.0)


def seldom(failures: int) -> float:
    """From a quarter of an hour to a day: we were refused."""
    return min(900.0 * 2.0 ** (failures - 1), DAY_S)


def told_to_wait(wait_s: float) -> Wait:
    """As long as the server says."""
    return lambda failures: max(slower(failures), wait_s)


def item(name: str, title: str, *, guid: str = "", inside: str = "") -> str:
    """An item of a feed; its id is its address unless another is given."""
    address = f"https://n.example/{name}/{title}"
    return f"<item><guid>{guid or address}</guid><link>{address}</link><title>{title}</title>{inside}</item>"


def channel(*items: str, prolog: str = "") -> bytes:
    """A feed of items."""
    return f"{prolog}<rss version='2.0'><channel>{''.join(items)}</channel></rss>".encode()


def rss(name: str, *titles: str) -> bytes:
    """A feed of titles."""
    return channel(*[item(name, title) for title in titles])


def one_guid(name: str, *titles: str) -> bytes:
    """A feed all of whose items have the same id."""
    return channel(*[item(name, title, guid="x") for title in titles])


def json_feed(name: str, *titles: str) -> bytes:
    """A JSON Feed."""
    items = [{"id": f"https://n.example/{name}/{title}", "title": title} for title in titles]
    return json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items}).encode()


def json_lines(name: str, *titles: str) -> bytes:
    """Documents, one a line."""
    return b"".join(json.dumps({"id": f"{name}-{title}", "title": title}).encode() + b"\n" for title in titles)


def cls_list(name: str, *titles: str) -> bytes:
    """A list of flashes as CLS gives it."""
    return json.dumps({"errno": 0, "data": {"roll_data": [{"id": f"{name}-{title}", "title": title} for title in titles]}}).encode()


def sina_page(name: str, *titles: str, ext: str = "") -> bytes:
    """A page of news as Sina gives it: `ext` is JSON within JSON."""
    rows = [{"id": f"{name}-{title}", "rich_text": title, "ext": ext} for title in titles]
    return json.dumps({"result": {"status": {"code": 0}, "data": {"feed": {"list": rows}}}}).encode()


def gdelt_articles(name: str, *titles: str) -> bytes:
    """Articles as GDELT's DOC interface lists them."""
    return json.dumps({"articles": [{"url": f"https://n.example/{name}/{title}", "title": title} for title in titles]}).encode()


def jin10_flashes(name: str, *titles: str) -> bytes:
    """Flashes as the site of Jin10 has them."""
    return json.dumps([{"id": f"{name}-{title}", "data": {"content": title}} for title in titles]).encode()


ADDRESSED = ("feed", "documents")
"""Adapters that are given an address."""


@dataclass(frozen=True)
class Fault:
    """One way to fail: how its polls end while it is ill, and the titles that are published in all, an update's with its version."""

    name: str
    ill: Sequence[Answer]
    outcome: str
    wait: Wait = steady
    told: Sequence[str] = ("one", "two")
    well: Sequence[str] = ("one",)
    healed: Sequence[str] = ("one", "two")
    form: Form = rss
    etag: str = ""  # when healed
    secure: str = ""  # its host, where it is asked by TLS
    source: str = "feed"
    option: str = ""  # of an adapter that has an address of its own: by this one the page knows who is meant

    @property
    def play(self) -> Play:
        """What its page says."""
        return Play(self.form(self.name, *self.well), self.ill, self.form(self.name, *self.healed), self.etag)

    def feed(self, site: FaultSite) -> Feed:
        """How it is configured; the publisher is its name, so that what it told can be found."""
        url = "" if self.source not in ADDRESSED else (site.secure[self.secure] if self.secure else site).at(self.name)
        options = {self.option: SecretStr(self.name)} if self.option else {}
        return Feed(source=self.source, url=url, options=options, name=self.name, publisher=self.name, interval_s=INTERVAL_S)


def says(*titles: str, form: Form = rss, **headers: str) -> Callable[[Asked], Reply]:
    """A good body."""
    return lambda asked: reply(form(asked.name, *titles), headers={name.replace("_", "-"): value for name, value in headers.items()})


def limits(status: int = 429, **headers: str) -> list[Answer]:
    """Asks for patience, as the headers say."""
    return [reply(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})]


def packed(body: bytes, encoding: str) -> Reply:
    """A body in an encoding."""
    return reply(body, headers={"content-encoding": encoding})


def into(address: str) -> Answer:
    """A redirect into a private network."""
    return lambda asked: redirect(f"http://{address}:{asked.site.port}/latest/meta-data/")


def chain(asked: Asked) -> Reply:
    """From http to https, and back to http."""
    if asked.request.path.endswith("secure"):
        return redirect(asked.site.at(asked.name) + "?end")
    return reply(rss(asked.name, "one", "three")) if asked.request.path.endswith("end") else redirect(asked.site.secure[SECURE_HOST].at(f"{asked.name}?secure"))


def cut_by_length(asked: Asked) -> Reply:
    """A body whose length is said too short; it has a name all the same."""
    body = rss(asked.name, "one", "two", "three")
    return conditional(asked.request, body, etag=WHOLE, length=body.index(b"three"))


def cut_by_close(asked: Asked) -> Reply:
    """A body of which nobody says how long it is, cut off."""
    body = rss(asked.name, "one", "two", "three")
    known = asked.request.headers.get("if-none-match") == WHOLE
    return reply(status=304) if known else Reply([f"HTTP/1.0 200 X\r\netag: {WHOLE}\r\n\r\n".encode(), body[: body.index(b"three")]])


def cut_lines(asked: Asked) -> Reply:
    """The same of lines of JSON."""
    body = json_lines(asked.name, "one", "two", "three")
    return conditional(asked.request, body, etag=WHOLE, length=body.index(b"three"))


def renamed_304(asked: Asked) -> Reply:
    """Not modified, but since when is new."""
    assert asked.request.headers["if-none-match"]
    return reply(status=304, headers={"last-modified": LATER})


WHOLE = '"whole"'
NOW, LATER = (format_datetime(NOON + timedelta(seconds=seconds), usegmt=True) for seconds in (0, 90))
_turn = itertools.count()
_FEED = rss("x", "one", "two")
_CHALLENGE = b"<html><title>Just a moment...</title></html>"
_PAGE = b"<html><body>Internal error</body></html>"
_HEAD, _CHUNKED = b"HTTP/1.1 200 X\r\n\r\n", b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n"
_ZEROS = bytes(50 * MOST_BYTES)
_FELL = "股价连续第三日下跌，公司称经营正常"


REFUSALS = [
    Fault("challenge", [reply(_CHALLENGE, status=403, headers={"cf-mitigated": "challenge"})], "source_walled", seldom),
    Fault("firewall", [reply(_CHALLENGE)], "source_walled", seldom),
    Fault("migrated", [reply(status=404)], "source_gone", seldom),
    Fault("refused", [reply(b"slow down", status=403)], "source_walled", seldom),
    Fault("refused_for_a_minute", limits(403, retry_after="60"), "source_rate_limited", told_to_wait(60)),
    Fault("limited", limits(), "source_rate_limited", slower),
    Fault("limited_by_seconds", limits(retry_after="120"), "source_rate_limited", told_to_wait(120)),
    Fault("limited_by_date", limits(retry_after=LATER, date=NOW), "source_rate_limited", told_to_wait(90)),
    Fault("limited_below_zero", limits(retry_after="-30"), "source_rate_limited", slower),
    Fault("limited_for_years", limits(retry_after="315360000"), "source_rate_limited", told_to_wait(DAY_S)),
    Fault("busy", limits(503, retry_after="30"), "source_rate_limited", told_to_wait(30)),
    Fault("down", [reply(status=502)], "source_unavailable", slower),
    Fault("loop", [redirect("/loop?again")], "source_unavailable", slower),
    Fault("chain", [chain], "ok", told=("one", "three", "two")),
    Fault("other_certificate", [Reply()], "source_unavailable", slower, secure=SHIFTY_HOST),
    Fault("into_this_machine", [into("127.0.0.1")], "address_refused", seldom),
    Fault("into_the_cloud", [into("169.254.169.254")], "address_refused", seldom),
]
BODIES = [
    Fault("cut_chunks", [Reply([_CHUNKED, b"%x\r\n%b\r\n" % (len(_FEED), _FEED)])], "source_unavailable", slower),
    Fault("length_too_long", [reply(_FEED, length=len(_FEED) + 10)], "source_unavailable", slower),
    Fault("length_too_short", [cut_by_length], "ok", told=("one", "two", "three"), healed=("one", "two", "three"), etag=WHOLE),
    Fault("close_too_early", [cut_by_close], "ok", told=("one", "two", "three"), healed=("one", "two", "three"), etag=WHOLE),
    Fault("lines_too_short", [cut_lines], "ok", told=("one", "two", "three"), healed=("one", "two", "three"), etag=WHOLE, form=json_lines, source="documents"),
    Fault("torn_down", [Reply([b"HTTP/1.1 200 X\r\ncontent-length: 900\r\n\r\n" + _FEED], resets=True)], "source_unavailable", slower),
    Fault("slow_loris", [Reply([_HEAD, *[b"<"] * 10_000], trickle=True)], "source_unavailable", slower),
    Fault("silent", [Reply(hangs=True)], "source_unavailable", slower),
    Fault("endless", [Reply([_HEAD, *[b"<item>" * 10_000] * (MOST_BYTES // 30_000)])], "body_too_large", slower),
    Fault("bomb_gzip", [packed(gzip.compress(_ZEROS), "gzip")], "body_too_large", slower),
    Fault("bomb_br", [packed(brotli.compress(_ZEROS, quality=1), "br")], "body_too_large", slower),
    Fault("bomb_zstd", [packed(zstandard.ZstdCompressor().compress(_ZEROS), "zstd")], "body_too_large", slower),
    Fault("page", [reply(_PAGE)], "page_changed", slower),
    Fault("nothing", [reply()], "page_changed", slower),
    Fault("no_items", [says()], "empty"),
    Fault("gbk_as_utf8", [says(_FELL, form=lambda *words: rss(*words).decode().encode("gbk"), content_type="text/xml; charset=utf-8")], "ok", told=("one", _FELL, "two")),
    Fault("utf8_as_gbk", [says(_FELL, content_type="text/xml; charset=gb2312")], "ok", told=("one", _FELL, "two")),
    Fault("marked", [says(_FELL, form=lambda *words: b"\xef\xbb\xbf" + rss(*words))], "ok", told=("one", _FELL, "two")),
]
CACHES = [
    Fault("frozen_etag", [says("one", "two", etag=WHOLE), says("three", etag=WHOLE)], "ok", told=("one", "two", "three")),
    Fault("frozen_304", [reply(status=304)], "not_modified"),
    Fault("restless_etag", [lambda asked: reply(rss(asked.name, "one"), headers={"etag": f'"{next(_turn)}"'})], "not_modified"),
    Fault("renamed_304", [renamed_304], "not_modified"),
    Fault("expired", [says("one", expires="0")], "not_modified"),
    Fault("fresh_for_long", [says("one", cache_control="max-age=99999")], "not_modified", lambda _: 900.0),
]
ITEMS = [
    Fault("reordered", [says("one", "zero"), says("zero", "one")], "ok", told=("one", "two", "zero"), well=("zero", "one")),
    Fault("shifted", [says("two", "one"), says("three", "two")], "ok", told=("one", "two", "three", "four"), healed=("four", "three")),
    Fault("restless_guids", [says("two", "one", form=lambda name, *titles: channel(*[item(name, title, guid=f"{next(_turn)}") for title in titles]))], "ok"),
    Fault("old_again", [says("two"), says("one")], "ok"),
    Fault("ancient", [says("old", form=lambda *words: channel(item(*words, inside="<pubDate>Mon, 05 Jan 2009 08:00:00 GMT</pubDate>")))], "ok", told=("one", "old", "two")),
    Fault("future", [says("early", form=lambda *words: channel(item(*words, inside="<pubDate>Mon, 05 Jan 2099 08:00:00 GMT</pubDate>")))], "ok", told=("one", "early", "two")),
    Fault("edited", [says("ONE", form=lambda *words: channel(item(*words, guid="https://n.example/edited/one")))], "ok", told=("one", "ONE v2", "one v3", "two")),
    Fault("deleted", [says("three")], "ok", told=("one", "three", "two")),
    Fault("one_guid", [says("three", "two", "one", form=one_guid)], "ok", told=("one", "two", "three", "four"), well=("one", "two"), healed=("four", "three"), form=one_guid),
    Fault("one_guid_at_last", [says("two", "one", form=one_guid)], "ok", form=one_guid),
]
FORMS = [
    Fault("bad_sign", [reply(b'{"errno":10012,"msg":"sign error"}')], "page_changed", slower, form=cls_list, source="cls", option="category"),
    Fault("empty_list", [says(form=cls_list)], "empty", form=cls_list, source="cls", option="category"),
    Fault("wall_for_json", [reply(_CHALLENGE)], "source_walled", seldom, form=cls_list, source="cls", option="category"),
    Fault("page_for_json", [reply(_PAGE, headers={"content-type": "text/html"})], "source_walled", seldom, form=cls_list, source="cls", option="category"),
    Fault("line_for_json", [reply(b"Your query was too short.")], "page_changed", slower, form=gdelt_articles, source="gdelt_doc", option="query"),
    Fault("limit_for_json", [reply(b"Please limit requests")], "source_rate_limited", slower, form=gdelt_articles, source="gdelt_doc", option="query"),
    Fault("bad_escape", [says("it's up", form=lambda *words: gdelt_articles(*words).replace(b"'", rb"\'"))], "ok", told=("it's up", "one", "two"),
          form=gdelt_articles, source="gdelt_doc", option="query"),
    Fault("bad_escape_in_feed", [says("it's up", form=lambda *words: json_feed(*words).replace(b"'", rb"\'"))], "ok", told=(r"it\'s up", "one", "two"), form=json_feed),
    Fault("json_cut_off", [says("one", form=lambda *words: json_feed(*words)[:-9])], "page_changed", slower, form=json_feed),
    Fault("jsonp", [says("three", form=lambda *words: b"call(" + sina_page(*words) + b");")], "ok", told=("one", "three", "two"), form=sina_page, source="sina", option="zhibo_id"),
    Fault("json_in_json", [says("three", form=lambda *words: sina_page(*words, ext='{"docurl": "https:'))], "ok", told=("one", "three", "two"),
          form=sina_page, source="sina", option="zhibo_id"),
    Fault("assigned", [says("three", form=lambda *words: b"var newest = " + jin10_flashes(*words) + b";")], "ok", told=("one", "three", "two"),
          form=jin10_flashes, source="jin10"),
]  # fmt: skip
FAULTS = [*REFUSALS, *BODIES, *CACHES, *ITEMS, *FORMS]
