"""Servers for tests: those that GROUNDSWELL_… names, else embedded ones, started when the first test asks for them."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest
from psycopg2 import sql

from domain.errors import GroundswellError
from service.embedded import EmbeddedServers

POSTGRES_DSN = "GROUNDSWELL_POSTGRES_DSN"
REDIS_URL = "GROUNDSWELL_REDIS_URL"
KAFKA_BOOTSTRAP_SERVERS = "GROUNDSWELL_KAFKA_BOOTSTRAP_SERVERS"


@contextmanager
def embedded(name: str) -> Iterator[EmbeddedServers]:
    """One embedded server (`kafka`, `postgres` or `redis`) in a folder that is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"groundswell-{name}-"))
    wanted = {other: other == name for other in ("kafka", "postgres", "redis")}
    try:
        servers = started(folder / "data", **wanted, kafka_open_to_all=True)
        yield servers
        for server in servers.servers.values():
            server.kill()  # its data go too: a graceful end would only take time
        servers.stop()
    finally:
        shutil.rmtree(folder)


def started(data_dir: Path, **options: Any) -> EmbeddedServers:
    """Start embedded servers for a test. Where that can't be done, a desk skips the test and CI fails."""
    try:
        servers = EmbeddedServers(data_dir, **options)
        servers.start()
    except GroundswellError as error:
        unavailable(f"the embedded servers do not start here: {error}")
    return servers


def unavailable(reason: str) -> NoReturn:
    """A part that a test needs is missing: skipped on a desk, a failure in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def new_database(dsn: str, *, template: str = "template1") -> Iterator[str]:
    """The DSN of a database made for one test, dropped afterwards whoever is still connected."""
    name = f"test_{uuid.uuid4().hex}"
    _administer(dsn, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))
    finally:
        _administer(dsn, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(dsn: str, statement: sql.Composable) -> None:
    connection = psycopg2.connect(dsn)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def own_redis_database(url: str, worker_id: str) -> str:
    """The same Redis, and in it a database for each of pytest-xdist's workers (`gw0`, `gw1`, …): tests flush theirs."""
    if worker_id == "master":
        return url
    parts = urlsplit(url)
    database = int(parts.path.strip("/") or 0) + int(worker_id.removeprefix("gw"))
    return urlunsplit(parts._replace(path=f"/{database}"))


def address_from(environment: Mapping[str, str], name: str) -> str | None:
    """The address of another server, when the environment gives one."""
    return environment.get(name) or None
