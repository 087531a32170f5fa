"""A worker process without the model: `python -m tests.support.null_worker [linking]`, settings from the environment."""

from __future__ import annotations

import asyncio
import sys

from opinion.settings import load_settings
from streams.score import Judging
from streams.worker import run_worker
from tests.support.null_judge import NullJudge
from yuqing.logs import configure_logs


def chosen(arguments: list[str]) -> Judging:
    """The null judge, or with `linking` the one that links companies."""
    if arguments == ["linking"]:
        from tests.support.linking_judge import LinkingJudge  # noqa: PLC0415 - its tables take memory that tests of the stream do not need

        return LinkingJudge()
    return NullJudge()


if __name__ == "__main__":
    settings = load_settings()
    configure_logs(settings.log_level)
    sys.exit(asyncio.run(run_worker(settings, judge=chosen(sys.argv[1:]))))
