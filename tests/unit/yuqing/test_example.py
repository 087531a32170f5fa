from __future__ import annotations

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from pydantic import BaseModel

from opinion.settings import Settings, load_settings
from yuqing.example import SECTIONS, VALUES, WIDTH, example, tables, toml

FILE = Path(__file__).parents[3] / "yuqing.example.toml"
MODELS: list[type[BaseModel]] = [Settings, *tables().values()]


def uncommented(text: str) -> str:
    """The file as an operator who wants every line would have it: help stays a comment, keys and tables do not."""
    return re.sub(r"^#(?=[a-z\[])", "", text, flags=re.MULTILINE)


def test_file_is_what_the_generator_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == example(), "run `make example`"


def test_file_as_it_is_sets_nothing() -> None:
    assert tomllib.loads(example()) == {}


def test_uncommented_file_is_valid_and_says_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "yuqing.toml"
    path.write_text(uncommented(example()), encoding="utf-8")
    settings, defaults = load_settings({"YUQING_CONFIG": str(path)}), Settings()
    differ = {key for key in Settings.model_fields if getattr(settings, key) != getattr(defaults, key)}
    assert differ == set(tables())
    for key, table in tables().items():
        (found,) = getattr(settings, key)
        given = {name: getattr(found, name) for name in table.model_fields if f"{key}.{name}" in VALUES}
        assert found == table(**given)


def test_uncommented_file_has_every_key() -> None:
    values = tomllib.loads(uncommented(example()))
    assert values.keys() == Settings.model_fields.keys()
    for key, table in tables().items():
        assert values[key][0].keys() == table.model_fields.keys()


def test_every_key_stands_under_one_heading() -> None:
    under_headings = list(chain.from_iterable(SECTIONS.values()))
    assert sorted([*under_headings, *tables()]) == sorted(Settings.model_fields)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_has_help_that_names_its_unit(model: type[BaseModel]) -> None:
    units = {"_s": "econds", "_bytes": "bytes", "_tokens": "okens"}
    for key, field in model.model_fields.items():
        assert field.description, key
        assert field.description.endswith("."), key
        assert all(word in field.description for suffix, word in units.items() if key.endswith(suffix)), key


def test_values_stand_only_for_keys_that_exist() -> None:
    nested = {f"{key}.{name}" for key, table in tables().items() for name in table.model_fields}
    assert set(VALUES) <= nested | set(Settings.model_fields)


def test_file_is_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_DATA_HOME", "/mnt/somewhere")
    assert example() == FILE.read_text(encoding="utf-8")
    assert "/home" not in example()
    assert str(Path(__file__).parents[3]) not in example()


def test_help_is_wrapped() -> None:
    assert [line for line in example().splitlines() if len(line) > WIDTH and line.startswith("# ")] == []


def test_value_that_toml_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="no TOML"):
        toml(object())
