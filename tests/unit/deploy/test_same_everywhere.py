"""Containers, Kubernetes and systemd run the same program the same way."""

from __future__ import annotations

import tomllib

import pytest

from tests.support.deployment import DEPLOY, PROCESSES, compose_file, environment_file, filled_in, image_environment, unit_lines
from tests.support.kubernetes import templates, whole

SHARED = {"YUQING_KAFKA", "YUQING_REDIS", "YUQING_CONSOLE_URL", "YUQING_SOURCES"}
"""What every deployment must be told; the token of the API is a secret, and stands elsewhere."""
CLUSTER = {"YUQING_PARTITIONS", "YUQING_REPLICATION"}
"""What only a cluster has reason to set."""


@pytest.mark.parametrize("process", PROCESSES)
def test_the_same_commands_are_run(process: str) -> None:
    command = ["yuqing", PROCESSES[process][0]]
    (container,) = templates(list(whole().values()))[f"yuqing-{process}"]["spec"]["containers"]
    (unit,) = (DEPLOY / "systemd" / "system").glob(f"yuqing-{process}*.service")
    started = dict(unit_lines(unit)["Service"])["ExecStart"].split()
    assert compose_file()["services"][process]["command"] == container["command"] == ["yuqing", *started[1:]] == command


def test_the_same_settings_are_given() -> None:
    compose = compose_file()["services"]["worker"]["environment"]
    cluster = environment_file(DEPLOY / "kubernetes" / "base" / "yuqing.env")
    host = environment_file(DEPLOY / "systemd" / "yuqing.env")
    assert compose.keys() - {"YUQING_API_TOKEN"} == cluster.keys() - CLUSTER == host.keys() == SHARED
    assert {filled_in(compose["YUQING_CONSOLE_URL"]), cluster["YUQING_CONSOLE_URL"], host["YUQING_CONSOLE_URL"]} == {"http://127.0.0.1:8600"}


def test_settings_that_are_no_variables_are_read_from_the_same_file() -> None:
    common = dict(unit_lines(DEPLOY / "systemd" / "system" / "yuqing-.service.d" / "common.conf")["Service"])
    assert common["WorkingDirectory"] == "/etc/yuqing"
    for file in (DEPLOY / "etc" / "yuqing.toml", DEPLOY / "kubernetes" / "base" / "yuqing.toml"):
        assert tomllib.loads(file.read_text(encoding="utf-8")) == {}, "what is given here would be everybody's"
    assert "YUQING_CONFIG" not in image_environment("cpu")
