from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from opinion.settings import PREFIX, load_settings
from tests.support.deployment import DEPLOY, PROCESSES, VARIABLES, environment_file, unit_lines
from yuqing.cli import main

FOLDER = DEPLOY / "systemd" / "system"
UNITS = {"scraper": "yuqing-scraper.service", "worker": "yuqing-worker@.service", "alerter": "yuqing-alerter.service"}
COMMON = FOLDER / "yuqing-.service.d" / "common.conf"
ELSEWHERE = ("sysinit", "basic", "shutdown", "multi-user", "network-online")
"""Targets of systemd's own that ours lean on."""
MOST_EXPOSED = 2.0
"""Of 10, as systemd counts; below 2.0 is what it calls OK."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with our units, a program where they look for it, and empty targets of systemd's."""
    units = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(FOLDER, units)
    for name in ELSEWHERE:
        (units / f"{name}.target").write_text("[Unit]\nDescription=of systemd\n")
    program = tmp_path / "opt" / "yuqing" / "bin" / "yuqing"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return tmp_path


def instances() -> list[str]:
    return ["yuqing.target", *(unit.replace("@", "@8602") for unit in UNITS.values())]


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says. Skips the test, with the reason, where it is not there or is too old to look at another root."""
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not on the PATH")
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    if int(found.split()[1].split(".")[0]) < 250:
        pytest.skip(f"{found.splitlines()[0]} cannot look at units below another root; 250 can")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False, timeout=60)


def service(name: str) -> dict[str, str]:
    """The last value of each key of a unit's service, ours and the common ones."""
    return dict([*unit_lines(COMMON)["Service"], *unit_lines(FOLDER / UNITS[name])["Service"]])


def test_systemd_accepts_the_units(root: Path) -> None:
    found = analyze("verify", f"--root={root}", *instances())
    assert (found.returncode, found.stderr) == (0, "")


def test_systemd_would_find_a_word_that_it_does_not_know(root: Path) -> None:
    path = root / "etc" / "systemd" / "system" / "yuqing-.service.d" / "common.conf"
    path.write_text(path.read_text() + "ProtectSytem=strict\n")
    assert "ProtectSytem" in analyze("verify", f"--root={root}", *instances()).stderr


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_little_exposed(root: Path, name: str) -> None:
    found = analyze("security", "--offline=true", f"--root={root}", "--no-pager", UNITS[name].replace("@", "@8602"))
    match = re.search(r"Overall exposure level for \S+: ([\d.]+)", found.stdout)
    assert match is not None, found.stderr
    assert float(match[1]) < MOST_EXPOSED


@pytest.mark.parametrize("name", UNITS)
def test_unit_runs_a_command_that_exists(name: str) -> None:
    program, command, *arguments = service(name)["ExecStart"].split()
    assert (program, command) == ("/opt/yuqing/bin/yuqing", PROCESSES[name][0])
    main.commands[command].make_context(command, arguments)


def test_there_is_a_unit_for_every_process_and_all_belong_together() -> None:
    assert UNITS.keys() == PROCESSES.keys()
    assert {path.name for path in FOLDER.glob("*.service")} == set(UNITS.values())
    assert ("PartOf", "yuqing.target") in unit_lines(COMMON)["Unit"]
    for unit in UNITS.values():
        assert unit.startswith(COMMON.parent.name.partition(".")[0]), "systemd would not read what they have in common"
        assert unit_lines(FOLDER / unit)["Install"] == [("WantedBy", "yuqing.target")]


def test_variables_are_settings_and_valid() -> None:
    set_by_units = {
        word.split("=")[0]
        for name in UNITS
        for key, value in [*unit_lines(COMMON)["Service"], *unit_lines(FOLDER / UNITS[name])["Service"]]
        if key == "Environment"
        for word in value.split()
    }
    given = environment_file(FOLDER.parent / "yuqing.env")
    assert {name for name in set_by_units if name.startswith(PREFIX)} | given.keys() <= VARIABLES
    load_settings(given).require_servers()
    assert given.keys().isdisjoint(set_by_units)


def test_a_worker_listens_at_the_port_it_is_called_by() -> None:
    lines = unit_lines(FOLDER / UNITS["worker"])["Service"]
    assert ("Environment", "YUQING_WORKER_PORT=%i") in lines
    assert load_settings({"YUQING_WORKER_PORT": "8603"}).worker_ports[0] == 8603


def test_units_write_to_their_state_directory_alone() -> None:
    lines = dict(unit_lines(COMMON)["Service"])
    assert (lines["ProtectSystem"], lines["ProtectHome"], lines["PrivateTmp"]) == ("strict", "yes", "yes")
    assert lines["StateDirectory"] == "yuqing"
    assert "YUQING_DATA_DIR=%S/yuqing" in lines["Environment"]
    (user,) = [line.split()[1] for line in (FOLDER.parent / "sysusers.d" / "yuqing.conf").read_text().splitlines() if line.startswith("u ")]
    assert user == lines["User"] == lines["Group"]
