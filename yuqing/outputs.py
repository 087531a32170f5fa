"""Files that a command is told to write: refused before the work where they cannot be written, one line where writing fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opinion.errors import ConfigError


def refuse_unwritable(option: str, path: str | Path | None, *, suffix: str = "") -> None:
    """Nothing, where there is no path or it can be written to; leaves no file behind.

    Errors:
        ConfigError: no such folder, a folder itself, no permission, another suffix than is written.
    """
    if path is None:
        return
    if not str(path).endswith(suffix):
        raise ConfigError(f"{option} {path}: the name must end in {suffix}")
    target = Path(path)
    with writing(option, path):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        target.parent.stat()
        if not target.parent.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(target if target.exists() else target.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def writing(option: str, path: str | Path) -> Iterator[None]:
    """A stretch of work that writes the file an option names.

    Errors:
        ConfigError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{option} {path}: {error.strerror}") from error
