"""A scraper process for tests: `python -m tests.support.scraper_process [gdelt=URL] [hasty=yes] [dies=acked:N|remembered:N]`, settings from the environment.

`gdelt` is where its files are; a hasty one never slows down, whatever a poll ends with; it kills itself once Kafka acknowledged, or Redis remembered, so many times.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from opinion.bus import Producer
from opinion.names import Names
from opinion.settings import load_settings
from scrapers import scrape
from scrapers.cursor import CursorStore
from scrapers.sources import gdelt
from tests.support.workers import environment
from yuqing.logs import configure_logs

Work = Callable[..., Awaitable[None]]


def deadly(work: Work, *, after: int) -> Work:
    """The work, which kills who has done it so many times; with nothing to do it does not count."""
    times = itertools.count(1)

    async def worked(owner: object, what: object, *arguments: Any, **options: Any) -> None:
        await work(owner, what, *arguments, **options)
        if arguments != ([],) and next(times) >= after:
            os.kill(os.getpid(), signal.SIGKILL)

    return worked


def prepare(arguments: dict[str, str]) -> None:
    """Change the program as the arguments say."""
    if "gdelt" in arguments:
        gdelt.HOST = arguments["gdelt"]
    if "hasty" in arguments:
        vars(scrape)["next_wait_s"] = lambda interval_s, **_: interval_s
    if "dies" in arguments:
        at, _, after = arguments["dies"].partition(":")
        owner, name = {"acked": (Producer, "send_all"), "remembered": (CursorStore, "commit")}[at]
        setattr(owner, name, deadly(getattr(owner, name), after=int(after)))


def scraper_environment(*, kafka: str, redis_url: str, names: Names) -> dict[str, str]:
    """Variables for a scraper on these servers whose sources are on this machine."""
    more = {"YUQING_ALLOW_PRIVATE_SOURCES": "true", "YUQING_SCRAPER_PORT": "0", "YUQING_LOG_LEVEL": "error"}
    return environment(kafka=kafka, redis_url=redis_url, names=names, **more)


@asynccontextmanager
async def scraper(variables: dict[str, str], **arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running scraper; killed on exit if it still runs."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, *[f"{name}={value}" for name, value in arguments.items()], env=variables)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    prepare(dict(argument.split("=", 1) for argument in sys.argv[1:]))
    settings = load_settings()
    configure_logs(settings.log_level)
    sys.exit(asyncio.run(scrape.run_scraper(settings)))
