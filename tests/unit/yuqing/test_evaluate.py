from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.training.labelled import Columns, read_labelled
from models.training.report import Evaluation
from opinion.errors import PoisonText
from opinion.records import TOPICS, Document, Judgement, Sentiment
from opinion.settings import Settings
from tests.unit.models.test_judge import Backend
from tests.unit.yuqing.conftest import Command
from yuqing.evaluate import PICTURE, REPORT, evaluate, run_evaluation, stem_of

PNG = b"\x89PNG\r\n\x1a\n"


class Judge:
    """Reads the first word: a sentiment, or `poison`."""

    model = "m@r"

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        return [self._one(document) for document in documents]

    def _one(self, document: Document) -> Judgement | PoisonText:
        word = (document.title or document.text).split()[0]
        if word == "poison":
            return PoisonText("fails alone")
        sentiment = {"down": Sentiment(0.5, 0.4, 0.1), "flat": Sentiment(0.2, 0.7, 0.1), "up": Sentiment(0.1, 0.3, 0.6), "hazy": Sentiment(0.1, 0.6, 0.3)}[word]
        return Judgement(sentiment=sentiment, polarity=sentiment.polarity, topics={name: 1.0 if name == "Macro" else 0.0 for name in TOPICS}, topic="Macro", backend="fake")


def evaluated(folder: Path, content: str) -> Evaluation:
    path = folder / "set.csv"
    path.write_text(content)
    return evaluate(read_labelled(path, Columns()), Judge(), dataset=path.name, sha256="0")


def test_what_a_set_has_labels_for_is_reported(tmp_path: Path) -> None:
    found = evaluated(tmp_path, "text,label,topic,kind,lang\nup a,pos,Macro,social,en\ndown b,neu,IPO,qa,zh-Hans\nflat c,neu,,flash,zh-Hant\n")
    sentiment, topic = found.sections
    assert (sentiment.question, topic.question) == ("sentiment", "topic")
    assert (sentiment.whole.quality.rows, topic.whole.quality.rows) == (3, 2)
    assert {name: report.quality.rows for name, report in sentiment.by_language.items()} == {"zh": 2, "en": 1}
    assert {name: report.quality.rows for name, report in sentiment.by_kind.items()} == {"social": 2, "news": 1}
    assert topic.whole.quality.accuracy == 0.5


def test_a_set_of_two_poles_is_judged_without_neutral_too(tmp_path: Path) -> None:
    sentiment, polarity = evaluated(tmp_path, "text,label\nup a,pos\nhazy b,pos\ndown c,neg\n").sections
    assert (sentiment.whole.quality.accuracy, polarity.whole.quality.accuracy) == (0.6667, 1.0)
    assert polarity.whole.labels == ["negative", "positive"]


def test_a_text_that_the_model_fails_on_is_counted(tmp_path: Path) -> None:
    found = evaluated(tmp_path, "text,label\nup a,pos\npoison b,neg\n")
    assert found.texts == 1
    assert [(failure.line, failure.error) for failure in found.failures] == [(3, "fails alone")]


def test_a_model_that_fails_on_each_text_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(PoisonText, match="each of 2 texts"):
        evaluated(tmp_path, "text,label\npoison a,pos\npoison b,neg\n")


@pytest.mark.parametrize(("name", "stem"), [("a.csv", "a"), ("a.b.jsonl.gz", "a.b"), ("a.gz.csv", "a.gz"), ("集.csv", "集")])
def test_the_folder_is_named_after_the_set(name: str, stem: str) -> None:
    assert stem_of(Path("x") / name) == stem


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuqing.evaluate.load_backend", lambda settings: Backend())


def run(dataset: Path, out: Path, *, as_json: bool = False) -> str:
    said = io.StringIO()
    run_evaluation(dataset, out=out, columns=Columns(), limit=None, settings=Settings(), stdout=said, as_json=as_json)
    return said.getvalue()


def test_report_and_picture_are_written(tmp_path: Path, fake_model: None) -> None:
    dataset, out = tmp_path / "集.csv", tmp_path / "deep" / "out"
    dataset.write_text("text,label,topic\n bad a,neg,Macro\nfine b,neu,IPO\nbad c,pos,\nmy poison,neg,\n")
    said = run(dataset, out)
    report = json.loads((out / REPORT).read_bytes())
    assert (report["dataset"], report["model"], report["texts"]) == ("集.csv", "m@r", 3)
    assert [section["question"] for section in report["sections"]] == ["sentiment", "topic"]
    assert report["failures"][0]["line"] == 5
    assert (out / PICTURE).read_bytes().startswith(PNG)
    assert said.startswith("集.csv: 3 texts judged by m@r (fake)\nfailed: 1 text, first line 5:")
    assert said.endswith(f"{out}: {REPORT}, {PICTURE}\n")
    assert json.loads(run(dataset, out, as_json=True)) == report


def test_one_text_is_enough_for_a_picture(tmp_path: Path, fake_model: None) -> None:
    dataset = tmp_path / "set.jsonl"
    dataset.write_text('{"text": "bad", "label": "neg"}\n')
    run(dataset, tmp_path / "out")
    assert (tmp_path / "out" / PICTURE).read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("content", "options", "code", "says"),
    [
        (None, (), 2, "yuqing: set.csv: No such file or directory"),
        ("body,label\nx,pos\n", (), 2, "yuqing: set.csv has no column `text` or `title`, only `body`, `label`: name it with --text-column"),
        ("text,label\nx,pos\n", ("--label-column", "mood"), 2, "yuqing: set.csv has no column `mood`, only `text`, `label`"),
        ("text,label\nx,1\n", (), 2, "yuqing: line 2: the label is the number 1: say what the numbers from 0 on stand for, e.g. --labels negative,neutral,positive"),
        ("text,label\nx,1\n", ("--labels", "neg, joy"), 2, "yuqing: --labels: 'joy' is no sentiment and no topic"),
        ("text,label\nx,joy\n", (), 1, "yuqing: line 2: the label 'joy' is not known"),
        ("text,label\n", (), 1, "yuqing: set.csv holds no rows"),
        ("text,label\nx,pos\n", ("--model", "nowhere"), 1, "yuqing: nowhere/card.json: No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(command: Command, content: str | None, options: tuple[str, ...], code: int, says: str) -> None:
    if content is not None:
        Path("set.csv").write_text(content)
    result = command("evaluate", "set.csv", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", f"{says}\n")
    assert list(Path().glob("evaluation-*")) == []


def test_a_folder_that_cannot_be_made_is_wrong_usage(command: Command, fake_model: None) -> None:
    Path("set.csv").write_text("text,label\nx,pos\n")
    result = command("evaluate", "set.csv", "--out", "set.csv/out")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "yuqing: set.csv/out: Not a directory\n")


def test_the_command_passes_its_options_on(command: Command, fake_model: None) -> None:
    Path("set.csv").write_text("body,mood,about\nbad,1,ipo\nfine,0,\nfine,0,\n")
    result = command("evaluate", "set.csv", "--text-column", "body", "--label-column", "mood", "--topic-column", "about", "--labels", "pos,neg", "--limit", "2", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["texts"] == 2
    assert Path("evaluation-set", REPORT).exists()
