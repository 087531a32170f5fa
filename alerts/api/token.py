"""The bearer token of the API: configured, or made at the first start and kept where only its owner reads it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from opinion.errors import ConfigError
from opinion.settings import Settings


def token_path(settings: Settings) -> Path:
    """Where a token that was not configured is kept."""
    return settings.data_dir / "api-token"


def ensure_token(settings: Settings) -> str:
    """The token; made (mode 0600) where there is none.

    Errors:
        ConfigError: the data directory cannot be written or the file not read.
    """
    if settings.api_token is not None:
        return settings.api_token.get_secret_value()
    path = token_path(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text(encoding="ascii").strip()
        with os.fdopen(handle, "w", encoding="ascii") as file:
            token = secrets.token_urlsafe(32)
            file.write(token + "\n")
            return token
    except OSError as error:
        raise ConfigError(f"the API token cannot be kept at {path}: {error.strerror}") from error
