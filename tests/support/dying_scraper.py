"""A scraper that is killed in the moment before it remembers what it published: `python -m tests.support.dying_scraper`, settings from the environment.

All of that is acknowledged by then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from datetime import datetime

from opinion.settings import load_settings
from scrapers.cursor import Cursor, CursorStore, Seen
from scrapers.scrape import run_scraper
from yuqing.logs import configure_logs


async def die(_store: CursorStore, _key: str, _cursor: Cursor, *, seen: Mapping[str, Seen], at: datetime) -> None:
    """What is done instead of moving a cursor."""
    if seen:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    CursorStore.commit = die  # type: ignore[method-assign,assignment]
    settings = load_settings()
    configure_logs(settings.log_level)
    sys.exit(asyncio.run(run_scraper(settings)))
