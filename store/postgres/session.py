"""A connection of the history's own, and what lives and dies with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from store.postgres.connection import Postgres
from store.postgres.names import model_names, partition_names, publisher_names, subject_names
from store.postgres.partitions import Month, make_partitions
from store.postgres.staging import STAGING_TABLE

BEGIN: Final = "BEGIN"
SNAPSHOT: Final = (
    # Tables that have never been analysed must not be read from end to end, nor a plan that looks dear be compiled.
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = off; SET LOCAL jit = off"
)
"""All of the transaction sees the database as of its first query."""


class Session:
    """One connection in autocommit mode, with its staging table, its prepared statements, the numbers of names, and the
    months seen to exist.

    Thrown away as a whole after any error but a refusal, so that nothing is remembered that a restored or failed-over
    database no longer holds.
    """

    def __init__(self, postgres: Postgres) -> None:
        """Raises TemporaryError or PermanentError."""
        self._connection = postgres.open()
        self.cursor: Cursor = self._connection.cursor()
        self.partitions = partition_names()
        self.subjects = subject_names()
        self.publishers = publisher_names()
        self.models = model_names()
        self._months: set[Month] = set()
        self._staged = False
        self._prepared: dict[str, str] = {}

    def prepare(self, months: Iterable[Month]) -> None:
        """Make the staging table, and the partitions of these months and of the one that follows them."""
        if not self._staged:
            self.cursor.execute(STAGING_TABLE)
            self._staged = True
        wanted = set(months)
        wanted.add(max(wanted) + 1)
        if not wanted <= self._months:
            make_partitions(self.cursor, wanted - self._months)
            self._months |= wanted

    def prepared(self, statement: str) -> str:
        """How to execute a statement that the server is to parse and plan once for all of the session: `EXECUTE name`,
        to be followed by the values of its parameters."""
        if statement not in self._prepared:
            name = f"prepared_{len(self._prepared)}"
            self.cursor.execute(f"PREPARE {name} AS {statement}")
            self._prepared[statement] = f"EXECUTE {name}"
        return self._prepared[statement]

    def trim(self) -> None:
        """Keep the remembered names bounded; between batches only, since a batch relies on those that it resolved."""
        self.publishers.trim()
        self.subjects.trim()
        self.models.trim()

    @contextmanager
    def transaction(self, begin: str = BEGIN, *, commit: bool = True) -> Iterator[Cursor]:
        """A transaction: committed at the end of the block (rolled back, if told so), rolled back by an exception."""
        self.cursor.execute(begin)
        try:
            yield self.cursor
        except BaseException:
            if not self._connection.closed:
                self.cursor.execute("ROLLBACK")
            raise
        self.cursor.execute("COMMIT" if commit else "ROLLBACK")

    def close(self) -> None:
        """Close the connection; what was not committed is rolled back."""
        self._connection.close()
