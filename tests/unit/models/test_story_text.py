from __future__ import annotations

from typing import Any

import pytest

from models.stories import novelty
from models.story_text import NORMAL_CHARS, normal_form, story_id_of
from tests.support.records import document

EN = "Acme Corp cut 1,200 jobs on Monday after a weak quarter and warned that sales would fall again next year, sending shares down 9%."
ZH = "宁德时代公告，公司第三季度实现营业收入922.8亿元，同比下降12.5%，净利润131.4亿元，主要受原材料价格波动影响，公司将继续控制成本。"


def story(text: str, number: int = 1, **changes: Any) -> str:
    return story_id_of(document(number, **({"title": "", "text": text} | changes)))


@pytest.mark.parametrize(
    "reprint",
    [
        "NEW YORK, Nov 23 (Reuters) - {}",
        "(Bloomberg) -- {}",
        "LONDON, Nov. 23, 2026 /PRNewswire/ -- {}",
        "RT @desk: {} https://t.co/abc",
        "RT @a: RT @b_c: {}",
        "{} Read more...",
        "{}\nContinue reading »",
        "{} (Reporting by Jo Doe; editing by Al Roe)",
        "{}\n© 2026 Example Media. All rights reserved",
        "{}\nSource: Reuters",
        "{} via @nytimes",
        "{} - Reuters",
        "\U0001f6a8\U0001f6a8 {} \U0001f4c9",
        "  {}\n\n",
        "{} https://example.org/a?b=1#c www.example.org/x",
    ],
)
def test_an_english_reprint_tells_the_same_story(reprint: str) -> None:
    assert story(reprint.format(EN)) == story(EN)


@pytest.mark.parametrize(
    "reprint",
    [
        "财联社11月23日电，{}",
        "新华社讯：{}",
        "【快讯】{}",
        "【宁德时代：三季度营收下降】{}",
        "【三季报】财联社11月23日电，{}",
        "转发微博//@财经网:{}",
        "//@张三: {} http://t.cn/A6x 全文",
        "转自@某某：{}",
        "来源：新华网\n{}",
        "原标题：{}",
        "{}（完）",
        "{}(证券时报)",
        "{}\n责任编辑：李四",
        "{}（责任编辑：王五 HN001）",
        "{}来源：新浪财经",
        "{} 阅读全文",
        "{}转载自：某公众号",
    ],
)
def test_a_chinese_reprint_tells_the_same_story(reprint: str) -> None:
    assert story(reprint.format(ZH)) == story(ZH)


def test_case_width_and_punctuation_do_not_matter() -> None:
    assert story(EN.upper()) == story(EN)
    assert story(EN.replace(",", "").replace(".", "")) == story(EN)
    assert story(ZH.replace("，", " ,").replace("9", "９")) == story(ZH)


def test_another_number_is_another_story() -> None:
    assert story(EN.replace("1,200", "1,300")) != story(EN)
    assert story(ZH.replace("12.5%", "12.6%")) != story(ZH)


def test_a_long_enough_text_is_known_under_any_title() -> None:
    assert story(EN, title="Acme swings the axe") == story(EN, title="Job cuts at Acme") == story(EN)


def test_a_title_repeated_in_the_text_does_not_matter() -> None:
    assert story(f"Acme cuts jobs. {EN}", title="Acme cuts jobs") == story(EN, title="Acme cuts jobs")


def test_a_short_text_is_known_with_its_title() -> None:
    assert story("Shares fell.", title="Acme cuts jobs") == story("Shares fell.", 2, title="Acme cuts jobs")
    assert story("Shares fell.", title="Acme cuts jobs") != story("Shares fell.", title="Zenith cuts jobs")


def test_a_headline_alone_is_a_story_whether_it_stands_as_title_or_text() -> None:
    assert story("", title="茅台股价跌停收盘") == story("茅台股价跌停收盘", 2) == story("茅台股价跌停收盘", 3, title="茅台股价跌停收盘")


@pytest.mark.parametrize("text", ["涨停了", "again??", "\U0001f602\U0001f602\U0001f602", "转发微博"])
def test_the_same_short_post_of_two_people_is_two_stories(text: str) -> None:
    assert story(text, 1, kind="social") != story(text, 2, kind="social")
    assert story(text, 1, kind="social") == story(text, 1, kind="social", author_hash="other")


def test_the_same_long_post_of_two_people_is_one_story() -> None:
    assert story("快来加群领取明日涨停牛股代码先到先得", 1, kind="social") == story("快来加群领取明日涨停牛股代码先到先得", 2, kind="social")


def test_only_the_beginning_counts() -> None:
    long = "word" * NORMAL_CHARS
    assert story(long + "a") == story(long + "b")


def test_a_mark_alone_is_no_empty_story() -> None:
    assert normal_form("转发微博")
    assert story("RT @a:", 1) != story("RT @a:", 2)


def test_an_id_has_its_form() -> None:
    assert story(EN).startswith("st_")
    assert len(story(EN)) == 27


def test_novelty_falls_with_every_telling() -> None:
    values = [novelty(size) for size in range(1, 50)]
    assert values[0] == 1.0
    assert values == sorted(set(values), reverse=True)
    assert values[-1] > 0
    assert novelty(0) == 1.0
