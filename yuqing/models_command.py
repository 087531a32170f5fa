"""`yuqing model`: what is on the shelf, what a card says, and which model workers load."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from models.cards import DEFAULT, WEIGHTS, Card, checked, read_card
from models.comparison import FEWEST_ROWS, changes, falls
from models.shelf import Shelf
from opinion.errors import ModelLoadError, ModelRefused
from opinion.settings import Settings

HEADS = ("sentiment", "topics", "entity")
RESTART = "A running worker keeps its model until it is started again."
MOST_SHOWN = 3
"""Scores that a refusal names; the table above it has all."""

Echo = Callable[[str], None]


class Accuracy(Struct, frozen=True):
    """Of one head, over all rows it was measured on."""

    accuracy: float
    rows: int


class Listed(Struct, frozen=True):
    """One model that could be in use."""

    revision: str
    name: str
    place: str  # `built in`, `shelf`, `setting`
    directory: str
    in_use: bool
    trained_at: datetime | None  # None where its card does not say
    promoted_at: datetime | None  # the last time; None: never
    accuracy: dict[str, Accuracy]
    problem: str | None  # why it cannot be used


def list_models(settings: Settings, *, as_json: bool) -> None:
    """Print the built-in model, those on the shelf and one that the setting `model` names, with the one in use marked.

    Errors:
        ConfigError: the data directory cannot be read.
        ModelLoadError: the pointer file cannot be read.
    """
    found = listed(settings)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    click.echo(f"   {'revision':<12}  {'name':<20}  {'place':<8}  {'trained':<10}  {'promoted':<10}  " + "  ".join(f"{f'{head} right':<17}" for head in HEADS).rstrip())
    for one in found:
        click.echo(_line(one))
    if settings.model != DEFAULT:
        click.echo("the setting `model` names a directory: what is promoted comes into use when it is `default`")


def listed(settings: Settings) -> list[Listed]:
    """Every model that could be in use; one that is damaged has a problem and spoils no other.

    Errors:
        ConfigError: the data directory cannot be read.
        ModelLoadError: the pointer file cannot be read.
    """
    shelf = Shelf(settings.data_dir)
    pointer = shelf.pointer()
    promoted_at = {one.revision: one.at for one in pointer.promotions}
    named = [] if settings.model == DEFAULT else [("setting", settings.model, Path(settings.model))]
    on_shelf = sorted({*shelf.revisions(), pointer.in_use} - {DEFAULT})  # also one that is in use and gone
    places = [("built in", DEFAULT, WEIGHTS), *[("shelf", revision, shelf.place(revision)) for revision in on_shelf], *named]
    in_use = settings.model if named else pointer.in_use
    return [_listed(place, revision, directory, in_use=revision == in_use, promoted_at=promoted_at.get(revision)) for place, revision, directory in places]


def _listed(place: str, revision: str, directory: Path, *, in_use: bool, promoted_at: datetime | None) -> Listed:
    try:
        card = checked(directory)
        problem = None if place != "shelf" or card.revision == revision else f"{directory} holds the revision {card.revision}"
    except ModelLoadError as error:
        return Listed(revision, "", place, str(directory), in_use, None, promoted_at, {}, str(error))
    accuracy = {head: found for head in HEADS if (found := accuracy_of(card, head)) is not None}
    return Listed(card.revision, card.name, place, str(directory), in_use, card.trained_at, promoted_at, accuracy, problem)


def accuracy_of(card: Card, head: str) -> Accuracy | None:
    """The share of right answers over all rows that a head was measured on; None where it was on none."""
    scores = card.measured(head).values()
    rows = sum(score.rows for score in scores)
    return Accuracy(round(sum(score.accuracy * score.rows for score in scores) / rows, 4), rows) if rows else None


def _line(one: Listed) -> str:
    figures = "  ".join(f"{f'{found.accuracy:.3f} (n={found.rows})' if (found := one.accuracy.get(head)) else '-':<17}" for head in HEADS)
    start = f"{'*' if one.in_use else ' '}  {one.revision:<12}  {one.name:<20}  {one.place:<8}  {_day(one.trained_at):<10}  {_day(one.promoted_at):<10}  "
    return (start + (figures if one.problem is None else f"CANNOT BE USED: {one.problem}")).rstrip()


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else "-"


def show_model(name: str, settings: Settings, *, as_json: bool) -> None:
    """Print the card of `default`, of a revision, or of the model in a directory.

    Errors:
        ConfigError: no such model.
        ModelLoadError: it has no card.
    """
    directory = Shelf(settings.data_dir).find(name)
    card = read_card(directory)
    if as_json:
        fields: dict[str, Any] = msgspec.to_builtins(card)
        click.echo(msgspec.json.encode({"revision": card.revision, "directory": str(directory), **fields}).decode())
        return
    for line in _card_lines(card, directory):
        click.echo(line)


def _card_lines(card: Card, directory: Path) -> Iterator[str]:
    yield f"{card.name}@{card.revision}"
    yield f"  {'directory':<11}{directory}"
    yield f"  {'encoder':<11}{card.encoder.name} ({card.encoder.sha256[:12]}) {card.encoder.origin}".rstrip()
    yield f"  {'trained':<11}{card.trained_at.isoformat(timespec='seconds') if card.trained_at else 'not said'}"
    if card.mean_of:
        yield f"  {'mean of':<11}{', '.join(card.mean_of)}"
    if card.taught_by:
        yield f"  {'taught by':<11}{card.taught_by}"
    yield f"  {'licence':<11}{card.licence or 'not said'}"
    yield f"  {'for':<11}{card.intended_use or 'not said'}"
    yield "trained on"
    for name, origin in card.trained_on.items():
        yield f"  {origin.rows:>6} rows  {name}: {origin.origin}"
    yield "scores, on rows that nothing was fitted on (calibration error: with the temperatures, and without)"
    for head in card.scores:
        yield from _score_lines(card, head)
    yield "temperatures"
    for head, temperatures in card.temperatures.items():
        yield f"  {head:<10} " + "  ".join(f"{group} {value:.2f}" for group, value in temperatures.items())
    yield "limits"
    for limit in card.limits:
        yield f"  {limit}"


def _score_lines(card: Card, head: str) -> Iterator[str]:
    for name, score in card.measured(head).items():
        without = "-" if score.ece_uncalibrated is None else f"{score.ece_uncalibrated:.3f}"
        yield f"  {head:<10} {name:<56} {score.rows:>5} rows  accuracy {score.accuracy:.3f}  macro F1 {score.macro_f1:.3f}  calibration error {score.ece:.3f} ({without})"
    for name, number in card.scores[head].items():
        if isinstance(number, float):
            yield f"  {head:<10} {name:<56} {number:.3f}"


def promote_model(name: str, *, force: bool, settings: Settings, now: datetime, echo: Echo) -> None:
    """Put a model on the shelf and to use, and say so.

    Errors:
        ConfigError: no such model, or the data directory cannot be written.
        ModelLoadError: it is damaged, or was made for another encoder.
        ModelRefused: it is worse than the one in use, or nothing tells; not with `force`.
    """
    shelf = Shelf(settings.data_dir)
    directory = shelf.find(name)
    card = checked(directory)
    if not force:
        _refuse_worse(card, shelf, echo=echo)
    built_in = card.revision == read_card(WEIGHTS).revision
    if not built_in:
        shelf.put(directory)
    revision = DEFAULT if built_in else card.revision
    promoted = shelf.promote(revision, at=now)
    click.echo(f"{card.name}@{card.revision} {'is in use from now on' if promoted else 'was in use already'}: {shelf.place(revision)}")
    _say_when(settings, echo)


def _refuse_worse(card: Card, shelf: Shelf, *, echo: Echo) -> None:
    in_use = shelf.pointer().in_use
    try:
        current = read_card(shelf.place(in_use))
    except ModelLoadError as error:
        raise ModelRefused(f"not promoted: the model in use is damaged, so that nothing can be compared ({error}); --force promotes it untold") from error
    if current.revision == card.revision:
        return
    found = changes(current, card)
    for change in found:
        echo(f"{'worse' if change.worse else 'ok':<6} {change}")
    beside = f"{current.revision}, which is in use"
    if not found:
        raise ModelRefused(f"not promoted: no score of {FEWEST_ROWS} or more rows is of the same rows as one of {beside}; --force promotes it untold")
    worse = falls(found)
    if worse:
        named = "; ".join(map(str, worse[:MOST_SHOWN])) + ("; .." if len(worse) > MOST_SHOWN else "")
        raise ModelRefused(f"not promoted: {len(worse)} of {len(found)} scores are more than a point below {beside}: {named}; --force promotes it all the same")


def roll_back(settings: Settings, *, echo: Echo) -> None:
    """Put to use what was before the last promotion, and say so.

    Errors:
        ModelRefused: nothing was promoted.
        ModelLoadError: what was before cannot be used.
        ConfigError: the data directory cannot be written.
    """
    shelf = Shelf(settings.data_dir)
    left, back = shelf.rollback()
    card = read_card(shelf.place(back))
    click.echo(f"{card.name}@{card.revision} is in use again, {left} no more: {shelf.place(back)}")
    _say_when(settings, echo)


def _say_when(settings: Settings, echo: Echo) -> None:
    echo(RESTART)
    if settings.model != DEFAULT:
        echo(f"The setting `model` names {settings.model}: workers load that until it is `default`.")
