"""Reads how far event time has come: the states that lateness goes by, and the marks that the watermark goes by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from domain.watermark import MarkState
from store.postgres.lateness import SourceState
from store.postgres.session import Session
from store.tables import MARK_STATUSES

_STATUSES = {number: status for status, number in MARK_STATUSES.items()}

# A topic made anew has another id. Of the incarnations of a source topic only the one that was last heard of counts,
# and of a source only what was said through the incarnation of `scored` in which it was last heard of: nobody will ever
# speak of the others again. "Last heard of" and not "newest", since a cluster may be left for another and come back.
_MARKS = """
SELECT scored_partition_id, source_partition_id, status, next_offset, high_time, ended_at, fan_out
  FROM (SELECT mark.*,
               source.topic_id = first_value(source.topic_id) OVER (
                   PARTITION BY source.topic ORDER BY mark.recorded_at DESC, source.partition_id DESC)
               AND scored.topic_id = first_value(scored.topic_id) OVER (
                   PARTITION BY source.partition_id, scored.topic
                       ORDER BY mark.recorded_at DESC, scored.partition_id DESC) AS counts
          FROM mark
          JOIN kafka_partition scored ON scored.partition_id = scored_partition_id
          JOIN kafka_partition source ON source.partition_id = source_partition_id
         WHERE status IS NOT NULL) AS known
 WHERE counts
"""
_MARKS_OF = f"{_MARKS} AND scored_partition_id = ANY ($1::integer[])"


def state_of(
    status: int | None, next_offset: int, high_time: datetime | None, ended_at: datetime | None, fan_out: int
) -> SourceState:
    """The state in a row of the `mark` table, but for whose it is."""
    return SourceState(
        status=None if status is None else _STATUSES[status],
        next_offset=next_offset,
        high_time=high_time,
        ended_at=ended_at,
        fan_out=fan_out,
    )


def read_marks(session: Session, cursor: Cursor, scored: Sequence[int] | None = None) -> tuple[MarkState, ...]:
    """The marks that count, of some partitions of `scored` or of all. Those of former incarnations of topics do not,
    once later ones have been heard of; nor do sources of which there have been documents only."""
    if scored is None:
        cursor.execute(_MARKS)
    else:
        cursor.execute(f"{session.prepared(_MARKS_OF)} (%s)", (scored,))
    rows = cursor.fetchall()
    names = session.partitions.keys(cursor, {number for row in rows for number in row[:2]})
    marks = (
        MarkState(
            scored=names[scored],
            source=names[source],
            status=_STATUSES[status],
            next_offset=next_offset,
            high_time=high_time,
            ended_at=ended_at,
            fan_out=fan_out,
        )
        for scored, source, status, next_offset, high_time, ended_at, fan_out in rows
    )
    return tuple(sorted(marks, key=lambda mark: (mark.scored, mark.source)))
