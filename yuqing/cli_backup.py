"""Commands that save and bring back what an installation knows."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

FILE = click.argument("file", type=click.Path(dir_okay=False))


def _say(line: str) -> None:
    click.echo(line, err=True)


@click.command()
@FILE
@click.option("--data-dir", type=click.Path(file_okay=False), help="Whose state; default: the setting `data_dir`.")
@click.option("--no-archive", is_flag=True, help="Without the judged documents: a small file, of few texts.")
def backup(file: str, *, data_dir: str | None, no_archive: bool) -> None:
    """Write what cannot be had from elsewhere to a new FILE, while everything runs. docs/backup.md says what is in it, and what is not.

    It holds secrets and texts; only its owner can read it.
    """
    from opinion.settings import load_settings
    from yuqing.backup.making import make_backup
    from yuqing.logs import configure_logs
    from yuqing.running import with_running

    configure_logs("warning")
    settings = with_running(load_settings(data_dir=data_dir))
    sys.exit(asyncio.run(make_backup(Path(file), settings=settings, archive=not no_archive, echo=_say)))


@click.command()
@FILE
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where to; default: the setting `data_dir`.")
@click.option("--replace", is_flag=True, help="Although there is state already: it goes, but for the list of erased documents.")
@click.option("--check", is_flag=True, help="Only see whether FILE is whole; needs no server.")
def restore(file: str, *, data_dir: str | None, replace: bool, check: bool) -> None:
    """Put the state of a backup in place. Stop all processes first.

    Alerts that were on stay on; what the backup or Kafka know to be told is not told again.
    """
    from opinion.settings import load_settings
    from yuqing.backup.restoring import check_backup, restore_backup
    from yuqing.logs import configure_logs

    configure_logs("warning")
    settings = load_settings(data_dir=data_dir)
    sys.exit(asyncio.run(check_backup(Path(file), echo=_say) if check else restore_backup(Path(file), settings=settings, replace=replace, echo=_say)))


def add_to(main: click.Group) -> None:
    """Add the commands."""
    for command in (backup, restore):
        main.add_command(command)
