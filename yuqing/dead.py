"""Dead letters by hand: look, and put records back once the cause is mended."""

from __future__ import annotations

import base64
from collections.abc import Callable

import click

from opinion.bus import Producer, read_all
from opinion.codec import decode, encode
from opinion.errors import ConfigError, Reason, RecordError
from opinion.records import DeadLetter
from opinion.settings import Settings


async def list_letters(settings: Settings, *, limit: int, as_json: bool) -> int:
    """Print the newest letters; 0."""
    letters = (await read_letters(settings))[-limit:]
    if not letters and not as_json:
        click.echo("no dead letters", err=True)
    for letter in letters:
        if as_json:
            click.echo(encode(letter).decode())
        else:
            click.echo(f"{letter.at:%Y-%m-%d %H:%M:%S}  {letter_id(letter):<40}  {letter.reason:<16}  {letter.detail[:80]}")
    return 0


async def show_letter(settings: Settings, wanted: str) -> int:
    """Print one letter and its bytes; 1 where there is none of that name."""
    for letter in await read_letters(settings):
        if letter_id(letter) == wanted:
            click.echo(f"{letter_id(letter)}\nreason: {letter.reason}\ndetail: {letter.detail}\nat:     {letter.at.isoformat()}\nbytes:")
            click.echo(repr(base64.b64decode(letter.value_base64)[:2000])[2:-1])
            return 0
    click.echo(f"yuqing: no dead letter {wanted}; `yuqing dead list` shows them", err=True)
    return 1


async def replay_letters(settings: Settings, wanted: set[str], *, reason: str | None, echo: Callable[[str], None]) -> int:
    """Send the chosen records again to the topic they came from; 1 where none was chosen or a named one is missing.

    Errors:
        ConfigError: neither letters nor a known reason are named.
    """
    if reason is not None and reason not in set(Reason):
        raise ConfigError(f"unknown reason {reason!r}; one of {', '.join(sorted(Reason))}")
    if not wanted and reason is None:
        raise ConfigError("name letters, or all of one --reason")
    chosen = [letter for letter in await read_letters(settings) if letter_id(letter) in wanted or letter.reason == reason]
    kafka, _ = settings.require_servers()
    producer = Producer(kafka, deadline_s=20)
    try:
        for letter in chosen:
            key = None if letter.key_base64 is None else base64.b64decode(letter.key_base64)
            await producer.send_all(letter.topic, [(key, base64.b64decode(letter.value_base64))])
    finally:
        await producer.stop()
    missing = wanted - {letter_id(letter) for letter in chosen}
    echo(f"{len(chosen)} sent again" + (f"; not found: {', '.join(sorted(missing))}" if missing else ""))
    return 1 if missing or not chosen else 0


def letter_id(letter: DeadLetter) -> str:
    """What a letter is called on the command line: where the record stood.

    >>> from datetime import UTC, datetime
    >>> letter_id(DeadLetter(topic="t", partition=0, offset=7, reason="undecodable", detail="", value_base64="", at=datetime.now(UTC)))
    't/0/7'
    """
    return f"{letter.topic}/{letter.partition}/{letter.offset}"


async def read_letters(settings: Settings) -> list[DeadLetter]:
    """Every letter kept, oldest first, one per record.

    Errors:
        BusUnavailable: no broker answers.
    """
    kafka, _ = settings.require_servers()
    letters: dict[str, DeadLetter] = {}
    for value in await read_all(kafka, settings.names.dead):
        try:
            letter = decode(value, DeadLetter)
        except RecordError:
            continue
        letters.setdefault(letter_id(letter), letter)
    return sorted(letters.values(), key=lambda letter: letter.at)
