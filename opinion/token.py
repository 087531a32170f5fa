"""The bearer tokens of our HTTP servers: configured, or made at the first start and kept where only their owner reads them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from opinion.errors import ConfigError
from opinion.settings import Settings

Server = Literal["api", "intake"]
"""Each has a setting `<name>_token` and a file `<name>-token`."""


def token_path(settings: Settings, server: Server) -> Path:
    """Where a token that was not configured is kept."""
    return settings.data_dir / f"{server}-token"


def token_place(settings: Settings, server: Server) -> str:
    """Where a person finds the token, in words; never the token."""
    return str(token_path(settings, server)) if _configured(settings, server) is None else "configured"


def ensure_token(settings: Settings, server: Server) -> str:
    """The token; made (mode 0600) where there is none.

    Errors:
        ConfigError: the data directory cannot be written, or the file cannot be read or is empty.
    """
    configured = _configured(settings, server)
    if configured is not None:
        return configured.get_secret_value()
    path = token_path(settings, server)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _kept(path)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            token = secrets.token_urlsafe(32)
            file.write(token + "\n")
            return token
    except OSError as error:
        raise ConfigError(f"the token of the {server} cannot be kept at {path}: {error.strerror}") from error


def _kept(path: Path) -> str:
    token = path.read_bytes().strip().decode("ascii", "replace")
    if not token:  # cut off while it was written: an empty token would let everybody in
        raise ConfigError(f"{path} holds no token: remove it, and a new one is made")
    return token


def _configured(settings: Settings, server: Server) -> SecretStr | None:
    return settings.api_token if server == "api" else settings.intake_token
