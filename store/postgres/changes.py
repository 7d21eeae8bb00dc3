"""Reads what a run of messages of `scored` adds to the windows."""

from __future__ import annotations

from domain.log import Partition
from domain.subject import Subject
from domain.timeline import Minute
from domain.window import UNKNOWN_PUBLISHER, Changes, Counts
from store.postgres.marks import read_marks
from store.postgres.session import Session

CHANGES = """
SELECT subject_id, (extract(epoch FROM date_bin('1 minute', published_at, '1970-01-01 00:00:00+00')) / 60)::integer
           AS minute,
       count(*), count(*) FILTER (WHERE label = -1), count(*) FILTER (WHERE label = 0),
       count(*) FILTER (WHERE label = 1), sum(polarity)::bigint, sum(polarity::bigint * polarity)::bigint,
       array_agg(DISTINCT coalesce(publisher_id, 0)) FILTER (WHERE label = -1)
  FROM ledger, unnest(subjects) subject_id
 WHERE partition_id = %s AND message_offset >= %s AND message_offset < %s AND NOT late
 GROUP BY 1, 2
"""


def read_changes(session: Session, partition: Partition, start: int) -> Changes:
    """What the messages of `partition` from `start` up to `next_offset` add, as of one instant.

    It reads the ledger alone, whose rows say what a document counted as. Raises psycopg2.Error.
    """
    number = session.partitions.find(session.cursor, partition)
    if number is None:
        return Changes(partition=partition, start=start, end=0)
    with session.transaction("ISOLATION LEVEL REPEATABLE READ READ ONLY") as cursor:
        # A ledger that has never been analysed must not be read from end to end.
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SELECT next_offset FROM progress WHERE partition_id = %s", (number,))
        row = cursor.fetchone()
        end = 0 if row is None else int(row[0])
        marks = read_marks(session, cursor, number)
        cursor.execute(CHANGES, (number, start, end))
        rows = cursor.fetchall()
        subjects = session.subjects.keys(cursor, [row[0] for row in rows])
        publishers = session.publishers.keys(cursor, {number for row in rows for number in row[8] or ()} - {0})
        publishers[0] = UNKNOWN_PUBLISHER
    counts: dict[tuple[Subject, Minute], Counts] = {}
    negative: dict[tuple[Subject, Minute], frozenset[str]] = {}
    for subject, minute, *sums, spoke in rows:
        key = subjects[subject], minute
        counts[key] = Counts(*sums)
        if spoke:
            negative[key] = frozenset(publishers[number] for number in spoke)
    return Changes(partition=partition, start=start, end=end, counts=counts, negative_publishers=negative, marks=marks)
