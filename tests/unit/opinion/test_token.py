from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError
from opinion.settings import Settings
from opinion.token import Server, ensure_token, token_path, token_place

SERVERS: list[Server] = ["api", "intake"]


@pytest.mark.parametrize("server", SERVERS)
def test_a_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path, server: Server) -> None:
    settings = Settings(data_dir=tmp_path / "new")
    first = ensure_token(settings, server)
    assert len(first) >= 40
    assert ensure_token(settings, server) == first
    assert token_path(settings, server) == tmp_path / "new" / f"{server}-token"
    assert token_path(settings, server).stat().st_mode & 0o777 == 0o600


def test_every_server_has_a_token_of_its_own(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert ensure_token(settings, "api") != ensure_token(settings, "intake")


def test_a_configured_token_is_taken_and_none_is_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, api_token=SecretStr("hush"), intake_token=SecretStr("hush too"))
    assert (ensure_token(settings, "api"), ensure_token(settings, "intake")) == ("hush", "hush too")
    assert list(tmp_path.iterdir()) == []


def test_where_a_token_is_can_be_told_without_telling_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, intake_token=SecretStr("hush"))
    assert token_place(settings, "api") == str(tmp_path / "api-token")
    assert token_place(settings, "intake") == "configured"


@pytest.mark.parametrize("left", [b"", b"\n", b"  \n"])
def test_a_file_without_a_token_lets_nobody_in(tmp_path: Path, left: bytes) -> None:
    (tmp_path / "api-token").write_bytes(left)
    with pytest.raises(ConfigError, match=r"api-token holds no token: remove it"):
        ensure_token(Settings(data_dir=tmp_path), "api")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"the token of the intake cannot be kept at .*file/intake-token: "):
        ensure_token(Settings(data_dir=tmp_path / "file"), "intake")
