from __future__ import annotations

import random

import pytest
from aiokafka.partitioner import DefaultPartitioner

from opinion.bus import partition_index


@pytest.mark.parametrize("length", [*range(13), 37, 64, 1000])
def test_keys_go_where_every_kafka_client_sends_them(length: int) -> None:
    key = random.Random(length).randbytes(length)
    for count in (1, 3, 4, 12):
        assert partition_index(key, count) == DefaultPartitioner()(key, list(range(count)), [])


def test_records_without_a_key_go_anywhere() -> None:
    assert {partition_index(None, 3) for _ in range(100)} == {0, 1, 2}
