"""Reads what runs of messages of `scored` add to the windows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from domain.log import Partition
from domain.subject import Subject
from domain.timeline import Minute
from domain.watermark import MarkState
from domain.window import UNKNOWN_PUBLISHER, Changes, Counts
from store.postgres.marks import read_marks
from store.postgres.session import SNAPSHOT, Session

CHANGES = """
SELECT asked.partition_id, sums.*
  FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS asked (partition_id, start, finish),
       LATERAL (
SELECT subject_id, (extract(epoch FROM date_bin('1 minute', published_at, '1970-01-01 00:00:00+00')) / 60)::integer
           AS minute,
       count(*), count(*) FILTER (WHERE label = -1), count(*) FILTER (WHERE label = 0),
       count(*) FILTER (WHERE label = 1), sum(polarity)::bigint, sum(polarity::bigint * polarity)::bigint,
       array_agg(DISTINCT coalesce(publisher_id, 0)) FILTER (WHERE label = -1)
  FROM (SELECT subject_id, published_at, publisher_id, coalesce(said.polarity, ledger.polarity) AS polarity,
               coalesce(said.label, ledger.label) AS label
          FROM ledger, unnest(subjects, polarities, labels) AS said (subject_id, polarity, label)
         WHERE partition_id = asked.partition_id AND message_offset >= start AND message_offset < finish AND NOT late
       ) mentions
 GROUP BY 1, 2) sums
"""


def read_changes(session: Session, starts: Mapping[Partition, int]) -> tuple[Changes, ...]:
    """What the messages of each partition from its start up to `next_offset` add, as of one instant.

    It reads the ledger alone, whose rows say what a document counted as. Raises psycopg2.Error.
    """
    numbers = {partition: session.partitions.find(session.cursor, partition) for partition in starts}
    asked = {number: starts[partition] for partition, number in numbers.items() if number is not None}
    with session.transaction(SNAPSHOT) as cursor:
        cursor.execute("SELECT partition_id, next_offset FROM progress WHERE partition_id = ANY (%s)", (list(asked),))
        ends: dict[int, int] = dict(cursor.fetchall())
        marks: defaultdict[Partition, list[MarkState]] = defaultdict(list)
        for mark in read_marks(session, cursor, list(asked)):
            marks[mark.scored].append(mark)
        spans = list(asked), list(asked.values()), [ends.get(number, 0) for number in asked]
        cursor.execute(f"{session.prepared(CHANGES)} (%s, %s, %s)", spans)
        rows = cursor.fetchall()
        subjects = session.subjects.keys(cursor, [row[1] for row in rows])
        publishers = session.publishers.keys(cursor, {number for row in rows for number in row[-1] or ()} - {0})
        publishers[0] = UNKNOWN_PUBLISHER
    counts: defaultdict[int | None, dict[tuple[Subject, Minute], Counts]] = defaultdict(dict)
    negative: defaultdict[int | None, dict[tuple[Subject, Minute], frozenset[str]]] = defaultdict(dict)
    for number, subject, minute, *sums, spoke in rows:
        key = subjects[subject], minute
        counts[number][key] = Counts(*sums)
        if spoke:
            negative[number][key] = frozenset(publishers[one] for one in spoke)
    return tuple(
        Changes(
            partition=partition,
            start=starts[partition],
            end=0 if number is None else ends.get(number, 0),
            counts=counts[number],
            negative_publishers=negative[number],
            marks=tuple(marks[partition]),
        )
        for partition, number in numbers.items()
    )
