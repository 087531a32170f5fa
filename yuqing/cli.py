"""The command line. Commands import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from typing import IO, TYPE_CHECKING, Any

import click

from yuqing import cli_backup, cli_remote

if TYPE_CHECKING:
    from opinion.settings import Settings

WORK_FAILED = 1
WRONG_USAGE = 2


class Group(click.Group):
    """A click group whose expected failures are one line on stderr: exit 2 for configuration, 1 for the rest."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, turning our errors into exit codes."""
        from opinion.errors import ConfigError, YuqingError

        if os.getpid() == 1:  # the first process of a container, which no signal ends by itself: until a command has its own way to stop, SIGTERM ends it at once
            signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
        try:
            return super().main(*args, **kwargs)
        except ConfigError as error:
            click.echo(f"yuqing: {error}", err=True)
            sys.exit(WRONG_USAGE)
        except YuqingError as error:
            click.echo(f"yuqing: {error}", err=True)
            sys.exit(WORK_FAILED)
        except BrokenPipeError:
            sys.exit(WORK_FAILED)
        except KeyboardInterrupt:
            sys.exit(130)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="yuqing")
def main() -> None:
    """Yuqing (舆情): hears financial news and social text, judges it, and warns when negative opinion surges."""


def _settings(**overrides: Any) -> Settings:
    from opinion.settings import load_settings
    from yuqing.logs import configure_logs

    settings = load_settings(**overrides)
    configure_logs(settings.log_level)
    return settings


def _connected(**overrides: Any) -> Settings:
    """The settings of a command that talks to running servers: those that are set, else those of a running `yuqing up`."""
    from yuqing.running import with_running

    return with_running(_settings(**overrides))


def _exit_with(work: Coroutine[Any, Any, int]) -> None:
    sys.exit(asyncio.run(work))


def _say(line: str) -> None:
    click.echo(line, err=True)


@main.command()
@click.option("--data-dir", type=click.Path(file_okay=False), help="Where state lives; default: the setting `data_dir`.")
def up(data_dir: str | None) -> None:
    """Kafka, Redis, scrapers, a worker and the alerter on this machine; Ctrl-C stops all, state survives."""
    from yuqing.up import run_up

    _exit_with(run_up(_settings(data_dir=data_dir), echo=_say))


@main.command()
@click.option("--speed", type=click.FloatRange(min=1, max=2000), default=None, help="Seconds of the day per second; default: 500, the day passes in three minutes.")
def demo(speed: float | None) -> None:
    """A bundled day with a crisis in it, from feeds to verified webhooks, on servers of its own; ends by itself."""
    from yuqing.demo.run import SPEED, run_demo
    from yuqing.logs import configure_logs

    configure_logs("warning")
    _exit_with(run_demo(speed=speed or SPEED, echo=_say))


@main.command()
@click.option("--shard", metavar="I/N", help="Poll the I-th of N parts of the sources, so that N processes share them.")
def scrape(shard: str | None) -> None:
    """Poll the configured sources and publish what is new."""
    from scrapers.scrape import run_scraper

    _exit_with(run_scraper(_connected(), shard=shard))


@main.command()
@click.option("--agents", help="score, aggregate, or both separated by a comma; default: the setting `agents`.")
def work(agents: str | None) -> None:
    """Judge documents and count them: a Faust worker."""
    from streams.worker import run_worker

    _exit_with(run_worker(_connected(agents=agents)))


@main.command()
def alert() -> None:
    """Watch the windows, alert, deliver, and serve the HTTP API."""
    from alerts.alerter import run_alerter

    _exit_with(run_alerter(_connected()))


@main.command()
@click.argument("processes", metavar="[scrape|work|alert]...", nargs=-1, type=click.Choice(["scrape", "work", "alert"]))
def health(processes: tuple[str, ...]) -> None:
    """Are the processes on this machine, or in this container, well? Exits with 0 where they are, else with 1.

    Without a name all that are found are asked, and one at least must be there; with names, those must be there. Asks nobody but them: `status` says how the
    work goes.
    """
    from yuqing.health import run_health

    sys.exit(run_health(_settings(), wanted=processes, say=click.echo))


@main.command()
def prepare() -> None:
    """Unpack the model, and fetch Kafka's jars where `kafka` names no server, so that nothing is left to download or convert."""
    from models.registry import load_backend

    settings = _settings()
    if not settings.kafka:
        from yuqing.embedded.kafka import prepare_kafka

        _say(f"Kafka: {len(prepare_kafka(echo=_say))} jars")
    backend = load_backend(settings)  # unpacks, merges, tries which backend is faster
    _say(f"model: {backend.model}@{backend.revision} on {backend.name}")


@main.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--model", help="`default` or a directory; default: the setting `model`.")
@click.option("--backend", type=click.Choice(["torch", "onnx", "onnx-int8"]), help="What runs the model; default: the setting `backend`.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it runs.")
@click.option("--explain", is_flag=True, help="Add the words that decided.")
@click.option("--stories", is_flag=True, help="Link stories within the input.")
def score(file: IO[bytes], *, model: str | None, backend: str | None, device: str | None, explain: bool, stories: bool) -> None:
    """Judge JSON Lines (`text`, optional `title`, `kind`, `lang`, `published_at`, `publisher`): JSON Lines out, same order."""
    from yuqing.scoring import score_lines

    settings = _settings(model=model, backend=backend, device=device)
    failed = score_lines(file, sys.stdout.buffer, settings=settings, explain=explain, stories=stories)
    sys.exit(WORK_FAILED if failed else 0)


@main.command()
@click.argument("config", type=click.Path())
@click.option("--out", type=click.Path(file_okay=False), help="Folder of this run; default: `runs/<name>-<time>`.")
def train(config: str, out: str | None) -> None:
    """Fine-tune the model as CONFIG (TOML) says; `models/training/default.toml` is what the shipped weights were made with."""
    from yuqing.training import train_model

    train_model(config, out, settings=_settings(), echo=_say)


@main.command()
@click.argument("dataset", type=click.Path())
@click.option("--model", help="`default` or a directory; default: the setting `model`.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where it runs.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder for report.json and report.png; default: `evaluation-<name of the set>`.")
@click.option("--text-column", help="Default: `text`, with `title` before it where there is one.")
@click.option("--label-column", help="Where the sentiment is; default: `sentiment`, else `label`.")
@click.option("--topic-column", help="Default: `topic`.")
@click.option("--labels", metavar="NAMES", help="What the labels 0, 1, .. stand for where they are numbers: `negative,neutral,positive`.")
@click.option("--limit", type=click.IntRange(min=1), help="The first so many rows only.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: the report as report.json has it.")
def evaluate(dataset: str, *, model: str | None, device: str | None, out: str | None, labels: str | None, limit: int | None, as_json: bool, **columns: str | None) -> None:
    """A classification report on DATASET: CSV or JSON Lines (`text`, `sentiment` or `label`, `topic`, optional `title`, `kind`, `lang`), or one of them and .gz."""
    settings = _settings(model=model, device=device)
    from pathlib import Path

    from models.training.labelled import Columns
    from yuqing.evaluate import run_evaluation

    names = tuple(name.strip() for name in labels.split(",")) if labels else ()
    found = Columns(text=columns["text_column"], label=columns["label_column"], topic=columns["topic_column"], names=names)
    run_evaluation(Path(dataset), out=Path(out) if out else None, columns=found, limit=limit, settings=settings, stdout=sys.stdout, as_json=as_json)


@main.group("model")
def model_group() -> None:
    """Trained models: which there are, how good they are, and which one workers load."""


@model_group.command("list")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def model_list(*, as_json: bool) -> None:
    """The built-in model and those that were promoted; the one in use is marked."""
    from yuqing.models_command import list_models

    list_models(_settings(), as_json=as_json)


@model_group.command("show")
@click.argument("name", metavar="[REVISION|DIRECTORY]", default="default")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def model_show(name: str, *, as_json: bool) -> None:
    """A model's card: data, licences, scores, limits. Without an argument, the built-in one's."""
    from yuqing.models_command import show_model

    show_model(name, _settings(), as_json=as_json)


@model_group.command("promote")
@click.argument("name", metavar="DIRECTORY|REVISION")
@click.option("--force", is_flag=True, help="Even where it is worse, or cannot be compared.")
def model_promote(name: str, *, force: bool) -> None:
    """Keep a trained model and have workers load it from their next start on, where the setting `model` is `default`.

    DIRECTORY is a folder of `yuqing train`; it is copied into the data directory. `default` is the built-in model.
    Refused where accuracy or macro F1 falls by more than a point on any 100 or more rows that both cards have scores of.
    """
    from datetime import UTC, datetime

    from yuqing.models_command import promote_model

    promote_model(name, force=force, settings=_settings(), now=datetime.now(UTC), echo=_say)


@model_group.command("average")
@click.argument("directories", metavar="DIRECTORY...", nargs=-1, required=True)
@click.option("--out", help="Folder to make; default: one under runs/.")
def model_average(directories: tuple[str, ...], *, out: str | None) -> None:
    """Make the mean of trained models: on texts that none has seen it is better than each, and as fast.

    The DIRECTORIES are folders of `yuqing train`, trained with one `seed` and another `order` each. Temperatures are fitted and scores measured anew: 10 minutes on two cores.
    """
    from yuqing.training import average_models

    average_models(directories, out, settings=_settings(), echo=_say)


@model_group.command("rollback")
def model_rollback() -> None:
    """Have workers load what they loaded before the last promotion; again and again, back to the built-in model."""
    from yuqing.models_command import roll_back

    roll_back(_settings(), echo=_say)


@main.command()
@click.argument("source")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--url", default="", help="Where the body came from: resolves relative links, names the publisher.")
@click.option("--header", "headers", multiple=True, metavar="'K: V'", help="A header of the response, e.g. 'Content-Type: text/xml; charset=gbk'. Repeatable.")
@click.option("--now", help="RFC 3339 instant taken for the time of the fetch; default: now.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="What the adapter asks for, e.g. channel=us-stock-channel. Repeatable.")
def parse(source: str, file: IO[bytes], *, url: str, headers: tuple[str, ...], now: str | None, options: tuple[str, ...]) -> None:
    """A response body in, Documents as JSON Lines out; no network. SOURCE is an adapter, e.g. `feed`."""
    from yuqing.sources import parse_body

    _settings()
    sys.exit(parse_body(source, file.read(), out=sys.stdout.buffer, url=url, headers=headers, now=now, options=options, echo=_say))


@main.command()
@click.argument("source")
@click.option("--limit", type=click.IntRange(min=1), help="Print at most so many documents.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="What the adapter asks for, e.g. channel=us-stock-channel. Repeatable.")
def fetch(source: str, *, limit: int | None, options: tuple[str, ...]) -> None:
    """One live poll, Documents out, nothing published. SOURCE is a configured source, an adapter (all its sources), or a feed's address."""
    from yuqing.sources import fetch_source

    _exit_with(fetch_source(source, settings=_settings(), out=sys.stdout.buffer, limit=limit, options=options, echo=_say))


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("--speed", type=click.FloatRange(min=0), default=0.0, help="Seconds of the record per second; 0: as fast as Kafka takes it.")
@click.option("--start", help="RFC 3339 instant that the first document is moved to; default: times stay as they are.")
def replay(file: IO[bytes], *, speed: float, start: str | None) -> None:
    """Publish recorded Documents (JSON Lines) to Kafka, times shifted and scaled."""
    from yuqing.replay import run_replay

    _exit_with(run_replay(file, settings=_connected(), speed=speed, start=start, echo=_say))


@main.command()
@click.argument("doc_ids", metavar="DOC_ID...", nargs=-1, required=True)
def erase(doc_ids: tuple[str, ...]) -> None:
    """Erase documents everywhere, and for good: nothing brings their ids back. docs/privacy.md says what that reaches, and when.

    DOC_ID is the `doc_id` of a document, as the API and alerts have it.
    """
    from yuqing.erase import erase_documents

    _exit_with(erase_documents(doc_ids, settings=_connected(), echo=_say))


@main.command()
@click.argument("file", type=click.File("rb"))
@click.option("--rules", type=click.Path(exists=True, dir_okay=False), help="YAML file of rules; default: the built-in ones.")
@click.option("--lane", type=click.Choice(["share", "count", "both"]), default="both", help="What decides: the share of negatives, their number, or both (the default).")
@click.option("--summary", type=click.Path(), help="Write counts and rates to this JSON file.")
@click.option("--picture", metavar="FILE.png", type=click.Path(), help="Draw the course of up to six subjects: share of negatives, what was usual, volume, alerts.")
@click.option(
    "--plant",
    metavar="K[,K...]",
    help="Plant three-hour surges of K times the usual negatives into the second half of the record; tell what is caught, how soon, and the false alarms.",
)
@click.option("--plant-seed", metavar="N", type=click.IntRange(min=0), help="Of the random surges; default: always the same.")
def backtest(file: IO[bytes], *, rules: str | None, lane: str, summary: str | None, picture: str | None, plant: str | None, plant_seed: int | None) -> None:
    """ScoredDocuments or count rows in, alert transitions out: the alerter's own rules, no servers.

    FILE is JSON Lines, `-` for stdin. A count row is what happened to a subject in the minutes that begin at `at`:
    {"at": "2026-11-23T09:00:00Z", "subject": "x", "total": 20, "negative": 4} and, where known, "stories" and "authors" among
    the negatives; rows in time order. Transitions of the record as it is go to stdout. With --plant (e.g. 3,5,10) the report
    goes to stderr and to the summary, and the picture shows the strongest surges.
    """
    from yuqing.backtest import backtest_file
    from yuqing.planting import PLANT_SEED, strengths_of

    _settings()
    strengths = strengths_of(plant) if plant is not None else ()
    seed = PLANT_SEED if plant_seed is None else plant_seed
    backtest_file(file, sys.stdout.buffer, rules=rules, lane=lane, summary=summary, picture=picture, plant=strengths, plant_seed=seed, say=_say)


@main.command()
@click.option("--sources", is_flag=True, help="What there is to poll instead: every adapter, its options and terms. Needs no servers.")
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def status(*, sources: bool, as_json: bool) -> None:
    """What is alive, lagging, blind."""
    if sources:
        from yuqing.source_list import list_sources

        _settings()
        sys.exit(list_sources(as_json=as_json))
    from yuqing.status import show_status

    sys.exit(show_status(_connected(), as_json=as_json))


@main.command()
def check() -> None:
    """Is the configuration valid, and do the servers answer?"""
    from yuqing.status import run_check

    sys.exit(run_check(_connected()))


@main.group()
def dead() -> None:
    """Records that could not be worked on."""


@dead.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, help="Newest so many.")
@click.option("--json", "as_json", is_flag=True, help="For scripts: the whole letters.")
def dead_list(*, limit: int, as_json: bool) -> None:
    """The newest dead letters, with their reasons."""
    from yuqing.dead import list_letters

    _exit_with(list_letters(_connected(), limit=limit, as_json=as_json))


@dead.command("show")
@click.argument("letter")
def dead_show(letter: str) -> None:
    """One letter (`topic/partition/offset`), its bytes included."""
    from yuqing.dead import show_letter

    _exit_with(show_letter(_connected(), letter))


@dead.command("replay")
@click.argument("letters", nargs=-1)
@click.option("--reason", help="All letters of this reason.")
def dead_replay(letters: tuple[str, ...], *, reason: str | None) -> None:
    """Put records back on the topic they came from."""
    from yuqing.dead import replay_letters

    _exit_with(replay_letters(_connected(), set(letters), reason=reason, echo=_say))


cli_remote.add_to(main)
cli_backup.add_to(main)
