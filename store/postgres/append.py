"""Writes one batch of the scored log in one transaction, exactly once.

Whatever sends a batch again, in whole or in part, finds its messages below `next_offset`: the lock on the partition's
`progress` row puts all writers of the partition in order, and only messages at or past it are written. The ledger's
primary key finds the same document at another message, in whichever partition. So a document is counted at one message,
the one that its ledger row names.

Locks are taken in the same order by everyone (the partition, then documents by id, then roll-ups by subject and
minute), so that writers of several partitions wait for each other but never in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class
from psycopg2.extras import execute_values

from domain.log import Partition, RecordBatch
from domain.ports import Appended, Refused
from store.postgres.lateness import SourceState, walk
from store.postgres.marks import read_states
from store.postgres.session import Session
from store.postgres.staging import COPY, Row, stream
from store.tables import MARK_STATUSES

_LEDGER = """
INSERT INTO ledger (message_offset, published_at, partition_id, publisher_id, polarity, label, late, document_id,
                    subjects)
SELECT message_offset, published_at, %s, nullif(publisher_id, 0), CASE WHEN model_id <> 0 THEN polarity END,
       CASE WHEN model_id <> 0 THEN label END, late, document_id, subjects
  FROM staged ORDER BY document_id, message_offset
    ON CONFLICT DO NOTHING
"""

_DROP_DUPLICATES = """
DELETE FROM staged WHERE NOT EXISTS
    (SELECT FROM ledger WHERE ledger.document_id = staged.document_id
        AND ledger.partition_id = %s AND ledger.message_offset = staged.message_offset)
"""

_THE_REST = """
INSERT INTO document (published_at, received_at, source_id, author_id, kind, unscored, late, document_id, given_id,
                      lang, symbols)
SELECT published_at, received_at, nullif(source_id, 0), nullif(author_id, 0), kind, nullif(unscored, 0), late,
       document_id, given_id, lang, symbols
  FROM staged;

INSERT INTO document_text (published_at, document_id, title, url, text)
SELECT published_at, document_id, title, url, text FROM staged;

INSERT INTO score (published_at, negative, neutral, positive, model_id, topic_subject_id, polarity, label, document_id,
                   probabilities, input_hash, config_hash)
SELECT published_at, negative, neutral, positive, model_id, topic_subject_id, polarity, label, document_id,
       probabilities, input_hash, config_hash
  FROM staged WHERE model_id <> 0;

INSERT INTO mention (published_at, subject_id, publisher_id, polarity, label, late, document_id)
SELECT published_at, subject_id, nullif(publisher_id, 0), polarity, label, late, document_id
  FROM staged, unnest(subjects) subject_id;

INSERT INTO rollup_minute (minute, polarity_sum, polarity_squares, subject_id, count, negative, neutral, positive, late)
SELECT date_bin('1 minute', published_at, '1970-01-01 00:00:00+00') AS minute, sum(polarity),
       sum(polarity::bigint * polarity), subject_id, count(*), count(*) FILTER (WHERE label = -1),
       count(*) FILTER (WHERE label = 0), count(*) FILTER (WHERE label = 1), late
  FROM staged, unnest(subjects) subject_id
 GROUP BY subject_id, minute, late ORDER BY subject_id, minute, late
    ON CONFLICT (subject_id, minute, late) DO UPDATE
   SET polarity_sum = rollup_minute.polarity_sum + excluded.polarity_sum,
       polarity_squares = rollup_minute.polarity_squares + excluded.polarity_squares,
       count = rollup_minute.count + excluded.count,
       negative = rollup_minute.negative + excluded.negative,
       neutral = rollup_minute.neutral + excluded.neutral,
       positive = rollup_minute.positive + excluded.positive,
       recorded_at = excluded.recorded_at;
"""


def write(
    session: Session,
    batch: RecordBatch,
    rows: Sequence[Row],
    refused: Sequence[Refused],
    *,
    lateness: timedelta,
    commit: bool = True,
) -> Appended:
    """Write the rows of a batch, its marks, the refusals, and how far it goes. Without `commit` only try it.

    Raises psycopg2.Error; nothing is written then.
    """
    partition_id = session.partitions[batch.partition]
    with session.transaction(commit=commit) as cursor:
        if rows:
            cursor.copy_expert(COPY, stream(rows))
        first_offset = lock_progress(cursor, partition_id)
        known = read_states(session, cursor, partition_id)
        walked = walk(batch, first_offset, known, lateness)
        new, late = _store(cursor, partition_id, rows, first_offset, walked.late)
        again = _refusals(cursor, partition_id, batch.start, min(first_offset, batch.end))
        fresh = [refusal for refusal in refused if refusal.offset >= first_offset]
        _save(session, cursor, partition_id, walked.states, fresh, batch.end)
    everything = sorted((*again, *fresh), key=lambda refusal: refusal.offset)
    duplicates = len(batch.documents) - new - len(everything)
    return Appended(new=new, duplicates=duplicates, late=late, refused=tuple(everything))


def _store(
    cursor: Cursor, partition_id: int, rows: Sequence[Row], first_offset: int, late_offsets: Collection[int]
) -> tuple[int, int]:
    """Fill all tables from the staged rows at or past an offset; how many were new, and how many of these late."""
    staged = sum(row.offset >= first_offset for row in rows)
    if staged < len(rows):
        cursor.execute("DELETE FROM staged WHERE message_offset < %s", (first_offset,))
    if not staged:
        return 0, 0
    if late_offsets:
        cursor.execute("UPDATE staged SET late = true WHERE message_offset = ANY (%s)", (list(late_offsets),))
    cursor.execute(_LEDGER, (partition_id,))
    new = cursor.rowcount
    if new < staged:
        cursor.execute(_DROP_DUPLICATES, (partition_id,))
    late = 0
    if late_offsets:
        cursor.execute("SELECT count(*) FROM staged WHERE late")
        late = _one(cursor)
    cursor.execute(_THE_REST)
    return new, late


def lock_progress(cursor: Cursor, partition_id: int) -> int:
    """Lock the partition's row, making it when there is none, and read its `next_offset` as of then."""
    cursor.execute("SELECT next_offset FROM progress WHERE partition_id = %s FOR UPDATE", (partition_id,))
    if (row := cursor.fetchone()) is not None:
        return int(row[0])
    cursor.execute(
        "INSERT INTO progress (partition_id, next_offset) VALUES (%s, 0)"
        " ON CONFLICT (partition_id) DO UPDATE SET next_offset = progress.next_offset RETURNING next_offset",
        (partition_id,),
    )
    return _one(cursor)


def _refusals(cursor: Cursor, partition_id: int, start: int, end: int) -> list[Refused]:
    """What was refused when these messages were recorded: told again, since the teller may have died before acting."""
    if start >= end:
        return []
    cursor.execute(
        "SELECT message_offset, reason, message FROM refusal"
        " WHERE partition_id = %s AND message_offset >= %s AND message_offset < %s",
        (partition_id, start, end),
    )
    return [Refused(offset=offset, reason=reason, message=message) for offset, reason, message in cursor.fetchall()]


def _save(
    session: Session,
    cursor: Cursor,
    partition_id: int,
    states: Mapping[Partition, SourceState],
    refused: Sequence[Refused],
    next_offset: int,
) -> None:
    if states:
        execute_values(
            cursor,
            "INSERT INTO mark (scored_partition_id, source_partition_id, status, next_offset, high_time, ended_at,"
            " fan_out) VALUES %s ON CONFLICT (scored_partition_id, source_partition_id) DO UPDATE SET"
            " status = excluded.status, next_offset = excluded.next_offset, high_time = excluded.high_time,"
            " ended_at = excluded.ended_at, fan_out = excluded.fan_out, recorded_at = excluded.recorded_at",
            [
                (
                    partition_id,
                    session.partitions[source],
                    None if state.status is None else MARK_STATUSES[state.status],
                    state.next_offset,
                    state.high_time,
                    state.ended_at,
                    state.fan_out,
                )
                for source, state in states.items()
            ],
            page_size=1000,
        )
    if refused:
        execute_values(
            cursor,
            "INSERT INTO refusal (partition_id, message_offset, reason, message) VALUES %s ON CONFLICT DO NOTHING",
            [(partition_id, refusal.offset, refusal.reason, refusal.message) for refusal in refused],
            page_size=1000,
        )
    cursor.execute(
        "UPDATE progress SET next_offset = greatest(next_offset, %s), recorded_at = now() WHERE partition_id = %s",
        (next_offset, partition_id),
    )


def _one(cursor: Cursor) -> int:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - both statements return one row
    return int(row[0])
