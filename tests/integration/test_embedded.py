from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer

from opinion.bus import Producer, create_topics, stop_consumer
from opinion.errors import ServerFailed
from opinion.names import Names
from opinion.redis_client import connect
from yuqing.embedded.kafka import EmbeddedKafka
from yuqing.embedded.process import process_exists
from yuqing.embedded.redis import EmbeddedRedis

pytestmark = pytest.mark.integration


async def read_all(address: str, topic: str) -> list[bytes | None]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with asyncio.timeout(10):
            return [(await consumer.getone()).value]
    finally:
        await stop_consumer(consumer)


async def test_kafka_keeps_its_records_over_a_restart(tmp_path: Path, names: Names) -> None:
    first = EmbeddedKafka(tmp_path)
    address = await first.start()
    await create_topics(address, names, partitions=2, replication=1)
    await create_topics(address, names, partitions=2, replication=1)
    producer = Producer(address)
    await producer.send_all(names.documents, [(b"k", b"v")])
    await producer.stop()
    await first.stop()
    assert not first.alive()
    second = EmbeddedKafka(tmp_path)
    assert await read_all(await second.start(), names.documents) == [b"v"]
    await second.stop()


async def test_redis_keeps_its_keys_over_a_restart(tmp_path: Path) -> None:
    for expected in (None, b"v"):
        server = EmbeddedRedis(tmp_path)
        client = connect(await server.start())
        assert await client.get("k") == expected
        await client.set("k", "v")
        await client.aclose()
        await server.stop()


@pytest.mark.parametrize("kind", [EmbeddedKafka, EmbeddedRedis])
async def test_taken_port_is_one_clear_line(tmp_path: Path, kind: type[EmbeddedKafka | EmbeddedRedis]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ServerFailed, match=f"port {port} is taken") as caught:
            await kind(tmp_path, port=port).start()
    assert "\n" not in str(caught.value)


async def test_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    server = EmbeddedKafka(tmp_path)
    server._free_space = lambda _: 1_000_000
    with pytest.raises(ServerFailed, match="no disk space for Kafka: 1 MB free"):
        await server.start()


async def test_server_dies_with_a_killed_parent(tmp_path: Path) -> None:
    code = f"""
import asyncio
from pathlib import Path
from yuqing.embedded.redis import EmbeddedRedis
async def main():
    server = EmbeddedRedis(Path({str(tmp_path)!r}))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert process_exists(pid)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.communicate()
    async with asyncio.timeout(5):
        while is_running(pid):  # noqa: ASYNC110 - the kernel wakes nobody
            await asyncio.sleep(0.02)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return " Z " not in stat.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
