"""The history: the truth that the windows are a function of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import psycopg2

from domain.errors import PermanentError
from domain.log import Partition, RecordBatch
from domain.ports import Appended, Refused
from domain.window import Changes
from store.postgres.append import write
from store.postgres.changes import read_changes
from store.postgres.connection import Postgres
from store.postgres.errors import REFUSED, is_refusal, translate, translated
from store.postgres.session import SNAPSHOT, Session
from store.postgres.snapshot import HistorySnapshot
from store.postgres.staging import Message, Row, rows_of


class PostgresHistory:
    """domain.ports.History. One instance per process, used by one thread at a time; it holds one connection."""

    def __init__(self, postgres: Postgres, *, lateness: timedelta) -> None:
        """Does not connect."""
        self._postgres = postgres
        self._lateness = lateness
        self._open: Session | None = None

    def append(
        self, batches: Sequence[RecordBatch], *, recorded: Mapping[Partition, int] | None = None
    ) -> tuple[Appended, ...]:
        if not batches:
            return ()
        with self._session() as session:
            session.partitions.resolve(session.cursor, _partitions(batches))
            refused: dict[Message, Refused] = {}
            while True:
                messages = (
                    ((session.partitions[batch.partition], offset), record)
                    for batch in batches
                    for offset, record in batch.documents
                )
                staged = rows_of(session, (entry for entry in messages if entry[0] not in refused))
                refused.update(staged.refused)
                try:
                    return write(
                        session, batches, staged.rows, refused, recorded=recorded or {}, lateness=self._lateness
                    )
                except psycopg2.Error as error:
                    if not is_refusal(error):
                        raise
                    found = self._isolate(session, batches, staged.rows)
                    if not found:
                        spans = ", ".join(
                            f"{batch.partition.topic}-{batch.partition.number} from {batch.start} to {batch.end}"
                            for batch in batches
                        )
                        raise PermanentError(
                            f"Postgres refuses the messages of {spans}, but none of their documents alone: "
                            f"{translate(error)}"
                        ) from error
                    refused.update(found)

    def next_offset(self, partition: Partition) -> int | None:
        with self._session() as session:
            number = session.partitions.find(session.cursor, partition)
            if number is None:
                return None
            session.cursor.execute("SELECT next_offset FROM progress WHERE partition_id = %s", (number,))
            row = session.cursor.fetchone()
            return None if row is None else int(row[0])

    def changes(self, starts: Mapping[Partition, int]) -> tuple[Changes, ...]:
        with self._session() as session:
            return read_changes(session, starts)

    def truncate(self, partition: Partition, log_end: int) -> None:
        """As the port says. The roll-ups keep what was counted, and so do rebuilt windows: bring the windows' guard up
        to `next_offset` first, so that it stands beyond Postgres afterwards, which is the sign to rebuild, whoever
        dies in between."""
        with self._session() as session:
            number = session.partitions.find(session.cursor, partition)
            if number is None:
                return
            with session.transaction() as cursor:
                cursor.execute("SELECT next_offset FROM progress WHERE partition_id = %s FOR UPDATE", (number,))
                row = cursor.fetchone()
                if row is None or row[0] <= log_end:
                    return
                cursor.execute(
                    "UPDATE ledger SET partition_id = NULL, message_offset = NULL"
                    " WHERE partition_id = %s AND message_offset >= %s",
                    (number, log_end),
                )
                cursor.execute(
                    "DELETE FROM refusal WHERE partition_id = %s AND message_offset >= %s", (number, log_end)
                )
                cursor.execute(
                    "UPDATE progress SET next_offset = %s, recorded_at = now() WHERE partition_id = %s",
                    (log_end, number),
                )

    @contextmanager
    def window_source(self) -> Iterator[HistorySnapshot]:
        """store.rebuild_source.RebuildSource: the history as of one instant, on a connection of its own."""
        with translated():
            session = Session(self._postgres)
            try:
                with session.transaction(SNAPSHOT):
                    yield HistorySnapshot(session)
            finally:
                session.close()

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _isolate(self, session: Session, batches: Sequence[RecordBatch], rows: Sequence[Row]) -> dict[Message, Refused]:
        """Find the rows that Postgres refuses, by halving a set that it refused; all of it is rolled back."""
        found: dict[Message, Refused] = {}
        suspects = [rows]
        while suspects:
            part = suspects.pop()
            try:
                write(session, batches, part, {}, recorded={}, lateness=self._lateness, commit=False)
            except psycopg2.Error as error:
                if not is_refusal(error):
                    raise
                if len(part) == 1:
                    _, offset = message = part[0].message
                    found[message] = Refused(offset=offset, reason=REFUSED, message=str(translate(error)))
                elif part:
                    middle = len(part) // 2
                    suspects += [part[:middle], part[middle:]]
        return found

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with translated():
            if self._open is None:
                self._open = Session(self._postgres)
            try:
                yield self._open
            except BaseException:
                self.close()
                raise


def _partitions(batches: Sequence[RecordBatch]) -> set[Partition]:
    """Those of the batches, and the sources that they speak of."""
    found = {batch.partition for batch in batches}
    for batch in batches:
        found.update(record.origin.partition for _, record in batch.documents)
        found.update(mark.partition for _, mark in batch.marks)
    return found
