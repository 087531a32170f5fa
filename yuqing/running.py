"""Which servers a running `yuqing up` has, so that `status`, `replay` and the others find them without being told."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import IO

from opinion.errors import ConfigError
from opinion.settings import Settings

_LOCK, _ADDRESSES = "up.lock", "up.json"


def take(data_dir: Path) -> IO[str]:
    """The lock of a data directory, held until it is closed.

    Errors:
        ConfigError: another `yuqing up` holds it, or the directory cannot be used.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = (data_dir / _LOCK).open("w", encoding="ascii")
    except OSError as error:
        raise ConfigError(f"the data directory {data_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise ConfigError(f"another `yuqing up` uses {data_dir}: stop it, or choose another --data-dir") from error
    return lock


def announce(settings: Settings) -> None:
    """Write down where the servers are; only the owner of the files may read it, since a Redis address can hold a password."""
    path = settings.data_dir / _ADDRESSES
    path.touch(mode=0o600)
    path.write_text(json.dumps({"kafka": settings.kafka, "redis": settings.redis}), encoding="utf-8")


def with_running(settings: Settings) -> Settings:
    """The settings with the servers of the `yuqing up` that runs on their data directory; unchanged where servers are set or none runs."""
    if settings.kafka or settings.redis:
        return settings
    try:
        with (settings.data_dir / _LOCK).open(encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # held: it runs
        try:
            found = json.loads((settings.data_dir / _ADDRESSES).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it has not got that far
            return settings
        return settings.model_copy(update={key: found.get(key) for key in ("kafka", "redis")})
    except OSError:
        return settings
    return settings
