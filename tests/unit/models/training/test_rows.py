from __future__ import annotations

from collections import Counter

import pytest

from models.training.clusters import clusters_of, normal_form, position
from models.training.rows import Row, all_rows, decisions


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return all_rows()


def test_every_set_is_read_whole(rows: list[Row]) -> None:
    counts = Counter((row.dataset, row.evaluation) for row in rows)
    assert counts == {
        ("twitter-financial-sentiment", False): 9543,
        ("twitter-financial-sentiment", True): 2388,
        ("twitter-financial-topic", False): 16990,
        ("twitter-financial-topic", True): 4117,
        ("sentfin", False): 10_753,
        ("synthetic", False): 12_046,
    }


def test_twitter_labels_are_in_their_own_order(rows: list[Row]) -> None:
    counts = Counter(row.sentiment for row in rows if row.dataset == "twitter-financial-sentiment" and not row.evaluation)
    assert (counts[0], counts[1], counts[2]) == (1442, 6178, 1923)  # bearish, neutral, bullish as published


def test_no_row_keeps_html_entities(rows: list[Row]) -> None:
    assert not [row.text for row in rows if "&amp;" in row.text]


def test_names_with_quotes_do_not_hide_a_label() -> None:
    assert decisions("""{"Osian's Art Fund": 'negative', 'Moody's': "positive", 'A': 'neutral'}""") == [("Osian's Art Fund", "negative"), ("Moody's", "positive"), ("A", "neutral")]


def test_nothing_in_a_label_is_executed() -> None:
    assert decisions("__import__('os').abort()") == []


def test_reprints_share_a_cluster_and_other_news_do_not() -> None:
    texts = ["$AAPL - Apple declares $0.175 dividend https://t.co/a", "$AAPL - Apple declares $0.955 dividend https://t.co/b", "Oil slides on demand fears in Asia"]
    assert clusters_of(texts) == [0, 0, 2]


def test_contrast_pairs_share_a_cluster_by_their_opening() -> None:
    texts = ["竞价就抢成这样,今天稳了", "竞价就抢成这副样子还不跑是要等着站岗吗", "利好出尽"]
    assert clusters_of(texts, openings=range(3)) == [0, 0, 2]
    assert clusters_of(texts) == [0, 1, 2]


def test_the_place_of_a_cluster_does_not_depend_on_links_or_numbers() -> None:
    assert normal_form("Up 5% https://t.co/x") == normal_form("UP 17 %!")
    assert position("Up 5%") == position("up 17 %")
    assert 0 <= position("anything") < 1
