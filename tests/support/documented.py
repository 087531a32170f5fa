"""How each command of the documentation is tried: as it stands, beside the others, or, for a reason given here, only looked at."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterable
from typing import NamedTuple

import click

from tests.support.fences import ROOT, words
from yuqing.cli import main

RUN = frozenset({"yuqing", ".venv/bin/yuqing", ".venv/bin/python", "curl", "echo", "cat", "printf", "promtool", "TOKEN="})
"""Programs that are run as the page says."""
SETTINGS = re.compile(r"(?:YUQING_[A-Z_]+=\S*\s*)+")
OPTIONAL = frozenset({"promtool"})
"""Programs that a machine may lack: without them their files are looked for."""
_TOKEN = re.compile(r"TOKEN=\$\(cat \S+\)")


class LookedAt(NamedTuple):
    """Commands that no test can run as a reader does."""

    begins: str
    look: Callable[[str], None]  # raises for what is wrong all the same
    why: str


def target_exists(command: str) -> None:
    """Raise AssertionError unless the Makefile knows what is made."""
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    unknown = [target for target in words(command)[1:] if target not in known]
    assert not unknown, f"no target {unknown} in the Makefile"


def files_exist(command: str) -> None:
    """Raise AssertionError unless the files of this repository that a command names are there."""
    for word in shlex.split(command, comments=True):
        path = word.rpartition("=")[2].removeprefix("$PWD/")
        ours = path.endswith((".yml", ".yaml", ".toml")) or ("/" in path and (ROOT / path.partition("/")[0]).is_dir())
        if ours and not path.startswith("/"):
            assert any(ROOT.glob(path)), f"{path} is not there"


def options_exist(command: str) -> None:
    """Take a command of `yuqing` apart as the command line would.

    Errors:
        click.UsageError: there is no such command, or it is not called so.
    """
    found: click.Command = main
    left = words(command)[1:]
    while isinstance(found, click.Group):
        name, chosen = left[0], found.commands.get(left[0])
        if chosen is None:
            raise click.UsageError(f"no command {name}")
        found, left = chosen, left[1:]
    found.make_context(found.name, left)


LOOKED_AT = (
    LookedAt("make", target_exists, "sets up, tests, measures or runs everything, for minutes to hours; what `make run` and `make demo` do, tests/e2e does"),
    LookedAt("docker", files_exist, "no Docker where the tests run; tests of its own read the files"),
    LookedAt("prometheus", files_exist, "does not end by itself; tests/e2e/test_watched.py runs it on these files"),
    LookedAt("prometheus-alertmanager", files_exist, "does not end by itself; tests/e2e/test_watched.py runs it on these files"),
    LookedAt("grafana", files_exist, "in no package index; tests/unit/deploy reads its dashboards"),
    LookedAt("yuqing train", options_exist, "more than an hour; tests/unit/models/training trains a tiny one"),
    LookedAt("yuqing scrape", options_exist, "does not end by itself; part of the instance that the other commands speak to"),
    LookedAt("yuqing work", options_exist, "does not end by itself; part of the instance that the other commands speak to"),
    LookedAt("yuqing alert", options_exist, "does not end by itself; part of the instance that the other commands speak to"),
    LookedAt("yuqing up", options_exist, "does not end by itself; the instance that the other commands speak to"),
    LookedAt("yuqing restore", options_exist, "wants everything stopped; tests of its own do it"),
    LookedAt("kubectl", files_exist, "no cluster where the tests run; tests/unit/deploy/test_kubernetes.py reads what it applies"),
    LookedAt("kind", files_exist, "no cluster where the tests run"),
    LookedAt("systemctl", files_exist, "as root, on a host of its own; tests/unit/deploy/test_systemd.py reads the units"),
    LookedAt("python3 -m venv /opt/yuqing", files_exist, "as root, on a host of its own"),
    LookedAt("/opt/yuqing/bin/pip", files_exist, "as root, on a host of its own"),
    LookedAt("cp -r deploy/systemd/system/*", files_exist, "as root, on a host of its own"),
    LookedAt("install -D", files_exist, "as root, on a host of its own"),
    LookedAt("git", files_exist, "a checkout need not have its history"),
)
BESIDE = {".venv/bin/python receiver.py": 9000}
"""What listens until it is stopped, and on which port: it runs beside the commands after it."""
ENDLESS = ("curl -sN",)
"""Begin what shows events for ever: some seconds of it will do."""
ENDLESS_S = 3
AGAIN = {".venv/bin/yuqing alerts list --status open": "entity:"}
"""What a reader looks at again until it shows this: an alert takes up to a minute."""


def planned(command: str) -> str | None:
    """What to run in the place of a command; None where it can only be looked at, which is done now.

    Settings in front of what is only looked at are checked by `yuqing check`, and so are settings alone.

    Errors:
        AssertionError, click.UsageError: it is wrong, or nobody has said how to try it.
    """
    settings = SETTINGS.match(command)
    given = words(command)
    check = f"{settings[0].strip()} yuqing check" if settings else None
    if not given:
        return check
    rule = rule_of(command)
    if rule is not None:
        rule.look(command)
        return check
    program = "TOKEN=" if _TOKEN.match(command) else given[0]
    if program in OPTIONAL and shutil.which(program) is None:
        files_exist(command)
        return None
    assert program in RUN, f"say in tests/support/documented.py how {program!r} is tried"
    port = BESIDE.get(without_comment(command))
    if port is not None:
        return f"{without_comment(command)} > beside.log 2>&1 &\nuntil (exec 3<> /dev/tcp/127.0.0.1/{port}) 2> /dev/null; do sleep 0.1; done"
    if command.startswith(ENDLESS):
        return f"timeout {ENDLESS_S} {without_comment(command)}; [ $? = 124 ]"
    shown = AGAIN.get(without_comment(command))
    return command if shown is None else f"until {without_comment(command)} | grep '{shown}'; do sleep 1; done"


def rule_of(command: str) -> LookedAt | None:
    """The rule by which a command is only looked at, if it is."""
    given = [word.removeprefix(".venv/bin/") for word in words(command)]
    return next((rule for rule in LOOKED_AT if given[: len(rule.begins.split())] == rule.begins.split()), None)


def without_comment(command: str) -> str:
    """The command without what follows a #.

    >>> without_comment("make run   # all")
    'make run'
    """
    return re.sub(r"\s+#[^'\"]*$", "", command)


def missing(names: Iterable[str]) -> list[str]:
    """Of what stands in backticks, the commands that are none: unknown targets, commands and options; what stands for a value may be left out."""
    return [name for name in names if _is_missing(name)]


def _is_missing(name: str) -> bool:
    given = name.split()
    if given[0] == "make" and len(given) > 1:
        return not re.search(rf"^{re.escape(given[1])}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    if given[0] not in {"yuqing", ".venv/bin/yuqing"} or len(given) == 1:
        return False
    found: click.Command = main
    for word in given[1:]:
        if isinstance(found, click.Group) and not word.startswith("-"):
            chosen = found.commands.get(word)
            if chosen is None:
                return True
            found = chosen
    known = {option for parameter in found.params for option in parameter.opts} | {"--help", "--version"}
    return any(word.startswith("--") and word.partition("=")[0] not in known for word in given)
