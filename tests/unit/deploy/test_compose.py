from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from opinion.codec import MAX_RECORD_BYTES
from opinion.settings import CONFIG_VARIABLE, PREFIX, Settings, load_settings
from yuqing.cli import main

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
WATCHERS = {"prometheus": "prom/prometheus", "alertmanager": "prom/alertmanager", "grafana": "grafana/grafana"}
"""What watches the processes: service -> image."""
PROCESSES = {"scrape": "scraper_port", "work": "worker_port", "alert": "api_port"}
"""Command -> the setting that says where it listens."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return parsed


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def settings_of(service: dict[str, Any]) -> Settings:
    """What the process in the container reads, where the operator has set nothing."""
    return load_settings({key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value)) for key, value in service["environment"].items()})


def test_there_are_the_servers_the_three_processes_and_what_watches_them(services: dict[str, dict[str, Any]]) -> None:
    assert services.keys() == {"kafka", "redis", *PROCESSES, *WATCHERS}
    assert re.fullmatch(r"apache/kafka:4\.\d+\.\d+", services["kafka"]["image"])
    assert re.fullmatch(r"redis:\d+(\.\d+)*", services["redis"]["image"])
    assert {services[name]["build"] for name in PROCESSES} == {"."}


def test_every_variable_of_ours_is_a_setting() -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", COMPOSE.read_text(encoding="utf-8")))
    assert named <= {CONFIG_VARIABLE} | {PREFIX + key.upper() for key in Settings.model_fields}


@pytest.mark.parametrize("name", PROCESSES)
def test_process_runs_a_command_that_exists(services: dict[str, dict[str, Any]], name: str) -> None:
    program, command, *arguments = services[name]["command"]
    assert (program, command) == ("yuqing", name)
    main.commands[command].make_context(command, arguments)


@pytest.mark.parametrize("name", PROCESSES)
def test_process_is_reached_at_the_port_it_listens_on(services: dict[str, dict[str, Any]], name: str) -> None:
    settings = settings_of(services[name])
    (published,) = services[name]["ports"]
    port = getattr(Settings(), PROCESSES[name])
    assert published == f"127.0.0.1:{port}:{getattr(settings, PROCESSES[name])}"
    assert settings.api_host == "0.0.0.0"  # what is forwarded to a container does not arrive at its loopback


@pytest.mark.parametrize("name", PROCESSES)
def test_process_is_pointed_at_the_servers_beside_it(services: dict[str, dict[str, Any]], name: str) -> None:
    kafka, redis = settings_of(services[name]).require_servers()
    assert redis.startswith("redis://redis:6379/")
    assert services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{kafka}"
    assert f"--bootstrap-server {kafka} " in " ".join(services["kafka"]["healthcheck"]["test"])


@pytest.mark.parametrize("name", PROCESSES)
def test_process_waits_for_servers_that_can_say_they_are_healthy(services: dict[str, dict[str, Any]], name: str) -> None:
    waits = services[name]["depends_on"]
    assert {server: wait["condition"] for server, wait in waits.items()} == {"kafka": "service_healthy", "redis": "service_healthy"}
    for server in waits:
        check = services[server]["healthcheck"]
        assert check["test"][0] in {"CMD", "CMD-SHELL"}
        assert check["retries"] * seconds(check["interval"]) >= 50  # a broker on a slow disk takes half a minute
        assert "depends_on" not in services[server]


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def test_what_must_survive_is_on_a_declared_volume(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    mounts = {name: dict(mount.split(":") for mount in service["volumes"] if not mount.startswith(".")) for name, service in services.items()}
    assert {volume for found in mounts.values() for volume in found} == compose["volumes"].keys()
    for name in PROCESSES:
        assert str(settings_of(services[name]).data_dir) in mounts[name].values()
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}


@pytest.mark.parametrize("name", WATCHERS)
def test_watcher_is_of_a_fixed_version_and_reached_from_this_machine_alone(services: dict[str, dict[str, Any]], name: str) -> None:
    image, _, tag = services[name]["image"].partition(":")
    assert image == WATCHERS[name]
    assert re.fullmatch(r"v?\d+\.\d+\.\d+", tag)
    assert [port.partition(":")[0] for port in services[name]["ports"]] == ["127.0.0.1"]


@pytest.mark.parametrize("name", WATCHERS)
def test_watcher_is_given_folders_that_exist_and_cannot_change_them(services: dict[str, dict[str, Any]], name: str) -> None:
    given = [mount.split(":") for mount in services[name]["volumes"] if mount.startswith(".")]
    assert given
    for folder, _, mode in given:
        assert (ROOT / folder).is_dir()
        assert mode == "ro"


@pytest.mark.parametrize("name", ["prometheus", "alertmanager"])
def test_watcher_reads_a_configuration_that_it_is_given(services: dict[str, dict[str, Any]], name: str) -> None:
    (configuration,) = [word.partition("=")[2] for word in services[name]["command"] if word.startswith("--config.file=")]
    folder, place, _ = next(mount.split(":") for mount in services[name]["volumes"] if mount.startswith("."))
    assert (ROOT / folder / Path(configuration).relative_to(place)).is_file()


def test_watchers_find_each_other_and_the_processes(services: dict[str, dict[str, Any]]) -> None:
    found = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.compose.yml").read_text(encoding="utf-8"))
    targets = {names for job in found["scrape_configs"] for config in job["dns_sd_configs"] for names in config["names"]}
    assert targets == set(PROCESSES)
    (manager,) = found["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert manager == f"alertmanager:{services['alertmanager']['ports'][0].split(':')[-1]}"
    grafana = services["grafana"]
    assert grafana["environment"]["PROMETHEUS_URL"] == f"http://prometheus:{services['prometheus']['ports'][0].split(':')[-1]}"
    assert f"./deploy/grafana/dashboards:{grafana['environment']['DASHBOARDS']}:ro" in grafana["volumes"]


def test_kafka_takes_the_largest_record_and_makes_no_topics_of_its_own(services: dict[str, dict[str, Any]]) -> None:
    environment = services["kafka"]["environment"]
    for key in ("KAFKA_MESSAGE_MAX_BYTES", "KAFKA_REPLICA_FETCH_MAX_BYTES"):
        assert environment[key] > MAX_RECORD_BYTES
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_redis_forgets_nothing_on_purpose(services: dict[str, dict[str, Any]]) -> None:
    command = " ".join(services["redis"]["command"])
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


@pytest.fixture(scope="module")
def docker_compose() -> list[str]:
    """The compose program, which may be missing although docker is there."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False, timeout=30).returncode != 0:
        pytest.skip("`docker compose` is not installed")
    return [docker, "compose"]


def test_docker_compose_accepts_the_file(docker_compose: list[str]) -> None:
    result = subprocess.run([*docker_compose, "--file", str(COMPOSE), "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr


def instructions() -> list[list[str]]:
    """The lines of the Dockerfile as words, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line and not line.startswith("#")]


def test_image_copies_files_that_exist_and_are_not_ignored() -> None:
    ignored = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    sources = [word for name, *words in instructions() if name == "COPY" for word in words[:-1]]
    assert "." in sources
    assert [source for source in sources if not (ROOT / source).exists() or source in ignored] == []


def test_image_installs_from_locks_that_were_copied_before() -> None:
    copied: set[str] = set()
    for name, *words in instructions():
        if name == "COPY":
            copied.update(words[:-1])
        locks = [after for word, after in pairwise(words) if word == "-r"] if name == "RUN" else []
        assert set(locks) <= copied
        assert words.count("--require-hashes") == len(locks)


def test_image_has_a_python_that_we_run_on_and_a_command_that_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (base,) = [words[0] for name, *words in instructions() if name == "FROM"]
    match = re.fullmatch(r"python:3\.(\d+)-slim", base)
    assert match is not None
    assert int(match[1]) >= int(project["requires-python"].removeprefix(">=3."))
    command = next(line for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines() if line.startswith("CMD "))
    assert yaml.safe_load(command.removeprefix("CMD ")) == ["yuqing", "--help"]
    assert "yuqing" in project["scripts"]
