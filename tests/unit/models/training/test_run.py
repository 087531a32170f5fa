from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from models import encoder_files
from models.cards import ADAPTERS, CARD, HEADS, read_card
from models.registry import load_backend
from models.training import average, finish, run
from models.training.config import TrainConfig, load_config
from models.training.rows import Row
from models.training.run import train, weights_of
from models.training.split import Part
from models.training.tune import Progress
from opinion.errors import ConfigError, ModelLoadError
from opinion.records import DocumentKind
from opinion.settings import Settings
from tests.support.model import tiny_directory

WORDS = ("falls", "holds", "rises")


def material() -> tuple[list[Row], list[Part]]:
    """Texts whose last word is their sentiment; every fifth names two companies."""
    rows, parts = [], []
    for number in range(105):
        label = number % 3
        text = f"acme share {WORDS[label]}"
        topic = label
        entities = ((0, 4, label),) if number % 5 else ((0, 4, label), (5, 10, 2 - label))
        rows.append(Row("synthetic", text, DocumentKind.SOCIAL if number % 2 else DocumentKind.NEWS, "en" if number % 4 < 2 else "zh", label, topic, entities=entities))
        parts.append((Part.MEASURE, Part.CALIBRATE, *[Part.TRAIN] * 5)[number // 3 % 7])
    return rows, parts


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "material", material)
    monkeypatch.setattr(finish, "EMBEDDING_ROWS", 50)
    return tiny_directory(tmp_path / "models")


CONFIG = TrainConfig(epochs=2, max_tokens=64, rank=2, head_hidden=8, batch_rows=16, batch_tokens=512, average=0.5)
LEARNS = msgspec.structs.replace(CONFIG, epochs=12, learning_rate=3e-3, head_learning_rate=1e-2, head_dropout=0.0, dropout=0.0, masked_share=0.0)


def test_a_training_writes_a_folder_that_loads_as_a_model(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Progress] = []
    out = tmp_path / "run"
    card = train(CONFIG, out, base=base, device="cpu", threads=1, on_progress=heard.append)
    assert {path.name for path in out.iterdir()} == {ADAPTERS, HEADS, CARD, run.CONFIG, run.PROGRESS, run.METRICS}
    assert msgspec.toml.decode((out / run.CONFIG).read_bytes(), type=TrainConfig) == CONFIG
    assert heard[-1].step == heard[-1].steps
    assert [msgspec.json.decode(line)["step"] for line in (out / run.PROGRESS).read_bytes().splitlines()] == [one.step for one in heard]
    assert set(card["scores"]["sentiment"]) == {"synthetic en news, held out", "synthetic en social, held out", "synthetic zh news, held out", "synthetic zh social, held out"}
    assert card["trained_on"]["synthetic"]["rows"] == sum(part is Part.TRAIN for part in material()[1])
    assert read_card(out).trained_at is not None
    assert all(len(score.rows_sha256) == 16 for head in ("sentiment", "topics", "entity") for score in read_card(out).measured(head).values())
    monkeypatch.setattr(encoder_files, "prepare_model", lambda _: base)
    backend = load_backend(Settings(model=str(out), data_dir=tmp_path, model_dir=tmp_path / "models", device="cpu", max_tokens=64))
    assert (backend.model, backend.revision) == ("yuqing-e5-small", card["revision"])
    assert len(backend.score([material()[0][0].input]).entities[0]) == 2


def test_the_same_seed_gives_the_same_weights(base: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train(CONFIG, tmp_path / name, base=base, device="cpu", threads=1)
    assert (tmp_path / "one" / ADAPTERS).read_bytes() == (tmp_path / "two" / ADAPTERS).read_bytes()
    assert (tmp_path / "one" / HEADS).read_bytes() == (tmp_path / "two" / HEADS).read_bytes()


def test_trainings_in_another_order_have_a_mean_and_those_of_another_seed_have_none(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(average, "material", material)
    for name, changes in {"first": {}, "second": {"order": 1}, "strange": {"seed": 5}}.items():
        train(msgspec.structs.replace(CONFIG, **changes), tmp_path / name, base=base, device="cpu", threads=1)
    first, second, strange = tmp_path / "first", tmp_path / "second", tmp_path / "strange"
    assert (first / ADAPTERS).read_bytes() != (second / ADAPTERS).read_bytes()
    card = average.average([first, second], tmp_path / "mean", base=base, name="mean", max_tokens=64)
    assert card["mean_of"] == [read_card(one).revision for one in (first, second)]
    assert read_card(tmp_path / "mean").measured("sentiment")
    with pytest.raises(ModelLoadError, match=f"{first} and {strange} began with different values"):
        average.average([first, strange], tmp_path / "none", base=base, name="none", max_tokens=64)
    assert not (tmp_path / "none").exists()


def without_sentiments() -> tuple[list[Row], list[Part]]:
    """The rows with a sentiment on none that train."""
    rows, parts = material()
    return [msgspec.structs.replace(row, sentiment=None) if part is Part.TRAIN else row for row, part in zip(rows, parts, strict=True)], parts


def test_a_teacher_answers_where_no_label_is(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(LEARNS, tmp_path / "teacher", base=base, device="cpu", threads=1)
    monkeypatch.setattr(run, "material", without_sentiments)
    alone = train(LEARNS, tmp_path / "alone", base=base, device="cpu", threads=1)
    student = train(msgspec.structs.replace(LEARNS, teacher=str(tmp_path / "teacher"), teacher_weight=1.0), tmp_path / "student", base=base, device="cpu", threads=1)
    assert (alone["taught_by"], student["taught_by"]) == ("", read_card(tmp_path / "teacher").revision)
    assert right(student) > right(alone)
    with pytest.raises(ModelLoadError, match="nobody"):
        train(msgspec.structs.replace(LEARNS, teacher=str(tmp_path / "nobody")), tmp_path / "orphan", base=base, device="cpu", threads=1)


def right(card: dict[str, Any]) -> float:
    """Rows that are measured whose sentiment is right."""
    return sum(float(score["rows"] * score["accuracy"]) for score in card["scores"]["sentiment"].values())


def test_training_learns_what_can_be_learnt(base: Path, tmp_path: Path) -> None:
    heard: list[Progress] = []
    train(LEARNS, tmp_path / "run", base=base, device="cpu", threads=1, on_progress=heard.append)
    assert heard[-1].loss < 0.8 * heard[0].loss


def test_a_folder_that_holds_something_is_not_written_over(base: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "keep").write_text("me")
    with pytest.raises(ConfigError, match="not empty"):
        train(CONFIG, tmp_path / "run", base=base, device="cpu")


def test_rare_sentiments_weigh_more_and_all_weigh_one_on_average() -> None:
    rows = [Row("x", "t", DocumentKind.NEWS, "en", sentiment=label) for label in [1] * 8 + [0] * 2]
    weights = weights_of([*rows, Row("x", "t", DocumentKind.NEWS, "en")], power=0.5)
    assert weights[-2] == pytest.approx(2 * weights[0])
    assert sum(weights[:-1]) == pytest.approx(10)
    assert weights[-1] == 1
    assert weights_of(rows, power=0.0) == [1.0] * 10


@pytest.mark.parametrize(
    ("content", "says"),
    [("epochs = 0", "epochs"), ("epoch = 3", "epoch"), ("rank = 'x'", "rank"), ("= 3", "no training configuration"), (None, "No such file")],
)
def test_a_wrong_configuration_is_a_clear_error(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "train.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=says):
        load_config(path)


def test_the_shipped_configurations_are_read_and_have_a_mean() -> None:
    default, taught = (load_config(Path(run.__file__).with_name(name)) for name in ("default.toml", "taught.toml"))
    assert (default.name, default.seed) == (taught.name, taught.seed)
    assert default.order != taught.order
