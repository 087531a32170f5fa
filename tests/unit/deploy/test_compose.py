from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from opinion.codec import MAX_RECORD_BYTES
from opinion.settings import PREFIX, Settings
from tests.support.deployment import PROCESSES, ROOT, VARIABLES, compose_file, filled_in, settings_in
from yuqing.cli import main
from yuqing.health import PORTS

FILES = ["docker-compose.yml", "docker-compose.gpu.yml"]
WATCHERS = {"prometheus": "prom/prometheus", "alertmanager": "prom/alertmanager", "grafana": "grafana/grafana"}
"""What watches the processes: service -> image."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return compose_file()


@pytest.fixture
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def mounts(service: dict[str, Any]) -> dict[str, str]:
    """Where the volumes of a service are mounted -> what is mounted there; folders of ours begin with a point."""
    split = [filled_in(mount).split(":") for mount in service["volumes"]]
    return {place: what for what, place, *_ in split}


def schema_problems(found: Any) -> list[str]:
    """What the specification of compose files says against one. The package with its schema cannot be imported beside our click, so its file is read."""
    spec = importlib.util.find_spec("check_jsonschema")
    assert spec is not None
    assert spec.origin is not None
    schema = json.loads((Path(spec.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json").read_text(encoding="utf-8"))
    return [f"{error.json_path}: {error.message}" for error in validator_for(schema)(schema).iter_errors(found)]


@pytest.mark.parametrize("name", FILES)
def test_files_are_of_the_form_that_compose_specifies(name: str) -> None:
    assert schema_problems(compose_file(name)) == []


def test_a_key_that_compose_does_not_know_would_be_found(compose: dict[str, Any]) -> None:
    compose["services"]["worker"] |= {"readonly": True}
    assert "readonly" in schema_problems(compose)[0]
    del compose["services"]["worker"]["readonly"]


def test_there_are_the_servers_the_three_processes_and_what_watches_them(services: dict[str, dict[str, Any]]) -> None:
    assert services.keys() == {"kafka", "redis", *PROCESSES, *WATCHERS}
    assert re.fullmatch(r"apache/kafka:4\.\d+\.\d+", services["kafka"]["image"])
    assert re.fullmatch(r"redis:\d+(\.\d+)*", services["redis"]["image"])
    assert {services[name]["build"]["target"] for name in PROCESSES} == {"cpu"}


def test_every_variable_of_ours_is_a_setting() -> None:
    """But the folder with the settings, which compose mounts."""
    named = {variable for name in FILES for variable in re.findall(rf"{PREFIX}[A-Z_]+", (ROOT / name).read_text(encoding="utf-8"))}
    assert named - VARIABLES == {"YUQING_ETC"}


@pytest.mark.parametrize("name", PROCESSES)
def test_process_runs_a_command_that_exists(services: dict[str, dict[str, Any]], name: str) -> None:
    program, command, *arguments = services[name]["command"]
    assert (program, command) == ("yuqing", PROCESSES[name][0])
    main.commands[command].make_context(command, arguments)


@pytest.mark.parametrize("name", ["scraper", "alerter"])
def test_process_is_reached_from_this_machine_at_the_port_it_listens_on(services: dict[str, dict[str, Any]], name: str) -> None:
    settings, key = settings_in(services[name]["environment"]), PROCESSES[name][1]
    assert services[name]["ports"] == [f"127.0.0.1:{getattr(Settings(), key)}:{getattr(settings, key)}"]
    assert settings.api_host == "0.0.0.0"  # what is forwarded to a container does not arrive at its loopback


def test_there_may_be_many_workers(services: dict[str, dict[str, Any]]) -> None:
    """Neither a port of the machine nor a name is taken by the first."""
    assert not {"ports", "container_name", "hostname"} & services["worker"].keys()


@pytest.mark.parametrize("name", PROCESSES)
def test_process_is_asked_how_it_is(services: dict[str, dict[str, Any]], name: str) -> None:
    check = services[name]["healthcheck"]
    assert check["test"] == ["CMD", "yuqing", "health", PROCESSES[name][0]]
    assert PROCESSES[name][0] in PORTS
    assert seconds(check["start_period"]) >= 60  # a worker loads its model first


def test_everything_is_asked_how_it_is(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if service["healthcheck"]["test"][0] not in {"CMD", "CMD-SHELL"}] == []


@pytest.mark.parametrize("name", PROCESSES)
def test_process_can_write_to_its_volume_and_to_tmp_alone_and_gain_nothing(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount for mount in map(filled_in, service["volumes"]) if not mount.endswith(":ro")] == ["data:/data"]


def test_everything_runs_without_gaining_privileges(services: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in services.items() if service["security_opt"] != ["no-new-privileges:true"]} == set()


@pytest.mark.parametrize("name", PROCESSES)
def test_process_is_pointed_at_the_servers_beside_it(services: dict[str, dict[str, Any]], name: str) -> None:
    kafka, redis = settings_in(services[name]["environment"]).require_servers()
    assert redis.startswith("redis://redis:6379/")
    assert services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{kafka}"
    assert f"--bootstrap-server {kafka} " in " ".join(services["kafka"]["healthcheck"]["test"])


@pytest.mark.parametrize("name", PROCESSES)
def test_process_waits_for_servers_that_can_say_they_are_healthy(services: dict[str, dict[str, Any]], name: str) -> None:
    waits = services[name]["depends_on"]
    assert {server: wait["condition"] for server, wait in waits.items()} == {"kafka": "service_healthy", "redis": "service_healthy"}
    for server in waits:
        check = services[server]["healthcheck"]
        assert check["retries"] * seconds(check["interval"]) >= 50  # a broker on a slow disk takes half a minute
        assert "depends_on" not in services[server]


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text.removesuffix("s"))


def test_what_must_survive_is_on_a_declared_volume(compose: dict[str, Any], services: dict[str, dict[str, Any]]) -> None:
    found = {name: mounts(service) for name, service in services.items()}
    assert {what for places in found.values() for what in places.values() if not what.startswith(".")} == compose["volumes"].keys()
    for name in PROCESSES:
        assert str(settings_in(services[name]["environment"]).data_dir) in found[name]
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] in found["kafka"]
    assert {service["restart"] for service in services.values()} == {"unless-stopped"}


def test_settings_are_read_where_the_folder_with_them_is_mounted(services: dict[str, dict[str, Any]]) -> None:
    for name in PROCESSES:
        assert (ROOT / mounts(services[name])["/etc/yuqing"] / "yuqing.toml").is_file()


def test_workers_on_a_gpu_differ_in_nothing_else() -> None:
    (name, worker), *others = compose_file("docker-compose.gpu.yml")["services"].items()
    assert (name, others) == ("worker", [])
    assert worker["build"] == {"target": "cuda"}
    settings = settings_in(worker["environment"], target="cuda")
    assert (settings.device, settings.batch_tokens) == ("cuda", 16384)
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])


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


def test_docker_compose_accepts_the_files(docker_compose: list[str]) -> None:
    files = [word for name in FILES for word in ("--file", str(ROOT / name))]
    result = subprocess.run([*docker_compose, *files, "config", "--quiet"], capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
