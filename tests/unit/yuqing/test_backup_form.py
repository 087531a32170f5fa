from __future__ import annotations

import json
import zipfile
from pathlib import Path

import msgspec
import pytest

from opinion.errors import ConfigError
from tests.support.records import NOON
from yuqing.backup.form import MANIFEST, Manifest, Since, framed, opened, written

STATE, TOKEN = "redis/alerts.bin", "api-token"
FRAMES = [b"one", b"", b"x" * 3_000_000]


def manifest() -> Manifest:
    since = Since(documents=NOON, scored=NOON, alerts=NOON)
    return Manifest(program="0.1.0", made_at=NOON, namespace="yuqing", since=since, counts={"alerts": 3})


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    path = tmp_path / "a.backup"
    with written(path) as writer:
        with writer.part(STATE) as write:
            for frame in FRAMES:
                write(framed(frame))
        (tmp_path / "token").write_text("hush")
        writer.add(TOKEN, tmp_path / "token")
        writer.finish(manifest())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught, opened(path):
        pass
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(path))
    return said.removeprefix(str(path))


def rewritten(path: Path, *, change: str, data: bytes | None, comment: bool = True) -> Path:
    """The backup with one part replaced, left out or added."""
    other = path.with_name("other.backup")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(other, "w") as copy:
        parts = {name: archive.read(name) for name in archive.namelist()} | ({} if data is None else {change: data})
        for name, value in parts.items():
            if name != change or data is not None:
                copy.writestr(name, value)
        copy.comment = archive.comment if comment else b""
    return other


def test_what_was_written_is_read_again(backup: Path, tmp_path: Path) -> None:
    with opened(backup) as found:
        assert msgspec.structs.replace(found.manifest, parts={}) == manifest()
        assert list(found.frames(STATE)) == FRAMES
        assert found.parts("redis/") == [STATE]
        assert found.read(TOKEN) == b"hush"
        found.extract(TOKEN, tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == b"hush"
    assert (tmp_path / "there").stat().st_mode & 0o777 == 0o600


def test_only_its_owner_can_read_it(backup: Path) -> None:
    assert backup.stat().st_mode & 0o777 == 0o600


def test_a_backup_never_takes_the_place_of_another(backup: Path) -> None:
    before = backup.read_bytes()
    with pytest.raises(ConfigError, match="is there already"), written(backup):
        pass
    assert backup.read_bytes() == before


def test_what_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        with written(path) as writer, writer.part(STATE) as write:
            write(b"some")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail(tmp_path / "a.backup")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file or directory"), written(tmp_path / "none" / "a.backup"):
        pass


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_was_cut_off_is_refused(backup: Path, share: float) -> None:
    whole = backup.read_bytes()
    backup.write_bytes(whole[: int(len(whole) * share)])
    assert refusal(backup) == " is no backup of yuqing, or was cut off"


def test_a_file_without_its_last_byte_is_refused(backup: Path) -> None:
    backup.write_bytes(backup.read_bytes()[:-1])
    assert refusal(backup) == " is not as it was written: manifest.json"


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == ": No such file or directory"


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x05\x06" + bytes(18)])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    assert "is no backup of yuqing" in refusal(path)


def test_another_programs_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, json.dumps({"form": "other", "version": 1}))
    assert refusal(path) == " is no backup of yuqing"


def test_a_newer_version_is_named_before_its_parts_are_looked_at(backup: Path) -> None:
    newer = rewritten(backup, change=MANIFEST, data=b'{"form": "yuqing-backup", "version": 2, "since": "as it likes"}')
    assert refusal(newer) == " was made by a newer version (form 2, this program reads up to 1): upgrade it"


def test_every_flipped_byte_is_found(backup: Path) -> None:
    whole = backup.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 61)):
        flipped = bytearray(whole)
        flipped[place] ^= 0x40
        backup.write_bytes(flipped)
        try:
            with opened(backup) as found:
                assert list(found.frames(STATE)) == FRAMES  # a byte that means nothing: a time stamp, an attribute
                assert found.read(TOKEN) == b"hush"
        except ConfigError:
            pass


@pytest.mark.parametrize(
    ("change", "data"),
    [(STATE, framed(b"other")), (STATE, None), (TOKEN, b"HUSH"), ("redis/more.bin", b"x"), ("shelf/../../x", b"x")],
    ids=["altered", "left out", "same length", "added", "outside"],
)
def test_parts_that_are_not_as_they_were_written_are_refused(backup: Path, change: str, data: bytes | None) -> None:
    assert " is not as it was written: " in refusal(rewritten(backup, change=change, data=data))


def test_a_manifest_that_is_not_as_it_was_written_is_refused(backup: Path) -> None:
    with zipfile.ZipFile(backup) as archive:
        text = archive.read(MANIFEST)
    assert refusal(rewritten(backup, change=MANIFEST, data=text.replace(b'"alerts": 3', b'"alerts": 4'))) == " is not as it was written: manifest.json"
    assert refusal(rewritten(backup, change=MANIFEST, data=text, comment=False)) == " is not as it was written: manifest.json"
    assert " is damaged: manifest.json: " in refusal(rewritten(backup, change=MANIFEST, data=b'{"form": "yuqing-backup", "version": 1}'))
