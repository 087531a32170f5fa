from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest

from opinion.settings import PREFIX
from tests.support.deployment import DEPLOY, ROOT, VARIABLES, Instruction, image_environment, lineage, settings_in, stages
from yuqing.cli import main

TARGETS = ["cpu", "cuda"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_GPU = re.compile(r"torch|triton|nvidia-.+|cuda-.+")


def instructions(target: str, name: str) -> list[Instruction]:
    """The instructions of a target's stages, those of the first stage first."""
    return [found for stage in reversed(lineage(target)) for found in stages()[stage].instructions if found.name == name]


def copied() -> list[tuple[str, str]]:
    """What is copied out of the repository, with the stage that does it."""
    return [(stage, word) for stage, found in stages().items() for name, words in found.instructions if name == "COPY" and not words[0].startswith("--from") for word in words[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a file out of the build."""
    keep = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!")
            parts = [path, *(str(parent) for parent in Path(path).parents)]
            if any(fnmatch(part, pattern) or (pattern.startswith("**/") and fnmatch(Path(part).name, pattern[3:])) for part in parts):
                keep = line.startswith("!")
    return not keep


def locked(name: str) -> dict[str, set[str]]:
    """The packages of a lock file with their hashes."""
    found: dict[str, set[str]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([a-z0-9-]+)==(\S+)", line):
            found[f"{match[1]}=={match[2]}"] = current = set()
        elif "--hash=" in line:
            current.add(line.strip().removesuffix(" \\"))
    return found


def test_hadolint_has_nothing_to_say() -> None:
    found = subprocess.run([Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_hadolint_would_find_a_program_that_is_called_by_another_name(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM python:3.11-slim\nRUN cd /tmp && sudo pip install yuqing\n")
    found = subprocess.run([Path(sys.executable).with_name("hadolint"), tmp_path / "Dockerfile"], capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 1
    assert "DL3004" in found.stdout


def test_image_has_a_python_that_we_run_on() -> None:
    (base,) = {found.base for found in stages().values()} - stages().keys()
    match = re.fullmatch(r"python:3\.(\d+)-slim", base)
    assert match is not None
    assert int(match[1]) >= int(PROJECT["requires-python"].removeprefix(">=3."))


def test_image_copies_files_that_exist_and_are_not_ignored() -> None:
    assert ("wheel", ".") in copied()
    assert [word for _, word in copied() if word != "." and (not (ROOT / word).exists() or ignored(word))] == []


@pytest.mark.parametrize("path", ["yuqing/cli.py", "models/weights/card.json", "alerts/console/static/console.css", "pyproject.toml", "README.md", "NOTICE", "LICENSE"])
def test_what_the_wheel_is_made_of_gets_into_the_build(path: str) -> None:
    assert (ROOT / path).exists()
    assert not ignored(path)


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", ".env", "yuqing.toml", "build/lib/yuqing/cli.py", "deploy/kubernetes/base/secret.env", "tests/conftest.py", "yuqing/__pycache__/cli.pyc"],
)
def test_nothing_else_gets_into_the_build(path: str) -> None:
    assert ignored(path)


def test_image_installs_from_locks_that_were_copied_before() -> None:
    held: dict[str, set[str]] = {}
    for stage, found in stages().items():
        held[stage] = set(held.get(found.base, set()))
        for name, words in found.instructions:
            if name == "COPY":
                held[stage].update(words[:-1])
            locks = [after for word, after in pairwise(words) if word == "-r"] if name == "RUN" else []
            assert set(locks) <= held[stage]
            assert words.count("--require-hashes") == len(locks)


def test_image_installs_nothing_without_a_hash_but_our_own_wheel() -> None:
    for found in stages().values():
        for name, words in found.instructions:
            text = " ".join(words)
            for part in text.split("&&") if name == "RUN" else ():
                if " install " in f" {part} " and part.split()[0] != "install":
                    assert "--require-hashes" in part or "/wheel/*.whl" in part, part


def test_the_lock_of_the_small_image_is_the_large_one_without_torch() -> None:
    small, large = locked("requirements-cpu.lock.txt"), locked("requirements.lock.txt")
    missing = {name.partition("==")[0] for name in large.keys() - small.keys()}
    assert {name: large.get(name) for name in small} == small
    assert [name for name in small if FOR_GPU.fullmatch(name.partition("==")[0])] == []
    assert {name for name in missing if FOR_GPU.fullmatch(name)} >= {"torch", "triton"}
    assert {name for name in missing if not FOR_GPU.fullmatch(name)} == {"sympy", "mpmath", "networkx"}  # which torch alone asks for


@pytest.mark.parametrize("target", TARGETS)
def test_image_runs_as_a_user_of_its_own_whose_number_stands_in_every_deployment(target: str) -> None:
    (user,) = [found.words[0] for found in instructions(target, "USER")]
    assert user == "10001:10001"
    assert stages()[target].instructions[-1].name == "USER"


@pytest.mark.parametrize("target", TARGETS)
def test_image_has_the_model_and_settings_that_need_nothing_else_to_be_written(target: str) -> None:
    settings = settings_in({}, target=target)
    assert [name for name in image_environment(target) if name.startswith(PREFIX)] != []
    assert {name for name in image_environment(target) if name.startswith(PREFIX)} <= VARIABLES
    assert str(settings.models_dir) in [found.words[-1] for found in instructions(target, "COPY")]
    assert [found.words for found in instructions(target, "VOLUME")] == [["[/data]"]]
    assert (str(settings.data_dir), image_environment(target)["HOME"]) == ("/data", "/data")


def test_model_is_prepared_where_the_image_looks_for_it() -> None:
    assert image_environment("model")["YUQING_MODEL_DIR"] == image_environment("cpu")["YUQING_MODEL_DIR"]
    prepared = " ".join(stages()["model"].instructions[-1].words)
    for backend in ("onnx", "onnx-int8"):
        assert f"YUQING_BACKEND={backend} yuqing prepare" in prepared


@pytest.mark.parametrize("target", TARGETS)
def test_image_listens_to_others_and_says_how_it_is(target: str) -> None:
    settings = settings_in({}, target=target)
    assert settings.api_host == "0.0.0.0"
    assert {int(word) for found in instructions(target, "EXPOSE") for word in found.words} == {settings.api_port, settings.scraper_port, settings.worker_port}
    (check,) = instructions(target, "HEALTHCHECK")
    assert check.words[-2:] == ["[yuqing,", "health]"]
    assert main.commands["health"].make_context("health", []).params == {"processes": ()}


def test_images_are_called_by_the_version_of_the_program() -> None:
    """Wherever an image of ours is named: with the version, and with the target it is built from."""
    files = [ROOT / "Dockerfile", ROOT / "docker-compose.yml", ROOT / "docker-compose.gpu.yml", *DEPLOY.rglob("kubernetes/**/*.yaml")]
    tags = {tag for file in files for tag in re.findall(r"(?:yuqing:|newTag: )(\d\S+)", file.read_text(encoding="utf-8"))}
    assert tags == {f"{PROJECT['version']}-{target}" for target in TARGETS}
