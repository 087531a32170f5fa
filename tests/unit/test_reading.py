"""The means by which pages are tried: a folder like a clone, and a shell."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from tests.support.checkout import Checkout
from tests.support.fences import ROOT
from tests.support.shell import Shell
from tests.support.workers import until


def test_a_checkout_changes_nothing_of_the_repository(tmp_path: Path) -> None:
    before = (ROOT / "tests" / "support" / "site.py").read_text()
    checkout = Checkout(tmp_path)
    checkout.add("tests/support/site.py", "MORE = 1\n")
    checkout.write("scrapers/sources/harbour.py", "SOURCE = None\n")
    checkout.write("rules.yaml", "min_breadth: 4\n")
    assert (tmp_path / "tests" / "support" / "site.py").read_text() == before + "MORE = 1\n"
    assert (tmp_path / "scrapers" / "sources" / "feed.py").read_text() == (ROOT / "scrapers" / "sources" / "feed.py").read_text()
    assert (ROOT / "tests" / "support" / "site.py").read_text() == before
    assert not (ROOT / "scrapers" / "sources" / "harbour.py").exists()
    assert not (ROOT / "rules.yaml").exists()


async def test_a_shell_remembers_and_says_how_a_command_ends(tmp_path: Path) -> None:
    async with Shell(tmp_path, os.environ) as shell:
        await shell.run("TOKEN=hush  # it's a secret", within_s=10)
        assert await shell.run('echo "$TOKEN"; echo no >&2', within_s=10) == (0, "hush\nno\n")
        assert (await shell.run("cat < /none | cat", within_s=10)).code == 1
        assert (await shell.run("cat > made <<'END'\nan 'open\nEND", within_s=10)).code == 0
        assert (tmp_path / "made").read_text() == "an 'open\n"
        assert (await shell.run("cat", within_s=10)).said == ""  # nothing is taken from the commands to come
        assert (await shell.run("nosuchprogram", within_s=10)).code == 127


async def test_a_command_that_does_not_end_is_told(tmp_path: Path) -> None:
    async with Shell(tmp_path, os.environ) as shell:
        with pytest.raises(TimeoutError):
            await shell.run("sleep 60", within_s=0.2)


async def test_what_runs_beside_ends_with_the_shell(tmp_path: Path) -> None:
    async with Shell(tmp_path, os.environ) as shell:
        pid = int((await shell.run("sleep 600 & echo $!", within_s=10)).said)
        assert psutil.pid_exists(pid)
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, within_s=10)
