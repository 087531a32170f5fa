from __future__ import annotations

import numpy as np
import pytest

from models.unpack import E5File, _unpacked
from opinion.errors import ModelLoadError
from tests.support.model import HIDDEN, PIECES, VOCABULARY, packed_bytes


def test_a_whole_file_gives_shape_pieces_and_tensors() -> None:
    file = E5File(packed_bytes())
    assert (file.shape.hidden, file.shape.vocabulary, file.shape.eos) == (HIDDEN, VOCABULARY, 2)
    assert file.pieces == PIECES
    assert file.tensor("emb.word", VOCABULARY, HIDDEN).shape == (VOCABULARY, HIDDEN)


def test_a_weight_is_its_nibble_less_eight_times_the_scale_low_nibbles_first() -> None:
    block = np.zeros(1, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]))
    block["scale"] = 0.5
    block["nibbles"][0, :] = 0x9F  # low 15, high 9
    weights = _unpacked(block)[0]
    assert weights[:16].tolist() == [3.5] * 16
    assert weights[16:].tolist() == [0.5] * 16


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not an E5S1"),
        (b"PK\x03\x04" + bytes(500), "not an E5S1"),
        (packed_bytes(magic=b"E5S2"), "not an E5S1"),
        (packed_bytes(version=9), "version 9"),
        (packed_bytes(hidden=15), "sizes do not fit"),
        (b"E5S1" + bytes(20), "damaged"),
    ],
)
def test_a_file_of_another_form_is_refused_with_a_reason(data: bytes, says: str) -> None:
    with pytest.raises(ModelLoadError, match=says):
        E5File(data)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5, 0.999])
def test_a_file_that_is_cut_off_is_refused(share: float) -> None:
    data = packed_bytes()
    with pytest.raises(ModelLoadError):
        _read_all(data[: int(len(data) * share)])


def _read_all(data: bytes) -> None:
    file = E5File(data)
    for name, entry in file._entries.items():
        file.tensor(name, entry.count)


def test_a_tensor_that_is_not_there_or_of_another_size_is_refused() -> None:
    file = E5File(packed_bytes())
    with pytest.raises(ModelLoadError, match=r"no tensor 'l99\.q\.w'"):
        file.tensor("l99.q.w", HIDDEN, HIDDEN)
    with pytest.raises(ModelLoadError, match="but one of 256"):
        file.tensor("l0.q.w", HIDDEN, HIDDEN + 1)
