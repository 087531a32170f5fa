"""The token that commands use."""

from __future__ import annotations

from opinion.errors import ConfigError
from opinion.settings import Settings
from opinion.token import token_path


def token_of(settings: Settings) -> str:
    """The configured token, else the one that the alerter keeps in the data directory.

    Errors:
        ConfigError: there is neither.
    """
    if settings.api_token is not None:
        return settings.api_token.get_secret_value()
    path = token_path(settings, "api")
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(f"no API token: set YUQING_API_TOKEN, or YUQING_DATA_DIR to where the alerter keeps it ({path} cannot be read: {error.strerror})") from error
