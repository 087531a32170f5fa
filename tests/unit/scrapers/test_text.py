from __future__ import annotations

import unicodedata

import pytest

from opinion.clock import monotonic_s
from scrapers.text import MAX_HTML_CHARS, MOST_MARKS, one_line, plain_text


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("", ""),
        ("   \n ", ""),
        ("<br>", ""),
        ("&nbsp;&#160;", ""),
        ("净利润下降", "净利润下降"),
        ("<p>One</p><p>Two</p>", "One\nTwo"),
        ("<P>One<BR/>Two</P>", "One\nTwo"),
        ("<div><div>One</div></div>\n\n\n<div>Two</div>", "One\nTwo"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("<table><tr><td>EPS</td><td>1.20</td></tr><tr><th>ROE</th><td>9%</td></tr></table>", "EPS 1.20\nROE 9%"),
        ("pro<b>fit</b> <a href='x'>fell</a>", "profit fell"),
        ("净利润<em>下降</em>", "净利润下降"),
        ("Profit\n  fell <i>again</i>\nin May", "Profit fell again in May"),
        ("<pre>a\nb</pre>", "a\nb"),
        ("first line\nsecond  line\t end", "first line\nsecond line end"),
        ("全角\u3000空格\u3000\u3000两个", "全角 空格 两个"),
    ],
)
def test_markup_becomes_what_a_reader_sees(markup: str, shown: str) -> None:
    assert plain_text(markup) == shown


@pytest.mark.parametrize(
    ("markup", "shown"),
    [
        ("AT&amp;T and S&P", "AT&T and S&P"),
        ("caf&eacute; &#8220;x&#8221; &#x80A1;", "café “x” 股"),
        ("5 &lt; 6", "5 < 6"),
        ("&amp;lt;b&amp;gt; stays", "&lt;b&gt; stays"),
        ("&#0;&#xD800;&#x110000; odd", "\ufffd\ufffd\ufffd odd"),
        ("&unknown; &; &#; &#x;", "&unknown; &; &#; &#x;"),
    ],
)
def test_references_are_resolved_once(markup: str, shown: str) -> None:
    assert plain_text(markup) == shown


@pytest.mark.parametrize("tag", ["script", "style", "noscript", "template", "iframe", "svg", "SCRIPT"])
def test_what_no_reader_sees_is_left_out(tag: str) -> None:
    assert plain_text(f"before <{tag} type='x'>if (a < b) hidden</{tag}> after") == "before after"


def test_comments_are_left_out() -> None:
    assert plain_text("a <!-- hidden <b>x</b> --> b") == "a b"


@pytest.mark.parametrize(
    "text",
    [
        "P < E and AT&T",
        "Apple <AAPL.O> falls, <.SPX> too, <T.N> not",
        "Q3<Q2 and Q4>Q3",
        "1<2, I <3 dividends",
        "<9988.HK> 涨停",
        "<cite",
        "a <b",
        "<!important>",
        "&copy and &lt without semicolons",
    ],
)
def test_what_only_looks_like_markup_stays(text: str) -> None:
    assert plain_text(text) == text


def test_a_code_in_angle_brackets_stays_beside_real_markup() -> None:
    assert plain_text("<p>Apple <AAPL.O> fell</p> <o:p>&nbsp;</o:p><x-tag>5%</x-tag>") == "Apple <AAPL.O> fell\n5%"


def test_control_characters_and_lone_surrogates_go() -> None:
    assert plain_text("a\x00b\x08c\ud800d\x7f") == "abcd"
    assert plain_text("<p>a\x00b\udc00</p>") == "ab"


def test_text_is_composed() -> None:
    assert plain_text("cafe\u0301 \u212b") == "café Å"
    assert plain_text("<b>cafe\u0301</b>") == "café"


def test_a_title_is_one_line() -> None:
    assert one_line("<p>茅台</p><p>净利润</p>") == "茅台 净利润"
    assert one_line(" a\n\n b ") == "a b"


def test_markup_beyond_a_megabyte_is_not_read() -> None:
    assert len(plain_text("x" * (MAX_HTML_CHARS + 1))) == MAX_HTML_CHARS


@pytest.mark.parametrize("tag", ["div", "p", "span", "table", "x-y", "svg"])
def test_a_megabyte_of_nested_tags_is_answered_quickly(tag: str) -> None:
    times = MAX_HTML_CHARS // (2 * len(tag) + 6)
    began_s = monotonic_s()
    assert plain_text(f"<{tag}>" * times + "x" + f"</{tag}>" * times) in ("x", "")
    assert monotonic_s() - began_s < 5


def test_text_below_deep_nesting_is_kept() -> None:
    assert plain_text("<div>" * 1_000 + "deep" + "</div>" * 1_000 + "<p>after</p>") == "deep\nafter"
    assert plain_text("<p>one" * 1_000 + "<script>hidden</script>end").endswith("oneend")


@pytest.mark.parametrize(
    "markup", ["<" * 300_000 + "<b>", "&" * 300_000 + "&amp;", "<a " * 100_000, "<!--" * 100_000, "&a" * 300_000 + "<b>", " \n" * 300_000 + "<b>", "<b" * 300_000]
)
def test_markup_that_never_ends_is_answered_quickly(markup: str) -> None:
    began_s = monotonic_s()
    plain_text(markup)
    assert monotonic_s() - began_s < 5


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\U0001e8d0\U0001e944", "\u0323\U0001e944"])
def test_a_pile_of_combining_marks_is_cut(marks: str) -> None:
    began_s = monotonic_s()
    shown = plain_text("a" + marks * 200_000 + "b")
    assert monotonic_s() - began_s < 5
    assert unicodedata.normalize("NFC", shown) == shown
    assert MOST_MARKS < len(shown) <= MOST_MARKS + 2


def test_rare_scripts_without_marks_stay_as_they_are() -> None:
    assert plain_text("\U00010330" * 100 + "\u0301") == "\U00010330" * 100 + "\u0301"
