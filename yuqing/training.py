"""`yuqing train` and `yuqing model average`: weights into a folder of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.cards import read_card
from models.registry import need_torch
from models.tuning import wait_asleep
from opinion.settings import Settings


def train_model(config_file: str, out: str | None, *, settings: Settings, echo: Callable[[str], None]) -> None:
    """Train, say where the run is and how good it is.

    Errors:
        ConfigError: the configuration is wrong, or the folder is not empty.
        ModelLoadError: torch, the encoder or the device is not there.
    """
    need_torch("training")
    wait_asleep()
    from models.encoder_files import prepare_model  # noqa: PLC0415 - torch must find its thread library set
    from models.training.config import load_config  # noqa: PLC0415
    from models.training.run import train  # noqa: PLC0415
    from models.training.tune import Progress as Step  # noqa: PLC0415

    config = load_config(Path(config_file))
    folder = Path(out) if out else Path("runs") / f"{config.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with bar:
        task = bar.add_task("training", total=None)

        def heard(step: Step) -> None:
            bar.update(task, total=step.steps, completed=step.step, description=f"epoch {step.epoch:.2f}  loss {step.loss:.3f}  {step.rows_per_s:.0f} rows/s")

        card = train(config, folder, base=prepare_model(settings.models_dir), device=settings.device, threads=settings.threads, on_progress=heard)
    _tell(card, folder, echo=echo)


def average_models(directories: Sequence[str], out: str | None, *, settings: Settings, echo: Callable[[str], None]) -> None:
    """Write the mean of trained models, calibrated and measured; say where it is and how good.

    Errors:
        ConfigError: the folder is not empty, or cannot be written.
        ModelLoadError: a folder holds no model of this encoder, or torch is not there.
    """
    need_torch("the mean of trainings")
    from models.encoder_files import prepare_model  # noqa: PLC0415 - torch
    from models.training.average import average  # noqa: PLC0415
    from models.training.run import make_folder  # noqa: PLC0415

    folder = Path(out) if out else Path("runs") / f"mean-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    make_folder(folder)
    found = [Path(directory) for directory in directories]
    card = average(found, folder, base=prepare_model(settings.models_dir), name=read_card(found[0]).name, max_tokens=settings.max_tokens)
    _tell(card, folder, echo=echo)


def _tell(card: Mapping[str, Any], folder: Path, *, echo: Callable[[str], None]) -> None:
    for head, sets in card["scores"].items():
        for name, score in sets.items():
            figures = f"{score}" if isinstance(score, float) else "  ".join(f"{key} {value}" for key, value in score.items())
            echo(f"{head:10} {name:60} {figures}")
    echo(f"{folder}: {card['name']}@{card['revision']}; to use it, `yuqing model promote {folder}`, or set `model` to the folder")
