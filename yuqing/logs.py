"""How every process of ours writes log lines: one line each, to stderr."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog


def configure_logs(level: str, *, json: bool | None = None) -> None:
    """Write our log lines, and those of the libraries, to stderr from `level` on; as JSON where stderr is no terminal."""
    number = getattr(logging, level.upper())
    plain = sys.stderr.isatty() if json is None else not json
    renderer: Any = structlog.dev.ConsoleRenderer() if plain else structlog.processors.JSONRenderer(ensure_ascii=False)
    shared: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    if number > logging.DEBUG:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what fails is our error, and one line of ours
    logging.basicConfig(level=max(number, logging.WARNING), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True)
