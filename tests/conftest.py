"""Fixtures that every room may use; the servers behind them start when the first test asks."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Callable, Iterator

import pytest
import redis as redis_client
from support.servers import (
    KAFKA_BOOTSTRAP_SERVERS,
    POSTGRES_DSN,
    REDIS_URL,
    address_from,
    embedded,
    new_database,
    own_redis_database,
)

# Tiny networks run faster on one thread; read when torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A full collection walks the million objects that importing torch and transformers makes, 0.4 s each time.
gc.set_threshold(100_000, 50, 100)


def pytest_collection_finish() -> None:
    """What is imported by now stays, and need not be looked through any more."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """A PostgreSQL on which databases may be made; tests want `fresh_database`."""
    if address := address_from(os.environ, POSTGRES_DSN):
        yield address
        return
    with embedded("postgres") as servers:
        address = servers.addresses.postgres_dsn
        assert address is not None
        yield address


@pytest.fixture
def fresh_database(postgres_dsn: str) -> Iterator[str]:
    """The DSN of an empty database, dropped after the test."""
    with new_database(postgres_dsn) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def redis_url(worker_id: str) -> Iterator[str]:
    """A Redis that tests may flush; tests want `fresh_redis`."""
    if address := address_from(os.environ, REDIS_URL):
        yield own_redis_database(address, worker_id)
        return
    with embedded("redis") as servers:
        address = servers.addresses.redis_url
        assert address is not None
        yield address


@pytest.fixture
def fresh_redis(redis_url: str) -> str:
    """The URL of a Redis with nothing in its database."""
    with redis_client.Redis.from_url(redis_url) as client:
        client.flushdb()
    return redis_url


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Iterator[str]:
    """The bootstrap servers of a Kafka that needs no password and makes no topics by itself."""
    if address := address_from(os.environ, KAFKA_BOOTSTRAP_SERVERS):
        yield address
        return
    with embedded("kafka") as servers:
        address = servers.addresses.kafka
        assert address is not None
        yield address.bootstrap_servers


@pytest.fixture
def unique_topic() -> Callable[[str], str]:
    """Makes topic names that no other test uses: `unique_topic("news")`. The topic itself is not made."""
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"
