"""The files of a deployment, read: the Dockerfile by stages, compose files, systemd units, and what they all run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from opinion.settings import CONFIG_VARIABLE, PREFIX, Settings, load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROCESSES = {"scraper": ("scrape", "scraper_port"), "worker": ("work", "worker_port"), "alerter": ("alert", "api_port")}
"""What a process is called in every deployment -> its command, and the setting that says where it listens."""
VARIABLES = {CONFIG_VARIABLE} | {PREFIX + key.upper() for key in Settings.model_fields}


class Instruction(NamedTuple):
    """A line of a Dockerfile, continued lines joined."""

    name: str
    words: list[str]


class Stage(NamedTuple):
    """One `FROM` and what follows."""

    base: str
    instructions: list[Instruction]


def stages() -> dict[str, Stage]:
    """The stages of the Dockerfile by their names."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, Stage] = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, *words = shlex.split(line)
        if name == "FROM":
            base, _, own = words
            found[own] = Stage(base, [])
        else:
            list(found.values())[-1].instructions.append(Instruction(name, words))
    return found


def lineage(name: str) -> list[str]:
    """A stage, the one it is built on, and so on."""
    found = [name]
    while stages()[found[-1]].base in stages():
        found.append(stages()[found[-1]].base)
    return found


def image_environment(target: str) -> dict[str, str]:
    """What a container of the target has in its environment before anybody adds to it."""
    found: dict[str, str] = {}
    for name in reversed(lineage(target)):
        for instruction in stages()[name].instructions:
            if instruction.name == "ENV":
                found |= dict(word.split("=", 1) for word in instruction.words)
    return found


def compose_file(name: str = "docker-compose.yml") -> dict[str, Any]:
    """A compose file."""
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))
    return found


def filled_in(text: str) -> str:
    """As compose reads it where the operator has set nothing."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def settings_in(environment: Mapping[str, object], *, target: str = "cpu") -> Settings:
    """What a process reads in a container of the image that is given this environment."""
    given = {key: filled_in(str(value)) for key, value in environment.items()}
    return load_settings({key: value for key, value in (image_environment(target) | given).items() if key.startswith(PREFIX)})


def unit_lines(path: Path) -> dict[str, list[tuple[str, str]]]:
    """The sections of a systemd unit with their keys and values, repeated keys kept."""
    found: dict[str, list[tuple[str, str]]] = {}
    section: list[tuple[str, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), [])
        else:
            key, value = line.split("=", 1)
            section.append((key, value))
    return found


def environment_file(path: Path) -> dict[str, str]:
    """The variables of a file as systemd, compose and kustomize read it."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)
