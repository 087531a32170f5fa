from __future__ import annotations

import pytest

from models.tokens import Tokens
from models.training.examples import FRAME_TOKENS, UNLABELLED, Example, Target, batch_of, batches, examples_of, in_register, long_ones, masked
from models.training.rows import Row
from opinion.records import DocumentKind
from tests.support.model import tiny_directory


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tiny_directory(tmp_path_factory.mktemp("model")) / "tokenizer.json", max_tokens=32)


def made(count: int, *, sentiment: int = 0) -> list[Example]:
    return [Example([0, 5, 6, *[10 + number] * (1 + number % 9), 2], number % 2, number % 4, sentiment=sentiment) for number in range(count)]


def test_a_row_becomes_ids_and_labels(tokens: Tokens) -> None:
    row = Row("sentfin", "acme beats zeta", DocumentKind.SOCIAL, "en", sentiment=None, topic=3, entities=((0, 4, 2), (11, 15, 0)))
    (example,) = examples_of([row], tokens, weights=[1.5])
    assert (example.kind, example.group, example.sentiment, example.topic, example.weight) == (1, 1, UNLABELLED, 3, 1.5)
    assert [target.sentiment for target in example.targets] == [2, 0]
    pieces = tokens.pieces(row.text)
    for target, name in zip(example.targets, ("acme", "zeta"), strict=True):
        assert "".join(row.text[start:end] for start, end in pieces.spans[target.start : target.end]).strip() == name


def test_a_name_that_was_cut_off_is_no_target(tokens: Tokens) -> None:
    text = "word " * 100 + "acme"
    (example,) = examples_of([Row("x", text, DocumentKind.NEWS, "en", entities=((len(text) - 4, len(text), 2),))], tokens, weights=[1.0])
    assert example.targets == ()
    assert len(example.ids) == 32


def test_an_epoch_holds_every_example_once_within_the_budget() -> None:
    given = made(500)
    found = list(batches(given, most_tokens=64, most_rows=7, seed=1))
    assert sorted(map(id, (one for batch in found for one in batch.examples))) == sorted(map(id, given))
    assert all(len(batch.examples) <= 7 and len(batch.examples) * max(len(one.ids) for one in batch.examples) <= 64 for batch in found)


def test_epochs_of_one_seed_are_equal_and_of_two_are_not() -> None:
    given = made(200)

    def order(seed: int) -> list[list[int]]:
        return [one.ids for batch in batches(given, most_tokens=64, most_rows=7, seed=seed) for one in batch.examples]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_long_texts_are_made_of_short_ones_of_their_sentiment() -> None:
    found = long_ones(made(400), share=0.1, most_tokens=40, seed=1)
    assert len(found) == 40
    for example in found:
        assert len(example.ids) <= 40
        assert (example.ids[0], example.ids[-1], example.sentiment) == (0, 2, 0)
        assert example.ids.count(2) == 1
        sources = {piece - 10 for piece in example.ids[FRAME_TOKENS:-1]}
        assert {source % 4 for source in sources} == {example.group}


def test_masking_leaves_the_frame_and_the_names() -> None:
    example = Example([0, 5, 6, *range(10, 90), 2], 0, 0, targets=(Target(20, 30, 1),))
    (row,) = masked(batch_of([example]), share=0.5, unknown=3, seed=1)
    assert row[:FRAME_TOKENS] == example.ids[:FRAME_TOKENS]
    assert row[20:30] == example.ids[20:30]
    assert row[-1] == 2
    assert 20 < sum(piece == 3 for piece in row) < 50
    assert masked(batch_of([example]), share=0.0, unknown=3, seed=1) == [example.ids]


def test_headlines_of_either_register_are_read_as_each_in_turn(tokens: Tokens) -> None:
    tweet, other = examples_of([Row(dataset, "acme", DocumentKind.SOCIAL, "zh", sentiment=1) for dataset in ("twitter-financial-topic", "synthetic")], tokens, weights=[1.0, 1.0])
    assert [(one.kind, one.group) for one in (in_register(tweet, epoch=number) for number in range(4))] == [(1, 3), (0, 2), (1, 3), (0, 2)]
    assert [in_register(other, epoch=number) for number in range(2)] == [other, other]


def test_what_a_teacher_said_stands_beside_the_labels() -> None:
    batch = batch_of([Example([0, 5, 6, 7, 2], 0, 0, sentiment=1), Example([0, 5, 6, 8, 2], 0, 0, topic=4, said_sentiment=(0.25, 0.5, 0.25))])
    assert batch.said_sentiments.tolist() == [[0, 0, 0], [0.25, 0.5, 0.25]]
    assert batch.said_topics.shape == (2, 20)
    assert not batch.said_topics.any()
