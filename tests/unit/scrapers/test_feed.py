from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from opinion.clock import monotonic_s
from opinion.codec import MAX_TEXT_CHARS, decode, encode
from opinion.errors import PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.markup import MAX_ITEMS
from scrapers.source import Parsed, Response
from scrapers.sources.feed import MAX_ID_CHARS, MAX_TAGS, parse
from tests.support.records import NOON

URL = "https://news.example/feeds/all.xml"
FEED = Feed(url=URL)
KEY = b"a key"


def read(body: str | bytes, *, feed: Feed = FEED, key: bytes = b"", days_later: int = 0, url: str = URL, **headers: str) -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    response = Response(url=url, headers=headers, body=raw, fetched_at=NOON + timedelta(days=days_later))
    found = parse(response, feed=feed, author_key=key)
    for document in found.documents:
        assert decode(encode(document), Document) == document
    return found


def rss(*items: str) -> str:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f"<rss version='2.0' xmlns:dc='http://purl.org/dc/elements/1.1/'><channel><title>c</title>{inside}</channel></rss>"


def json_feed(*items: Any, **fields: Any) -> str:
    return json.dumps({"version": "https://jsonfeed.org/version/1.1", "items": items} | fields)


def only(body: str | bytes, **changes: Any) -> Document:
    (document,) = read(body, **changes).documents
    return document


def ids(body: str, **changes: Any) -> list[str]:
    return [document.native_id for document in read(body, **changes).documents]


def reasons(body: str) -> list[str]:
    return [problem.reason for problem in read(body).problems]


def test_a_document_says_where_it_is_from() -> None:
    item = "<title>T</title><link>https://paper.example/1?utm_source=x</link><guid isPermaLink='false'>g</guid><pubDate>Mon, 23 Nov 2026 09:30 GMT</pubDate>"
    found = only(rss(item), feed=Feed(url=URL, kind="flash"))
    assert found.doc_id == doc_id_of("feed", "news.example:g")
    assert (found.source, found.publisher, found.kind) == ("feed", "paper.example", DocumentKind.FLASH)
    assert (found.url, found.canonical_url) == ("https://paper.example/1?utm_source=x", "https://paper.example/1")
    assert (found.published_at, found.published_precision) == (NOON - timedelta(hours=2, minutes=30), Precision.MINUTE)
    assert found.fetched_at == NOON
    assert found.extra == {"http_status": 200, "charset": "utf-8", "charset_source": "utf-8", "truncated": False, "adapter_version": 1}


def test_the_publisher_is_as_configured_else_the_host_of_the_page_else_of_the_feed() -> None:
    item = "<title>T</title><link>https://paper.example/1</link>"
    assert only(rss(item), feed=Feed(url=URL, publisher="The Paper")).publisher == "The Paper"
    assert only(rss(item)).publisher == "paper.example"
    assert only(rss("<title>T</title>")).publisher == "news.example"


@pytest.mark.parametrize(
    ("title", "lang"),
    [("Shares slide after profit warning", "en"), ("公司净利润同比下降", "zh-Hans"), ("集團發出盈利警告", "zh-Hant"), ("利益が減った会社", "und"), ("12.5%", "und")],
)
def test_the_language_is_found_per_text(title: str, lang: str) -> None:
    assert only(rss(f"<title>{title}</title>")).lang == lang
    assert only(rss(f"<title>{title}</title>"), feed=Feed(url=URL, lang="fr")).lang == "fr"


def test_both_languages_of_one_feed_are_told_apart() -> None:
    found = read(rss("<title>Shares slide</title><guid isPermaLink='false'>1</guid>", "<title>股价下跌</title><guid isPermaLink='false'>2</guid>"))
    assert [document.lang for document in found.documents] == ["en", "zh-Hans"]


# ids


def test_a_guid_of_global_form_is_the_id_wherever_the_feed_is() -> None:
    item = "<title>T</title><guid isPermaLink='false'>{}</guid>"
    for guid in ("https://x.example/1", "urn:uuid:1", "tag:x.example,2026:1", "HTTP://x.example/1"):
        assert ids(rss(item.format(guid))) == ids(rss(item.format(guid)), feed=Feed(url="https://mirror.example/feed")) == [guid]


def test_a_guid_of_another_form_is_the_feeds_own() -> None:
    body = rss("<title>T</title><guid isPermaLink='false'>17</guid>")
    assert ids(body) == ["news.example:17"]
    assert ids(body, feed=Feed(url="https://other.example/feed")) == ["other.example:17"]


def test_a_guid_that_does_not_say_that_it_is_no_page_makes_up_none() -> None:
    found = only(rss("<title>T</title><guid>17</guid>"))
    assert (found.native_id, found.url) == ("news.example:17", None)
    assert only(rss("<title>T</title><guid>https://x.example/1</guid>")).url == "https://x.example/1"
    assert only(rss("<title>T</title><guid>17</guid><link>https://x.example/1</link>")).url == "https://x.example/1"


def test_ids_do_not_depend_on_where_the_feed_was_redirected_to() -> None:
    body = rss("<title>T</title><guid>17</guid>", "<title>U</title><guid isPermaLink='true'>rel/1</guid>", "<title>V</title>")
    assert ids(body) == ids(body, url="https://cdn7.example/x/y?z")


def test_a_guid_for_several_pages_names_none_of_them() -> None:
    body = rss(*(f"<title>T{n}</title><guid isPermaLink='false'>g</guid><link>https://x.example/{n}</link>" for n in (1, 2)))
    assert ids(body) == ["news.example:g https://x.example/1", "news.example:g https://x.example/2"]


def test_the_same_page_under_other_trackers_is_one() -> None:
    body = rss(*(f"<title>T</title><guid isPermaLink='false'>g</guid><link>https://x.example/1?utm_source={n}</link>" for n in (1, 2)))
    assert ids(body) == ["news.example:g"]
    assert reasons(body) == ["duplicate"]


def test_a_guid_that_changes_on_every_request_changes_the_id_and_nothing_else() -> None:
    first, second = (only(rss(f"<title>T</title><guid isPermaLink='false'>{guid}</guid><link>https://x.example/1</link>")) for guid in ("a1", "b2"))
    assert first.doc_id != second.doc_id
    assert (first.content_hash, first.canonical_url) == (second.content_hash, second.canonical_url)


def test_without_a_guid_the_page_is_the_id() -> None:
    assert ids(rss("<title>T</title><link>https://x.example/1?b=2&amp;a=1&amp;spm=9#top</link>")) == ["https://x.example/1?a=1&b=2"]


def test_a_front_page_that_all_items_point_at_is_no_id() -> None:
    body = rss(*(f"<title>T{n}</title><link>https://x.example/</link>" for n in (1, 2, 3)))
    assert len(set(ids(body))) == 3
    assert all(native_id.startswith("https://x.example/ title:") for native_id in ids(body))


def test_without_guid_and_page_the_title_is_the_id_else_the_text() -> None:
    one, other = rss("<title>T</title><description>a</description>"), rss("<title> T </title><description>b</description>")
    assert ids(one) == ids(other)
    assert ids(rss("<description>a</description>")) != ids(rss("<description>b</description>"))
    assert ids(one)[0].startswith("news.example:title:")


def test_an_edited_item_keeps_its_id_and_changes_its_hash() -> None:
    before, after = (only(rss(f"<title>T</title><guid isPermaLink='false'>g</guid><description>{text}</description>")) for text in ("a", "b"))
    assert before.doc_id == after.doc_id
    assert before.content_hash != after.content_hash


def test_a_very_long_guid_is_cut_but_stays_its_own() -> None:
    found = [only(rss(f"<title>T</title><guid isPermaLink='false'>{'g' * 10_000}{n}</guid>")).native_id for n in (1, 2)]
    assert found[0] != found[1]
    assert all(len(native_id) <= MAX_ID_CHARS + 32 for native_id in found)


# times


@pytest.mark.parametrize(
    ("raw", "kept"),
    [("Mon, 23 Nov 2026 12:11:00 GMT", None), ("Tue, 23 Nov 2027 12:00:00 GMT", None), ("2026-11-23 19:30:00", None), ("", None), ("Tue, 03 Feb 2015 09:00:00 GMT", 2015)],
)
def test_a_time_that_cannot_be_trusted_is_kept_as_it_came(raw: str, kept: int | None) -> None:
    found = only(rss(f"<title>T</title><pubDate>{raw}</pubDate>"))
    assert (found.published_at.year if found.published_at else None) == kept
    assert found.extra.get("published_raw") == (raw or None if kept is None else None)


def test_an_undated_item_is_not_dated_by_the_feed() -> None:
    body = "<rss version='2.0'><channel><pubDate>Mon, 23 Nov 2026 09:30:00 GMT</pubDate><item><title>T</title></item></channel></rss>"
    assert only(body).published_at is None


def test_what_was_published_is_not_what_was_updated() -> None:
    entry = "<entry><title>T</title><id>urn:1</id><updated>2026-11-23T11:00:00Z</updated>{}</entry>"
    feed = f"<feed xmlns='http://www.w3.org/2005/Atom'>{entry}</feed>"
    assert only(feed.format("<published>2026-11-23T10:00:00Z</published>")).published_at == NOON - timedelta(hours=2)
    assert only(feed.format("")).published_at == NOON - timedelta(hours=1)


# texts


@pytest.mark.parametrize("item", ["", "<guid>1</guid>", "<title> </title><description>&lt;br&gt;&amp;nbsp;</description>", "<title>&lt;script&gt;x&lt;/script&gt;</title>"])
def test_an_item_that_says_nothing_is_counted_not_published(item: str) -> None:
    found = read(rss(item, "<title>T</title><guid isPermaLink='false'>t</guid>"))
    assert [document.title for document in found.documents] == ["T"]
    assert [problem.reason for problem in found.problems] == ["empty"]


def test_a_text_that_only_repeats_the_title_is_left_out() -> None:
    found = only(rss("<title>茅台净利润下降</title><description><![CDATA[<p>茅台净利润下降</p>]]></description>"))
    assert (found.title, found.text) == ("茅台净利润下降", "")


def test_the_longest_telling_is_the_text() -> None:
    content = "<content:encoded xmlns:content='http://purl.org/rss/1.0/modules/content/'>a longer text</content:encoded>"
    assert only(rss(f"<title>T</title><description>short</description>{content}")).text == "a longer text"
    assert only(rss(f"<title>T</title><description>a text that is longer still</description>{content}")).text == "a text that is longer still"


@pytest.mark.parametrize(
    "title", ["S&P 500 falls, AT&T gains", "S&amp;P 500 falls, AT&amp;T gains", "<![CDATA[S&P 500 falls, AT&T gains]]>", "S&amp;amp;P 500 falls, AT&amp;amp;T gains"]
)
def test_ampersands_of_company_names_survive(title: str) -> None:
    assert only(rss(f"<title>{title}</title><description>caf&eacute; & more</description>")).title == "S&P 500 falls, AT&T gains"


def test_codes_in_angle_brackets_survive() -> None:
    assert only(rss("<title>Apple &lt;AAPL.O&gt; falls</title>")).title == "Apple <AAPL.O> falls"


def test_nul_and_lone_surrogates_never_get_out() -> None:
    odd = "a&#0;b&#xD800;c\x00\ud800"
    found = only(rss(f"<title>{odd}</title><guid isPermaLink='false'>{odd}</guid><link>https://x.example/{odd}</link><category>{odd}</category><author>{odd}</author>"), key=KEY)
    item = {"id": "a\x00\ud800", "title": "t\x00\ud83d", "url": "https://x.example/\x00\ud800", "tags": ["\x00\ud800x"], "author": {"name": "\ud800n"}, "date_published": "\ud800"}
    twin = only(json_feed(item), key=KEY)
    assert (twin.native_id, twin.title, twin.url, twin.labels) == ("news.example:a", "t", "https://x.example/", {"channels": ["x"]})
    for text in (found.title, found.native_id, found.url or "", encode(found).decode(), encode(twin).decode()):
        assert not set(text) & {"\x00", "\ud800"}


def test_a_megabyte_of_text_is_cut_and_marked() -> None:
    began_s = monotonic_s()
    found = only(rss(f"<title>T</title><description><![CDATA[<p>{'亏损 ' * 400_000}</p>]]></description>"))
    assert len(found.text) == MAX_TEXT_CHARS
    assert found.extra["truncated"] is True
    assert monotonic_s() - began_s < 5


# links


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("/a/1", "https://news.example/a/1"),
        ("a/1", "https://news.example/feeds/a/1"),
        ("//cdn.example/1", "https://cdn.example/1"),
        ("\n  https://x.example/1\n", "https://x.example/1"),
        ("<![CDATA[https://x.example/?a=1&b=2]]>", "https://x.example/?a=1&b=2"),
        ("https://x.example/?a=1&amp;b=2", "https://x.example/?a=1&b=2"),
        ("https://x.example/?a=1&copy=2", "https://x.example/?a=1&copy=2"),
        ("javascript:alert(1)", None),
        ("ftp://x.example/1", None),
        ("https://", None),
        ("#", None),
        ("", None),
    ],
)
def test_a_link_is_absolute_and_of_the_web_or_none(link: str, url: str | None) -> None:
    assert only(rss(f"<title>T</title><link>{link}</link>")).url == url


def test_a_base_in_the_document_counts() -> None:
    entry = "<entry><title>T</title><id>urn:1</id><link href='e/1'/></entry>"
    assert only(f"<feed xmlns='http://www.w3.org/2005/Atom' xml:base='https://b.example/x/'>{entry}</feed>").url == "https://b.example/x/e/1"
    assert only(f"<feed xmlns='http://www.w3.org/2005/Atom' xml:base='/y/'>{entry}</feed>").url == "https://news.example/y/e/1"


# people and tags


def test_an_author_is_a_keyed_hash_other_for_every_host() -> None:
    body = rss("<title>T</title><dc:creator>  Jo EXAMPLE </dc:creator>")
    found = only(body, key=KEY)
    assert found.author_hash is not None
    assert len(found.author_hash) == 64
    assert only(rss("<title>T</title><author>jo example</author>"), key=KEY).author_hash == found.author_hash
    assert only(body, key=b"another key").author_hash != found.author_hash
    assert only(body, key=KEY, feed=Feed(url="https://other.example/")).author_hash != found.author_hash
    assert "example" not in encode(found).decode().lower().replace("news.example", "")


def test_without_a_key_or_a_name_there_is_no_author() -> None:
    assert only(rss("<title>T</title><dc:creator>Jo</dc:creator>")).author_hash is None
    assert only(rss("<title>T</title><dc:creator> </dc:creator>"), key=KEY).author_hash is None


def test_tags_become_labels() -> None:
    found = only(rss("<title>T</title><category>公告</category><category> A &amp;amp; B </category><category/>"))
    assert found.labels == {"channels": ["公告", "A & B"]}
    assert only(rss("<title>T</title>")).labels == {}
    assert len(only(rss("<title>T</title>" + "".join(f"<category>{n}</category>" for n in range(100)))).labels["channels"]) == MAX_TAGS


# bodies


@pytest.mark.parametrize(
    "body", ["", " \n", "\ufeff", "plain", "[]", "<note/>", '{"error": "x"}', '{"version": "1", "items": []}', "{", '{"version": "https://jsonfeed.org/version/1"}']
)
def test_a_body_of_another_form_is_a_changed_page(body: str) -> None:
    with pytest.raises(PageChanged):
        read(body)


def test_a_wall_is_told_from_a_changed_page() -> None:
    with pytest.raises(SourceWalled):
        read("<html><title>Just a moment...</title></html>")


def test_the_label_of_the_server_is_heeded() -> None:
    found = only("<rss version='2.0'><channel><item><title>股价跌停</title></item></channel></rss>".encode("gbk"), **{"content-type": "text/xml; charset=GBK"})
    assert (found.title, found.extra["charset"], found.extra["charset_source"]) == ("股价跌停", "gb18030", "http")


def test_characters_that_could_not_be_read_are_counted() -> None:
    assert only(rss("<title>净利润同比下降百分之四十二</title>").encode().replace("四".encode(), b"\xe5\x9b")).extra["replaced_characters"] == 1


def test_only_so_many_items_are_read() -> None:
    items = [f"<title>{n}</title><guid isPermaLink='false'>{n}</guid>" for n in range(MAX_ITEMS + 5)]
    found = read(rss(*items))
    assert (len(found.documents), [problem.reason for problem in found.problems]) == (MAX_ITEMS, ["over_cap"])
    found = read(json_feed(*({"id": n, "title": "T"} for n in range(MAX_ITEMS + 5))))
    assert (len(found.documents), [problem.reason for problem in found.problems]) == (MAX_ITEMS, ["over_cap"])


# JSON Feed


@pytest.mark.parametrize("version", ["https://jsonfeed.org/version/1", "https://jsonfeed.org/version/1.1", "http://jsonfeed.org/version/1", "https://jsonfeed.org/version/2"])
def test_every_version_of_json_feed_is_read(version: str) -> None:
    assert only(json_feed({"id": "1", "title": "T"}, version=version)).title == "T"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"content_html": "<p>a</p>", "content_text": "b", "summary": "c"}, "a"),
        ({"content_html": "", "content_text": "b", "summary": "c"}, "b"),
        ({"content_html": None, "summary": "c"}, "c"),
        ({"content_text": "a\nb"}, "a\nb"),
    ],
)
def test_the_fullest_text_of_a_json_item_is_taken(fields: dict[str, Any], text: str) -> None:
    assert only(json_feed({"id": "1", "title": "T"} | fields)).text == text


@pytest.mark.parametrize(
    ("fields", "native_id", "url"),
    [
        ({"id": 7}, "news.example:7", None),
        ({"id": 7.5}, "news.example:7.5", None),
        ({"id": 12345678901234567890123}, "news.example:12345678901234567890123", None),
        ({"id": None, "url": "/1"}, "https://news.example/1", "https://news.example/1"),
        ({"external_url": "https://x.example/1"}, "https://x.example/1", "https://x.example/1"),
        ({"id": "https://x.example/1"}, "https://x.example/1", None),
    ],
)
def test_ids_and_links_of_json_items_come_in_many_forms(fields: dict[str, Any], native_id: str, url: str | None) -> None:
    found = only(json_feed({"title": "T"} | fields))
    assert (found.native_id, found.url) == (native_id, url)


@pytest.mark.parametrize(
    "trimmings",
    [{"author": "Jo"}, {"authors": "Jo"}, {"authors": [None, 3, {}]}, {"tags": "a"}, {"tags": [1, None]}, {"date_published": 1795431900}, {"date_published": {}}, {"author": []}],
)
def test_a_text_is_not_lost_for_its_trimmings(trimmings: dict[str, Any]) -> None:
    assert only(json_feed({"id": "1", "title": "T"} | trimmings), key=KEY).title == "T"


@pytest.mark.parametrize("bad", ["x", 7, None, [], {"title": 7}, {"title": "T", "id": []}, {"title": "T", "url": False}, {"content_html": ["x"]}])
def test_one_bad_item_costs_only_itself(bad: Any) -> None:
    found = read(json_feed({"id": "1", "title": "A"}, bad, {"id": "2", "title": "B"}))
    assert [document.title for document in found.documents] == ["A", "B"]
    assert [problem.reason for problem in found.problems] == ["invalid"]


def test_authors_of_both_versions_are_read() -> None:
    first, second = (only(json_feed({"id": "1", "title": "T"} | fields), key=KEY).author_hash for fields in ({"author": {"name": "Jo"}}, {"authors": [{"name": "Jo"}]}))
    assert first == second is not None


def test_a_raw_line_break_in_json_is_forgiven() -> None:
    assert only(json_feed({"id": "1", "title": "a@b"}).replace("@", "\n")).title == "a b"


@pytest.mark.parametrize("depth", [2_000, 200_000])
def test_nested_json_is_answered_quickly(depth: int) -> None:
    began_s = monotonic_s()
    with pytest.raises(PageChanged):
        read('{"version":"https://jsonfeed.org/version/1.1","_x":' + "[" * depth)
    assert monotonic_s() - began_s < 2


def test_two_hundred_thousand_nested_tags_are_answered_quickly() -> None:
    began_s = monotonic_s()
    with pytest.raises(PageChanged):
        read(rss("<a>" * 200_000))
    assert monotonic_s() - began_s < 2
