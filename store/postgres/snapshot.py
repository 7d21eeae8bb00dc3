"""The history as of one instant, for a rebuild of the windows."""

from __future__ import annotations

from collections.abc import Iterator

from domain.log import Partition
from domain.timeline import Minute, minute_of, start_of
from domain.watermark import MarkState
from domain.window import UNKNOWN_PUBLISHER, Counts
from store.postgres.marks import read_marks
from store.postgres.session import Session
from store.rebuild_source import Increment

_CHUNK = 60
"""Minutes read at a time: what is held in memory."""

_INCREMENTS = """
SELECT subject_id, minute, count, negative, neutral, positive, polarity_sum, polarity_squares,
       CASE WHEN negative > 0 THEN
           (SELECT array_agg(DISTINCT coalesce(publisher_id, 0)) FROM mention
             WHERE mention.subject_id = sums.subject_id AND label = -1 AND NOT mention.late
               AND published_at >= minute AND published_at < minute + interval '1 minute')
       END
  FROM rollup_minute sums
 WHERE NOT late AND minute >= %s AND minute < %s
 ORDER BY minute
"""


class HistorySnapshot:
    """store.rebuild_source.RebuildSnapshot, on a session that is in a SNAPSHOT transaction."""

    def __init__(self, session: Session) -> None:
        """Takes the snapshot: the first query of a transaction decides what all of it sees."""
        self._session = session
        cursor = session.cursor
        cursor.execute("SELECT partition_id, next_offset FROM progress")
        progress = dict(cursor.fetchall())
        names = session.partitions.keys(cursor, progress)
        self.guards: dict[Partition, int] = {names[number]: offset for number, offset in progress.items()}
        self.marks: tuple[MarkState, ...] = read_marks(session, cursor)

    def increments(self, start: Minute) -> Iterator[Increment]:
        while (minute := self._next_minute(start)) is not None:
            start = minute + _CHUNK
            yield from self._chunk(minute, start)

    def _next_minute(self, start: Minute) -> Minute | None:
        """The first minute from `start` on that has anything: years may lie between two."""
        cursor = self._session.cursor
        cursor.execute(
            "SELECT minute FROM rollup_minute WHERE NOT late AND minute >= %s ORDER BY minute LIMIT 1",
            (start_of(start),),
        )
        row = cursor.fetchone()
        return None if row is None else minute_of(row[0])

    def _chunk(self, start: Minute, end: Minute) -> Iterator[Increment]:
        session = self._session
        session.cursor.execute(_INCREMENTS, (start_of(start), start_of(end)))
        rows = session.cursor.fetchall()
        subjects = session.subjects.keys(session.cursor, [row[0] for row in rows])
        publishers = session.publishers.keys(session.cursor, {number for row in rows for number in row[8] or ()} - {0})
        publishers[0] = UNKNOWN_PUBLISHER
        for subject, minute, *sums, spoke in rows:
            yield Increment(
                subject=subjects[subject],
                minute=minute_of(minute),
                counts=Counts(*sums),
                negative_publishers=frozenset(publishers[number] for number in spoke or ()),
            )
