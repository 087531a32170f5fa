from __future__ import annotations

import pytest

from opinion.clock import monotonic_s
from opinion.errors import PageChanged, SourceError, SourceWalled
from scrapers.markup import MAX_ATTRIBUTES, MAX_ITEMS, MAX_TAGS, Markup, safe_markup

QUICK_S = 2.0


def rss(inside: str) -> str:
    return f'<rss version="2.0"><channel>{inside}</channel></rss>'


def items(number: int) -> str:
    return "".join(f"<item><title>{n}</title></item>" for n in range(number))


def refusal(text: str) -> SourceError:
    """How a text is refused, which must not take long."""
    began_s = monotonic_s()
    with pytest.raises(SourceError) as caught:
        safe_markup(text)
    assert monotonic_s() - began_s < QUICK_S
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        rss("<item><title>a</title></item>"),
        rss(""),
        "<feed xmlns='http://www.w3.org/2005/Atom'><entry/></feed>",
        "<atom:feed xmlns:atom='http://www.w3.org/2005/Atom'></atom:feed>",
        "<rdf:RDF xmlns:rdf='x'><item/></rdf:RDF>",
        "<RSS><CHANNEL></CHANNEL></RSS >",
        "<!-- <html> --><?xml-stylesheet href='<html>'?>" + rss(""),
        "<!DOCTYPE rss PUBLIC '-//Example//DTD RSS 0.91//EN' 'https://dtd.example/rss-0.91.dtd'>" + rss(""),
        "<!DOCTYPE rss [<!ELEMENT rss (channel)>]>" + rss(""),
        "Notice: undefined index in feed.php on line 3\n" + rss(""),
    ],
)
def test_every_form_of_feed_passes_unchanged(text: str) -> None:
    assert safe_markup(text) == Markup(text, truncated=False, over_cap=False)


def test_the_declaration_goes_for_its_label_is_no_longer_true() -> None:
    assert safe_markup('\n <?xml version="1.0" encoding="gb2312"?>\n' + rss("")).text.strip() == rss("")


def test_characters_that_xml_does_not_know_go() -> None:
    assert safe_markup(rss("<title>a\x00b\x08c\ufffed\ud800e\tf</title>")).text == rss("<title>abcde\tf</title>")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("S&P 500, R&D & more", "S&amp;P 500, R&amp;D &amp; more"),
        ("caf&eacute;&nbsp;&euro;5", "café\xa0€5"),
        ("&amp; &lt; &gt; &quot; &apos;", "&amp; &lt; &gt; &quot; &apos;"),
        ("&amp;eacute; &amp;amp;", "&amp;eacute; &amp;amp;"),
        ("&AMP; &LT;", "&amp; &lt;"),
        ("&#8217;&#x80A1;", "’股"),
        ("&#146; &#x92;", "’ ’"),
        ("&#60;b&#62; &#38;amp;", "&lt;b&gt; &amp;amp;"),
        ("&#0; &#xD800; &#1114112; &#1;", "\ufffd \ufffd \ufffd "),
        ("&nosuch; &T;", "&amp;nosuch; &amp;T;"),
        ("?a=1&copy=2&b=3", "?a=1&amp;copy=2&amp;b=3"),
        ("&&&;", "&amp;&amp;&amp;;"),
    ],
)
def test_references_become_what_xml_knows(given: str, meant: str) -> None:
    assert safe_markup(rss(given)).text == rss(meant)


def test_a_section_of_characters_is_left_alone() -> None:
    section = "<![CDATA[a & b &eacute; &#146; <br> ?a=1&b=2]]>"
    assert safe_markup(rss(f"&{section}&{section}&")).text == rss(f"&amp;{section}&amp;{section}&amp;")


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html><html><body>Markets fell</body></html>",
        "<!doctype HTML>\n<p>Markets",
        "<html><head><title>Example</title></head></html>",
        "<HTML></HTML>",
        "<!-- x --><body>",
        "<script>location='/'</script>",
        "<>",
    ],
)
def test_a_page_is_no_feed(text: str) -> None:
    error = refusal(text)
    assert isinstance(error, PageChanged)
    assert "HTML page" in str(error)


@pytest.mark.parametrize(
    "inside",
    [
        "<title>Just a moment...</title>",
        "<script src='/cdn-cgi/challenge-platform/h/b/orchestrate'></script>",
        "<script src='/_Incapsula_Resource?x'></script>",
        "<script>var arg1='acw_sc__v2'</script>",
        "<div id='px-captcha'></div>",
        "Please enable JavaScript and cookies to continue",
        "<input type=password name=p>",
        '<input name="p" TYPE="password">',
        "<title>访问验证</title>",
        "请完成验证后继续访问",
        "系统检测到您的网络存在异常，请输入验证码",
        "Our systems have detected unusual traffic from your network",
        "<h1>Access Denied</h1>",
    ],
)
def test_a_challenge_or_login_page_is_a_wall(inside: str) -> None:
    assert isinstance(refusal(f"<!DOCTYPE html><html><body>{inside}</body></html>"), SourceWalled)


def test_a_feed_that_speaks_of_captchas_is_a_feed() -> None:
    assert not safe_markup(rss("<item><title>Access denied: captcha, 验证码</title></item>")).truncated


@pytest.mark.parametrize("text", ["", "  ", "upstream connect error", "5 > 4", "<note/>", "<svg></svg>", "<?xml version='1.0'?>", "<!-- never ends", "<!DOCTYPE rss", "<?x"])
def test_what_is_neither_is_refused_too(text: str) -> None:
    assert isinstance(refusal(text), PageChanged)


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE rss [<!ENTITY a "aa">]>',
        '<!doctype rss [<!entity a "aa">]>',
        '<!DOCTYPE rss [<!ENTITY % p SYSTEM "https://x.example/x.dtd"> %p;]>',
        '<!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE rss [<!ENTITY a "]>"><!ENTITY b "&a;&a;">]>',
        '<!-- x --><!DOCTYPE rss SYSTEM "x" [ <!-- ]> --> <!ENTITY a "aa"> ]>',
        '<?xml version="1.0"?>\n<!DOCTYPE rss [\n<!ENTITY a "aa">\n]>',
    ],
)
def test_entities_are_refused_however_they_are_written(doctype: str) -> None:
    assert isinstance(refusal(doctype + rss("<title>&a;</title>")), PageChanged)


def test_the_word_entity_in_an_item_is_no_definition() -> None:
    assert "&lt;!ENTITY" in safe_markup(rss("<title>&lt;!ENTITY a&gt;</title>")).text
    assert safe_markup(rss("<title><![CDATA[<!ENTITY a>]]></title>")).text


@pytest.mark.parametrize("cut", [1, 20, 35])
def test_a_feed_that_breaks_off_ends_after_its_last_whole_item(cut: int) -> None:
    whole = "<rss version='2.0'><channel><item><title>a</title></item>"
    found = safe_markup((whole + "<item><title>b</title><description>long text")[:-cut])
    assert found == Markup(whole + "</channel></rss>", truncated=True, over_cap=False)


def test_a_feed_that_breaks_off_in_its_first_item_has_none() -> None:
    found = safe_markup("<feed><title>f</title><entry><title>a</title><summary>long te")
    assert found == Markup("<feed><title>f</title></feed>", truncated=True, over_cap=False)


@pytest.mark.parametrize("text", ["<rss><channel><title>quiet", "<rdf:RDF xmlns:rdf='x'><items><rdf:Seq><rdf:li/></rdf:Seq></items>"])
def test_a_feed_that_breaks_off_before_its_first_item_is_still_one(text: str) -> None:
    found = safe_markup(text)
    assert found.truncated
    assert found.text.startswith(text)


@pytest.mark.parametrize("tail", ["\n", "<!-- cached -->", "<script>count()</script>", "\x00\x00", "<!-- a --><!-- b -->"])
def test_what_comes_after_the_end_is_not_read(tail: str) -> None:
    assert safe_markup(rss(items(1)) + tail) == Markup(rss(items(1)), truncated=False, over_cap=False)


def test_items_over_the_cap_are_cut_off() -> None:
    assert safe_markup(rss(items(MAX_ITEMS))) == Markup(rss(items(MAX_ITEMS)), truncated=False, over_cap=False)
    assert safe_markup(rss(items(MAX_ITEMS + 1))) == Markup(rss(items(MAX_ITEMS)), truncated=False, over_cap=True)


def test_items_made_of_too_many_tags_are_cut_off() -> None:
    small, large = "<item>a</item>", "<item>" + "<b/>" * MAX_TAGS + "</item>"
    assert safe_markup(rss(small + large + small)) == Markup(rss(small), truncated=False, over_cap=True)


def test_tags_in_sections_and_comments_do_not_count() -> None:
    text = rss(f"<item><![CDATA[{'<b/>' * MAX_TAGS}]]><!-- {'<b/>' * MAX_TAGS} --></item>")
    assert not safe_markup(text).over_cap


def test_an_element_of_very_many_attributes_is_refused() -> None:
    attributes = [f"xmlns:a{n}='https://x.example/{n}'" for n in range(MAX_ATTRIBUTES + 1)]
    assert not safe_markup(rss(f"<x {' '.join(attributes[:40])}/>")).over_cap
    assert isinstance(refusal(rss(f"<x {' '.join(attributes)}/>")), PageChanged)


@pytest.mark.parametrize(
    "text",
    [
        rss("<a>" * 200_000),
        rss("<a>" * 200_000 + "</a>" * 200_000),
        "<rss>" * 200_000,
        "<!DOCTYPE a>" * 100_000,
        "<!DOCTYPE a [>" * 100_000,
        "<!DOCTYPE a [" * 100_000 + "]",
        "<?x?>" * 200_000,
        "<!---->" * 200_000,
        "<!--" * 200_000,
        "<" * 1_000_000,
        " " * 3_000_000,
    ],
)
def test_what_is_made_to_take_long_is_refused_quickly(text: str) -> None:
    assert isinstance(refusal(text), PageChanged)


@pytest.mark.parametrize("inside", ["<![CDATA[" * 100_000, "&" * 300_000, "&#" * 300_000, "<!--" * 100_000, "< " * 300_000, "]]>" * 200_000])
def test_what_never_ends_is_read_quickly(inside: str) -> None:
    began_s = monotonic_s()
    safe_markup(rss(f"<item>{inside}</item>"))
    assert monotonic_s() - began_s < QUICK_S
