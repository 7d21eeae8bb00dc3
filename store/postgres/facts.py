"""What a PostgreSQL server and its database are, and what of that is unfit for the history."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from store.postgres.connection import Postgres

MINIMUM_VERSION = 14
"""The first that notices while it works that its client is gone (client_connection_check_interval)."""


class Unfit(StrEnum):
    """Why a database can't hold the history."""

    TOO_OLD = "too_old"
    ENCODING = "encoding"
    READ_ONLY = "read_only"
    MAY_NOT_CREATE = "may_not_create"
    NOT_DURABLE = "not_durable"


FIXES = {
    Unfit.TOO_OLD: f"use PostgreSQL {MINIMUM_VERSION} or newer",
    Unfit.ENCODING: "make the database anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0",
    Unfit.READ_ONLY: "use the address of the primary (target_session_attrs=read-write in the DSN)",
    Unfit.MAY_NOT_CREATE: "grant it: GRANT CREATE ON SCHEMA public TO …; partitions are made as time goes on",
    Unfit.NOT_DURABLE: "turn fsync on: after a crash of the machine the history could be torn",
}


@dataclass(frozen=True, kw_only=True)
class PostgresFacts:
    """One database, at one moment."""

    version: str
    version_number: int
    """As server_version_num: 180004."""
    encoding: str
    read_only: bool
    may_create: bool
    """Whether we may make tables in the schema that we use."""
    fsync: bool
    encrypted: bool
    """Whether this connection is."""

    def unfit(self) -> tuple[Unfit, ...]:
        """What has to be changed; FIXES says how."""
        checks = {
            Unfit.TOO_OLD: self.version_number < MINIMUM_VERSION * 10_000,
            Unfit.ENCODING: self.encoding != "UTF8",
            Unfit.READ_ONLY: self.read_only,
            Unfit.MAY_NOT_CREATE: not self.may_create,
            Unfit.NOT_DURABLE: not self.fsync,
        }
        return tuple(reason for reason, found in checks.items() if found)


def inspect(postgres: Postgres) -> PostgresFacts:
    """Ask the server. Raises TemporaryError and PermanentError as Postgres does."""
    query = sa.text(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int,"
        " current_setting('server_encoding'), pg_is_in_recovery() OR current_setting('transaction_read_only')::bool,"
        " coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), current_setting('fsync')::bool,"
        " coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)"
    )
    with postgres.transaction() as connection:
        version, number, encoding, read_only, may_create, fsync, encrypted = connection.execute(query).one()
    return PostgresFacts(
        version=version,
        version_number=number,
        encoding=encoding,
        read_only=read_only,
        may_create=may_create,
        fsync=fsync,
        encrypted=encrypted,
    )
