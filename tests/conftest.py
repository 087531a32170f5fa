"""Fixtures for all tests. Servers are started when the first test asks for them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import pytest
import redis as redis_sync
import structlog
from hypothesis import settings

from opinion.names import Names
from tests.support.servers import Servers

settings.register_profile("steady", deadline=None)  # a busy machine is no failure; every test has a timeout of its own
settings.load_profile("steady")

_GIVEN = {key: os.environ.get(key) for key in ("YUQING_KAFKA", "YUQING_REDIS")}
for _key in [key for key in os.environ if key.startswith("YUQING_")]:
    del os.environ[_key]  # a developer's own settings must not reach the tests


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Embedded servers, not yet started."""
    found = Servers(tmp_path_factory.mktemp("servers"))
    yield found
    found.stop()


@pytest.fixture(scope="session")
def kafka_address(servers: Servers) -> str:
    """Bootstrap address of a real broker."""
    return _GIVEN["YUQING_KAFKA"] or servers.run(servers.kafka.start())


@pytest.fixture(scope="session")
def _redis_server(servers: Servers) -> str:
    return _GIVEN["YUQING_REDIS"] or servers.run(servers.redis.start())


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    """Address of a real, empty Redis database."""
    with redis_sync.Redis.from_url(_redis_server) as client:
        client.flushdb()
    return _redis_server


@pytest.fixture
def names(request: pytest.FixtureRequest) -> Names:
    """Names of an installation of this test's own."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    return Names(f"t-{slug}"[:24].strip("-") + f"-{abs(hash(request.node.nodeid)) % 10**6}")


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """A test that runs a command in this process leaves the next one's logs alone."""
    yield
    structlog.reset_defaults()
