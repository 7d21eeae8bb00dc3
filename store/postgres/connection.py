"""Connections to Postgres that can't hang, and can't make others hang."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
import psycopg2.extensions
import sqlalchemy as sa

from domain.errors import PermanentError
from store.postgres.errors import translated


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """Seconds. A worker that freezes inside a transaction is cut off by the server after `idle_in_transaction`, so
    that its successor, which waits for the same rows up to `lock`, gets them."""

    connect: float = 5
    statement: float = 60
    lock: float = 25
    idle_in_transaction: float = 10
    keepalive: float = 20
    """How long a peer that has vanished from the network goes unnoticed, on either side."""

    def __post_init__(self) -> None:
        if self.lock <= self.idle_in_transaction:
            raise ValueError("the lock time-out must be longer than the idle-in-transaction time-out")


class Postgres:
    """One database. Thread-safe.

    `dsn` is a URI (`postgresql://user:password@host:port/database?sslmode=verify-full`) or a libpq keyword string.
    It must lead to the server itself or to a session pooler: sessions carry settings and temporary tables.
    """

    def __init__(
        self,
        dsn: str,
        *,
        application_name: str,
        timeouts: Timeouts | None = None,
        pool_size: int = 4,
        pool_timeout: float = 10,
    ) -> None:
        """Raises PermanentError when the DSN can't be read. Does not connect. `pool_timeout`: seconds that a caller
        waits for one of `pool_size` connections before it is told to come back later."""
        self._parameters = _parameters(dsn, application_name, timeouts or Timeouts())
        self._engine = sa.create_engine(
            "postgresql+psycopg2://",
            creator=self._connect,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=pool_timeout,
            pool_pre_ping=True,
            hide_parameters=True,
        )

    def __repr__(self) -> str:
        return f"Postgres({self.address})"

    @property
    def address(self) -> str:
        """Where it is, without the password: `user@host:port/database`."""
        shown = self._parameters
        return f"{shown.get('user', '')}@{shown.get('host', '')}:{shown.get('port', '5432')}/{shown.get('dbname', '')}"

    def open(self) -> psycopg2.extensions.connection:
        """A connection of the caller's own, in autocommit mode. Raises TemporaryError or PermanentError."""
        with translated():
            connection = self._connect()
            connection.autocommit = True
            return connection

    @contextmanager
    def transaction(self, *, snapshot: bool = False) -> Iterator[sa.Connection]:
        """A pooled connection in a transaction: committed at the end of the block, rolled back by an exception.

        With `snapshot` it is read-only and sees the database as of its first statement (REPEATABLE READ).
        """
        with translated(), self._engine.connect() as connection:
            if snapshot:
                connection = connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close what lies in the pool."""
        self._engine.dispose()

    def _connect(self) -> psycopg2.extensions.connection:
        connection: psycopg2.extensions.connection = psycopg2.connect(**self._parameters)
        return connection


def _parameters(dsn: str, application_name: str, timeouts: Timeouts) -> dict[str, Any]:
    given = _parsed(dsn)
    third = max(1, round(timeouts.keepalive / 3))
    settings = {
        "TimeZone": "UTC",
        "statement_timeout": _ms(timeouts.statement),
        "lock_timeout": _ms(timeouts.lock),
        "idle_in_transaction_session_timeout": _ms(timeouts.idle_in_transaction),
        "client_connection_check_interval": _ms(timeouts.keepalive),
        "tcp_keepalives_idle": third,
        "tcp_keepalives_interval": third,
        "tcp_keepalives_count": 2,
        "tcp_user_timeout": _ms(timeouts.keepalive),
    }
    ours = " ".join(f"-c {name}={value}" for name, value in settings.items())
    return {
        "application_name": application_name,
        "connect_timeout": max(2, round(timeouts.connect)),
        "keepalives": 1,
        "keepalives_idle": third,
        "keepalives_interval": third,
        "keepalives_count": 2,
        "tcp_user_timeout": _ms(timeouts.keepalive),
        "client_encoding": "UTF8",
        **given,
        "options": f"{ours} {given['options']}" if given.get("options") else ours,
    }


def _parsed(dsn: str) -> dict[str, Any]:
    unreadable = PermanentError(
        "the Postgres DSN can't be read: expected postgresql://user:password@host:port/database, "
        "with special characters of the password percent-encoded"
    )
    try:
        given: dict[str, Any] = psycopg2.extensions.parse_dsn(dsn)
    except psycopg2.ProgrammingError:
        # libpq quotes the part that it could not read, which may be the password.
        raise unreadable from None
    # A password with a bare / or @ in it ends up in other parts, which libpq would quote when they lead nowhere.
    ports = given.get("port", "").split(",")
    if any(port and not port.isdecimal() for port in ports) or any(
        "@" in given.get(it, "") for it in ("host", "dbname")
    ):
        raise unreadable
    return given


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
