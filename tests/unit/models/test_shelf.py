from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from models import encoder_files
from models.cards import ADAPTERS, CARD, DEFAULT, HEADS, WEIGHTS, read_card
from models.registry import load_backend
from models.shelf import POINTER, Shelf, model_of
from opinion.errors import ConfigError, ModelLoadError, ModelRefused
from opinion.settings import Settings
from tests.support.model import tiny_directory, trained_directory

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    folder = tmp_path_factory.mktemp("runs")
    return lambda seed: found if (found := folder / str(seed)).exists() else trained_directory(found, seed=seed)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "data")


def promoted(shelf: Shelf, directory: Path) -> str:
    revision = shelf.put(directory).revision
    shelf.promote(revision, at=NOW)
    return revision


def test_without_a_shelf_the_built_in_model_is_in_use(shelf: Shelf) -> None:
    assert shelf.in_use() == (WEIGHTS, read_card(WEIGHTS))
    assert shelf.revisions() == []
    assert not shelf.folder.exists()


def test_a_promoted_model_is_what_a_worker_loads(trained: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_directory(tmp_path / "models")
    monkeypatch.setattr(encoder_files, "prepare_model", lambda _: base)
    settings = Settings(data_dir=tmp_path / "data", model_dir=tmp_path / "models", device="cpu", backend="torch", threads=1, max_tokens=64)
    revision = promoted(Shelf(settings.data_dir), trained(1))
    backend = load_backend(settings)
    assert (backend.model, backend.revision) == ("tiny-1", revision)


def test_a_directory_in_the_settings_wins_over_what_is_promoted(shelf: Shelf, trained: Callable[[int], Path]) -> None:
    promoted(shelf, trained(1))
    settings = Settings(data_dir=shelf.folder.parent, model=str(trained(2)))
    assert model_of(settings)[1].name == "tiny-2"
    assert model_of(settings.model_copy(update={"model": DEFAULT}))[1].name == "tiny-1"


def test_what_is_on_the_shelf_is_a_whole_copy(shelf: Shelf, trained: Callable[[int], Path], tmp_path: Path) -> None:
    source = Path(shutil.copytree(trained(1), tmp_path / "run"))
    revision = shelf.put(source).revision
    shutil.rmtree(source)
    held = shelf.place(revision)
    assert {path.name: path.read_bytes() for path in held.iterdir()} == {path.name: path.read_bytes() for path in trained(1).iterdir()}
    assert shelf.revisions() == [revision]
    assert [path.name for path in shelf.folder.iterdir() if path.is_dir()] == [revision]  # nothing half made is left


def test_rollback_goes_back_one_promotion_at_a_time_to_the_built_in_model(shelf: Shelf, trained: Callable[[int], Path]) -> None:
    one, two = promoted(shelf, trained(1)), promoted(shelf, trained(2))
    shelf.promote(one, at=NOW + timedelta(days=1))
    seen = [shelf.pointer().in_use]
    for _ in range(3):
        left, back = shelf.rollback()
        assert left == seen[-1]
        seen.append(back)
    assert seen == [one, two, one, DEFAULT]
    with pytest.raises(ModelRefused, match="nothing to go back to"):
        shelf.rollback()
    assert shelf.in_use()[0] == WEIGHTS


def test_the_model_in_use_is_not_promoted_twice(shelf: Shelf, trained: Callable[[int], Path]) -> None:
    revision = promoted(shelf, trained(1))
    assert shelf.promote(revision, at=NOW) is False
    assert len(shelf.pointer().promotions) == 1
    assert Shelf(shelf.folder.parent / "other").promote(DEFAULT, at=NOW) is False


def test_the_built_in_model_can_be_promoted_over_another(shelf: Shelf, trained: Callable[[int], Path]) -> None:
    revision = promoted(shelf, trained(1))
    assert shelf.promote(DEFAULT, at=NOW) is True
    assert shelf.in_use()[0] == WEIGHTS
    assert shelf.rollback() == (DEFAULT, revision)


def tamper_heads(directory: Path) -> None:
    (directory / HEADS).write_bytes((directory / HEADS).read_bytes()[:-1])


def tamper_adapters(directory: Path) -> None:
    data = bytearray((directory / ADAPTERS).read_bytes())
    data[-1] ^= 1
    (directory / ADAPTERS).write_bytes(data)


def no_heads(directory: Path) -> None:
    (directory / HEADS).unlink()


def no_card(directory: Path) -> None:
    (directory / CARD).unlink()


def no_folder(directory: Path) -> None:
    shutil.rmtree(directory)


def another_model(directory: Path) -> None:
    """Whole in itself, and not what was promoted."""
    shutil.rmtree(directory)
    trained_directory(directory, seed=9)


def another_encoder(directory: Path) -> None:
    card = msgspec.json.decode((directory / CARD).read_bytes())
    card["encoder"]["sha256"] = "0" * 64
    (directory / CARD).write_bytes(msgspec.json.encode(card))


DAMAGES = {
    tamper_heads: "it was changed or cut off",
    tamper_adapters: "it was changed or cut off",
    no_heads: "No such file",
    no_card: "No such file",
    another_encoder: "was made for the encoder",
}


@pytest.mark.parametrize(("damage", "says"), DAMAGES.items(), ids=lambda value: getattr(value, "__name__", None))
def test_a_damaged_model_does_not_come_onto_the_shelf(shelf: Shelf, trained: Callable[[int], Path], tmp_path: Path, damage: Callable[[Path], None], says: str) -> None:
    source = Path(shutil.copytree(trained(1), tmp_path / "run"))
    damage(source)
    with pytest.raises(ModelLoadError, match=says):
        shelf.put(source)
    assert not shelf.folder.exists()


@pytest.mark.parametrize(
    ("damage", "says"), [*DAMAGES.items(), (no_folder, "No such file"), (another_model, "holds the model")], ids=lambda value: getattr(value, "__name__", None)
)
def test_a_promoted_model_that_was_damaged_is_an_error_with_its_remedy_and_no_fallback(
    shelf: Shelf, trained: Callable[[int], Path], damage: Callable[[Path], None], says: str
) -> None:
    revision = promoted(shelf, trained(1))
    damage(shelf.place(revision))
    with pytest.raises(ModelLoadError, match=rf"promoted.*{says}|{says}.*promoted") as caught:
        load_backend(Settings(data_dir=shelf.folder.parent))
    assert "yuqing model rollback" in str(caught.value)
    assert shelf.rollback() == (revision, DEFAULT)


def test_putting_it_there_again_mends_it(shelf: Shelf, trained: Callable[[int], Path]) -> None:
    revision = promoted(shelf, trained(1))
    tamper_heads(shelf.place(revision))
    shelf.put(trained(1))
    assert shelf.in_use()[1].revision == revision


def test_what_is_not_on_the_shelf_cannot_be_promoted_and_changes_nothing(shelf: Shelf, trained: Callable[[int], Path]) -> None:
    revision = promoted(shelf, trained(1))
    with pytest.raises(ModelLoadError, match="No such file"):
        shelf.promote("0" * 12, at=NOW)
    assert shelf.pointer().in_use == revision


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"promotions": "x"}', b'{"promotions": [{"revision": 3}]}'])
def test_a_pointer_that_cannot_be_read_is_an_error_that_says_what_to_do(shelf: Shelf, content: bytes) -> None:
    shelf.folder.mkdir(parents=True)
    (shelf.folder / POINTER).write_bytes(content)
    with pytest.raises(ModelLoadError, match=r"in-use\.json.*remove it"):
        load_backend(Settings(data_dir=shelf.folder.parent))


def test_a_pointer_cannot_lead_out_of_the_shelf_unseen(shelf: Shelf, trained: Callable[[int], Path]) -> None:
    promoted(shelf, trained(1))
    (shelf.folder / POINTER).write_bytes(msgspec.json.encode({"promotions": [{"revision": str(trained(2)), "at": NOW}]}))
    with pytest.raises(ModelLoadError, match="not the promoted"):
        shelf.in_use()


def test_a_pointer_is_replaced_whole(shelf: Shelf, trained: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    one = promoted(shelf, trained(1))
    two = shelf.put(trained(2)).revision

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ConfigError, match="No space left"):
        shelf.promote(two, at=NOW)
    assert shelf.pointer().in_use == one


def test_a_copy_that_fails_leaves_nothing(shelf: Shelf, trained: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", fail)
    with pytest.raises(ConfigError, match=r"data_dir.*No space left"):
        shelf.put(trained(1))
    assert [path.name for path in shelf.folder.iterdir()] == [".lock"]


def test_a_data_directory_that_is_none_is_named(tmp_path: Path, trained: Callable[[int], Path]) -> None:
    (tmp_path / "data").write_text("a file")
    shelf = Shelf(tmp_path / "data")
    for attempt in (shelf.revisions, lambda: shelf.put(trained(1)), shelf.rollback):
        with pytest.raises(ConfigError, match=r"^setting `data_dir`: .*data"):
            attempt()
    with pytest.raises(ModelLoadError, match="Not a directory: which model is in use cannot be told"):
        shelf.in_use()
