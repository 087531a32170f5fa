"""A worker process with the null judge: `python -m tests.support.null_worker`, settings from the environment."""

from __future__ import annotations

import asyncio
import sys

from opinion.settings import load_settings
from streams.worker import run_worker
from tests.support.null_judge import NullJudge
from yuqing.logs import configure_logs

if __name__ == "__main__":
    settings = load_settings()
    configure_logs(settings.log_level)
    sys.exit(asyncio.run(run_worker(settings, judge=NullJudge())))
