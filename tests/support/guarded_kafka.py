"""A broker that asks for a login on a port of its own, beside the one that does not."""

from __future__ import annotations

from pathlib import Path

from yuqing.embedded.kafka import EmbeddedKafka
from yuqing.embedded.process import free_port

USER, PASSWORD = "ann", "hush-hush"
_LOGIN = f"""\
sasl.enabled.mechanisms=PLAIN
listener.name.guarded.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
"""


class GuardedKafka(EmbeddedKafka):
    """One user, by SASL PLAIN."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir, port=free_port())
        self.guarded = f"127.0.0.1:{free_port()}"

    def _configure(self, port: int, controller: int) -> None:
        super()._configure(port, controller)
        text = self._properties.read_text(encoding="utf-8")
        text = text.replace("isteners=PLAINTEXT:", f"isteners=GUARDED://{self.guarded},PLAINTEXT:").replace("map=", "map=GUARDED:SASL_PLAINTEXT,")
        self._properties.write_text(text + _LOGIN, encoding="utf-8")
