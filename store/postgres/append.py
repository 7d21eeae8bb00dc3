"""Writes batches of the scored log, of a partition each, in one transaction, exactly once.

Whatever sends a batch again, in whole or in part, finds its messages below `next_offset`: the locks on the partitions'
`progress` rows put all writers of a partition in order, and only messages at or past it are written. The ledger's
primary key finds the same document at another message, in whichever partition. So a document is counted at one message,
the one that its ledger row names.

Locks are taken in the same order by everyone (partitions by number, then documents by id, then roll-ups by subject and
minute), so that writers wait for each other but never in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from domain.log import Partition, RecordBatch
from domain.ports import Appended, Refused
from store.postgres.lateness import Walked, walk
from store.postgres.progress import Reached, lock, read_refusals, saving, went_back
from store.postgres.session import Session
from store.postgres.staging import COPY, Message, Row, stream

_DROP_KNOWN = """
DELETE FROM staged USING progress
 WHERE progress.partition_id = staged.partition_id AND message_offset < next_offset
"""

_MARK_LATE = """
UPDATE staged SET late = true
  FROM unnest(%s::integer[], %s::bigint[]) AS found (partition_id, message_offset)
 WHERE staged.partition_id = found.partition_id AND staged.message_offset = found.message_offset
"""

_LEDGER = """
WITH written AS (
INSERT INTO ledger (message_offset, published_at, partition_id, publisher_id, polarity, label, late, document_id,
                    subjects, polarities, labels)
SELECT message_offset, published_at, partition_id, nullif(publisher_id, 0), CASE WHEN model_id <> 0 THEN polarity END,
       CASE WHEN model_id <> 0 THEN label END, late, document_id, subjects, polarities::smallint[], labels::smallint[]
  FROM staged ORDER BY document_id, partition_id, message_offset
    ON CONFLICT DO NOTHING
RETURNING partition_id, late)
SELECT partition_id, count(*), count(*) FILTER (WHERE late) FROM written GROUP BY partition_id
"""

_DROP_DUPLICATES = """
DELETE FROM staged WHERE NOT EXISTS
    (SELECT FROM ledger WHERE ledger.document_id = staged.document_id
        AND ledger.partition_id = staged.partition_id AND ledger.message_offset = staged.message_offset)
"""

_THE_REST = (
    """
INSERT INTO document (published_at, received_at, source_id, author_id, kind, unscored, late, document_id, given_id,
                      lang, symbols)
SELECT published_at, received_at, nullif(source_id, 0), nullif(author_id, 0), kind, nullif(unscored, 0), late,
       document_id, given_id, lang, symbols
  FROM staged
""",
    """
INSERT INTO document_text (published_at, document_id, title, url, text)
SELECT published_at, document_id, title, url, text FROM staged
""",
    """
INSERT INTO score (published_at, negative, neutral, positive, model_id, topic_subject_id, polarity, label, document_id,
                   probabilities, input_hash, config_hash, entities)
SELECT published_at, negative, neutral, positive, model_id, topic_subject_id, polarity, label, document_id,
       probabilities, input_hash, config_hash, entities::jsonb
  FROM staged WHERE model_id <> 0
""",
    """
INSERT INTO mention (published_at, subject_id, publisher_id, polarity, label, late, document_id)
SELECT published_at, subject_id, nullif(publisher_id, 0), coalesce(said.polarity, staged.polarity),
       coalesce(said.label, staged.label), late, document_id
  FROM staged, unnest(subjects, polarities, labels) AS said (subject_id, polarity, label)
""",
    """
INSERT INTO rollup_minute (minute, polarity_sum, polarity_squares, subject_id, count, negative, neutral, positive, late)
SELECT date_bin('1 minute', published_at, '1970-01-01 00:00:00+00') AS minute, sum(polarity),
       sum(polarity::bigint * polarity), subject_id, count(*), count(*) FILTER (WHERE label = -1),
       count(*) FILTER (WHERE label = 0), count(*) FILTER (WHERE label = 1), late
  FROM (SELECT published_at, subject_id, coalesce(said.polarity, staged.polarity) AS polarity,
               coalesce(said.label, staged.label) AS label, late
          FROM staged, unnest(subjects, polarities, labels) AS said (subject_id, polarity, label)) mentions
 GROUP BY subject_id, minute, late ORDER BY subject_id, minute, late
    ON CONFLICT (subject_id, minute, late) DO UPDATE
   SET polarity_sum = rollup_minute.polarity_sum + excluded.polarity_sum,
       polarity_squares = rollup_minute.polarity_squares + excluded.polarity_squares,
       count = rollup_minute.count + excluded.count,
       negative = rollup_minute.negative + excluded.negative,
       neutral = rollup_minute.neutral + excluded.neutral,
       positive = rollup_minute.positive + excluded.positive,
       recorded_at = excluded.recorded_at
""",
)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A batch, where its partition stood when it was locked, and what a walk over it from there found."""

    number: int
    batch: RecordBatch
    first_offset: int
    walked: Walked


def write(
    session: Session,
    batches: Sequence[RecordBatch],
    rows: Sequence[Row],
    refused: Mapping[Message, Refused],
    *,
    recorded: Mapping[Partition, int],
    lateness: timedelta,
    commit: bool = True,
) -> tuple[Appended, ...]:
    """Write the rows of batches, their marks, the refusals, and how far they go. Without `commit` only try it.

    Raises Conflict when less than `recorded` is, and psycopg2.Error; nothing is written then.
    """
    with session.transaction(commit=commit) as cursor:
        if rows:
            cursor.copy_expert(COPY, stream(rows))
        runs = _lock(session, cursor, batches, recorded, lateness)
        counted = _fill_ledger(session, cursor, rows, runs)
        again = read_refusals(
            cursor,
            {
                run.number: (run.batch.start, min(run.first_offset, run.batch.end))
                for run in runs
                if run.batch.start < run.first_offset
            },
        )
        reached = [
            Reached(
                number=run.number,
                next_offset=run.batch.end,
                states=run.walked.states,
                refused=[
                    one
                    for (number, offset), one in refused.items()
                    if number == run.number and offset >= run.first_offset
                ],
            )
            for run in runs
        ]
        _fill_the_rest(session, cursor, reached, documents=bool(counted))
    return tuple(
        _appended(run.batch, counted.get(run.number, (0, 0)), [*again.get(run.number, ()), *to.refused])
        for run, to in zip(runs, reached, strict=True)
    )


def _lock(
    session: Session,
    cursor: Cursor,
    batches: Sequence[RecordBatch],
    recorded: Mapping[Partition, int],
    lateness: timedelta,
) -> list[_Run]:
    standings = lock(session, cursor, [session.partitions[batch.partition] for batch in batches])
    runs: list[_Run] = []
    for batch in batches:
        number = session.partitions[batch.partition]
        standing = standings[number]
        if standing.next_offset < recorded.get(batch.partition, 0):
            raise went_back(batch.partition, recorded[batch.partition], standing.next_offset)
        walked = walk(batch, standing.next_offset, standing.states, lateness)
        runs.append(_Run(number=number, batch=batch, first_offset=standing.next_offset, walked=walked))
    return runs


def _fill_ledger(
    session: Session, cursor: Cursor, rows: Sequence[Row], runs: Sequence[_Run]
) -> dict[int, tuple[int, int]]:
    """Bring the staged rows down to what is new. Returns for each partition how many that are, and how many are late;
    nothing for partitions without."""
    first_offsets = {run.number: run.first_offset for run in runs}
    staged = sum(offset >= first_offsets[number] for number, offset in (row.message for row in rows))
    if staged < len(rows):
        cursor.execute(_DROP_KNOWN)
    if not staged:
        return {}
    late = [(run.number, offset) for run in runs for offset in run.walked.late]
    if late:
        cursor.execute(_MARK_LATE, [list(column) for column in zip(*late, strict=True)])
    cursor.execute(session.prepared(_LEDGER))
    counted = {number: (new, late) for number, new, late in cursor.fetchall()}
    if sum(new for new, _ in counted.values()) < staged:
        cursor.execute(_DROP_DUPLICATES)
    return counted


def _fill_the_rest(session: Session, cursor: Cursor, reached: Sequence[Reached], *, documents: bool) -> None:
    filling = [session.prepared(statement).encode() for statement in _THE_REST] if documents else []
    cursor.execute(b"; ".join([*filling, saving(session, cursor, reached)]))


def _appended(batch: RecordBatch, counted: tuple[int, int], refused: Iterable[Refused]) -> Appended:
    new, late = counted
    everything = sorted(refused, key=lambda refusal: refusal.offset)
    duplicates = len(batch.documents) - new - len(everything)
    return Appended(new=new, duplicates=duplicates, late=late, refused=tuple(everything))
