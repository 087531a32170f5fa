"""The rules' file while the alerter runs: taken up again whenever it changes, kept as it was while it is wrong."""

from __future__ import annotations

from pathlib import Path

import structlog

from alerts.detect.rulebook import load_rules
from opinion.errors import ConfigError

log = structlog.get_logger()


class RulesFile:
    """Rules from a file, or the built-in ones.

    Errors:
        ConfigError: the file is wrong when it is first read.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._path = path
        self._seen = self._stamp()
        self.rules = load_rules(path)

    def changed(self) -> bool | None:
        """Read the file where it changed since the last time: True once `rules` are new, False once it is wrong, None otherwise."""
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            found = load_rules(self._path)
        except ConfigError as error:
            log.warning("wrong rules: those before stay", error=str(error), version=self.rules.version)
            return False
        if found.version == self.rules.version:
            return None
        log.info("new rules", version=found.version, before=self.rules.version)
        self.rules = found
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when the file is written or replaced; None where there is none."""
        if self._path is None:
            return None
        try:
            found = Path(self._path).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
