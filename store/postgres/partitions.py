"""Makes the monthly partitions, before they are needed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from store.postgres.locks import PARTITIONS
from store.tables import PARTITIONED

Month = int
"""Months since January of the year 0: 12 · year + month − 1."""


def month_of(at: datetime) -> Month:
    """The month that an instant (in UTC) falls in."""
    return at.year * 12 + at.month - 1


def make_partitions(cursor: Cursor, months: Iterable[Month]) -> None:
    """Make the partitions of these months in all tables that have such; those that exist are left alone.

    A short transaction of its own. Partitions are made apart and then attached, since making one in place would have to
    wait for every reader of the table, and let all others wait behind it. The connection is in autocommit mode.
    """
    cursor.execute("BEGIN")
    cursor.execute("SELECT pg_advisory_xact_lock(%s)", (PARTITIONS,))
    cursor.execute(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        " WHERE inhparent = ANY (%s::text[]::regclass[])",
        ([table.name for table in PARTITIONED],),
    )
    existing = {name for (name,) in cursor.fetchall()}
    for month in sorted(set(months)):
        for table in PARTITIONED:
            name = f"{table.name}_{month // 12:04}_{month % 12 + 1:02}"
            if name not in existing:
                cursor.execute(
                    f"CREATE TABLE {name} (LIKE {table.name} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
                    f"ALTER TABLE {table.name} ATTACH PARTITION {name}"
                    f" FOR VALUES FROM ('{_start(month)}') TO ('{_start(month + 1)}')"
                )
    cursor.execute("COMMIT")


def _start(month: Month) -> str:
    return f"{month // 12:04}-{month % 12 + 1:02}-01 00:00:00+00"
