from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from models.training.labelled import Columns, DataSet, read_labelled
from opinion.errors import ConfigError, InvalidRecord, Undecodable
from opinion.records import TOPICS, DocumentKind

DEFAULT = Columns()
NUMBERED = Columns(names=("negative", "positive", "neutral"))


def given(folder: Path, content: str | bytes, columns: Columns = DEFAULT, *, name: str = "set.csv", limit: int | None = None) -> DataSet:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_labelled(path, columns, limit=limit)


def lines(*records: object) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def test_rows_of_a_csv(tmp_path: Path) -> None:
    rows = given(tmp_path, '\ufefftext,Sentiment,topic,kind\n"up, up",bullish,Markets,social\n"two\nlines",负面,,\n').rows
    assert [(row.line, row.text, row.sentiment, row.topic, row.kind, row.lang) for row in rows] == [
        (2, "up, up", 2, TOPICS.index("Markets"), DocumentKind.SOCIAL, "en"),
        (4, "two\nlines", 0, None, DocumentKind.NEWS, "en"),
    ]


def test_rows_of_json_lines_have_titles_and_languages(tmp_path: Path) -> None:
    content = lines({"title": "T", "text": "x", "label": "NEU", "lang": "de"}, {"title": "公司亏损", "label": "neg", "entities": []}) + "\n \n"
    assert [(row.line, row.title, row.text, row.sentiment, row.lang) for row in given(tmp_path, content, name="set.jsonl").rows] == [
        (1, "T", "x", 1, "de"),
        (2, "公司亏损", "", 0, "zh-Hans"),
    ]


def test_compressed_sets_and_those_with_tabs(tmp_path: Path) -> None:
    assert len(given(tmp_path, gzip.compress(b"text,label\nx,pos\n"), name="set.csv.gz").rows) == 1
    assert len(given(tmp_path, gzip.compress(lines({"text": "x", "label": "pos"}).encode()), name="set.jsonl.gz").rows) == 1
    assert given(tmp_path, "text\tlabel\na, b\tpos\n", name="set.tsv").rows[0].text == "a, b"


def test_columns_by_other_names(tmp_path: Path) -> None:
    columns = Columns(text="body", label="mood", topic="label")
    (row,) = given(tmp_path, "title,body,mood,label\nT,x,pos,ipo\n", columns).rows
    assert (row.title, row.text, row.sentiment, row.topic) == ("", "x", 2, TOPICS.index("IPO"))


def test_numbers_stand_for_the_names_that_are_given(tmp_path: Path) -> None:
    assert [row.sentiment for row in given(tmp_path, "text,label\na,0\nb,1\nc,2.0\nd,neutral\n", NUMBERED).rows] == [0, 2, 1, 1]
    assert given(tmp_path, lines({"text": "a", "label": 1}), NUMBERED, name="set.jsonl").rows[0].sentiment == 2
    assert given(tmp_path, "text,topic\na,3\n", Columns(names=TOPICS)).rows[0].topic == 3


def test_rows_without_a_label_or_a_text_are_left_out_and_counted(tmp_path: Path) -> None:
    found = given(tmp_path, "text,label\na,\n ,pos\nb,neg\n")
    assert (len(found.rows), found.unlabelled, found.empty) == (1, 1, 1)


def test_entities_of_markup_are_read_as_what_they_stand_for(tmp_path: Path) -> None:
    assert given(tmp_path, "text,label\nAT&amp;T,pos\n").rows[0].text == "AT&T"


def test_a_limit_reads_the_first_rows_only(tmp_path: Path) -> None:
    assert [row.text for row in given(tmp_path, "text,label\na,pos\nb,neg\nc,joy\n", limit=2).rows] == ["a", "b"]


def test_a_separator_of_unicode_ends_no_line(tmp_path: Path) -> None:
    assert given(tmp_path, '{"text": "a\u2028b", "label": "pos"}\n', name="set.jsonl").rows[0].text == "a\u2028b"


@pytest.mark.parametrize(
    ("content", "columns", "says"),
    [
        ("body,label\nx,pos\n", DEFAULT, "no column `text` or `title`, only `body`, `label`: name it with --text-column"),
        ("text,mood\nx,pos\n", DEFAULT, "no column `sentiment`, `label` or `topic`, only `text`, `mood`: name it with --label-column"),
        ("text,label\nx,pos\n", Columns(text="body"), "no column `body`, only"),
        ("text,label\nx,pos\n", Columns(label="mood"), "no column `mood`, only"),
        ("text,label\nx,1\n", DEFAULT, r"line 2: the label is the number 1: say what .* --labels negative,neutral,positive"),
        ("text,label\nx,pos\n", Columns(names=("joy", "positive")), r"--labels: 'joy' is no sentiment and no topic"),
    ],
)
def test_what_the_options_must_say_is_wrong_usage(tmp_path: Path, content: str, columns: Columns, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        given(tmp_path, content, columns)


@pytest.mark.parametrize(
    ("content", "columns", "says"),
    [
        ("text,label\nx,pos\ny,joy\n", DEFAULT, "line 3: the label 'joy' is not known"),
        ("text,topic\nx,Sports\n", DEFAULT, "line 2: the topic 'Sports' is not known"),
        ("text,label\nx,3\n", NUMBERED, "line 2: the label 3 has no name among 3"),
        ("text,label\nx,-1\n", NUMBERED, "line 2: the label -1 has no name"),
        ("text,label,kind\nx,pos,blog\n", DEFAULT, "line 2: the kind 'blog' is none of news, flash"),
        ("text,label\n", DEFAULT, "holds no rows"),
        ("", DEFAULT, "holds no rows"),
        ("text,label\nx,\n", DEFAULT, "none of 1 rows has a text and a label"),
    ],
)
def test_rows_that_are_wrong_are_named(tmp_path: Path, content: str, columns: Columns, says: str) -> None:
    with pytest.raises(InvalidRecord, match=says):
        given(tmp_path, content, columns)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("set.jsonl", b'{"text": "x", "label": "pos"}\n{"text"\n', "line 2"),
        ("set.jsonl", b"[1]\n", "line 1"),
        ("set.jsonl", b'"x"\n', "line 1"),
        ("set.csv", b"text,label\nx, y,pos\n", "line 2: more fields"),
        ("set.csv", b"text,label\n" + b"x" * 200_000 + b",pos\n", "after line 1"),
        ("set.csv", b"text,label\n\xff,pos\n", "utf-8"),
        ("set.csv.gz", b"text,label\n", "gzip"),
        ("set.csv.gz", gzip.compress(b"text,label\nx,pos\n")[:-9], "set.csv.gz"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(Undecodable, match=says) as caught:
        given(tmp_path, content, name=name)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_of_another_form(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_labelled(tmp_path / "set.csv", DEFAULT)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        read_labelled(tmp_path / "folder.csv", DEFAULT)
    with pytest.raises(ConfigError, match=r"expected a name ending in \.csv"):
        given(tmp_path, "x", name="set.parquet")
