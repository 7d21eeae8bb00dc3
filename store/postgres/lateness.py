"""Walks a batch in the order of the log: how far each source partition has come, and which documents are late.

A document is late when it is older than the running maximum of its own source partition, less the allowed lateness.
That maximum travels with the documents (`origin.high_time`) and with the marks, and is kept per pair of scored and
source partition: a function of the log alone, whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter

from domain.log import Mark, MarkStatus, Partition, RecordBatch, ScoredRecord


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """What one partition of `scored` knows of one source partition; no status before its first mark."""

    status: MarkStatus | None = None
    next_offset: int = 0
    high_time: datetime | None = None
    ended_at: datetime | None = None
    fan_out: int = 0

    def seen(self, high_time: datetime) -> SourceState:
        """After a document that came with this high time."""
        if self.high_time is not None and high_time <= self.high_time:
            return self
        return SourceState(
            status=self.status,
            next_offset=self.next_offset,
            high_time=high_time,
            ended_at=self.ended_at,
            fan_out=self.fan_out,
        )

    def marked(self, mark: Mark) -> SourceState:
        """After a mark: maxima never go back, status and fan-out are the newest mark's.

        UNREAD is said of partitions that others may be reading, too: it only adds what was not known, and says that
        there is something to read where nothing was.
        """
        status = mark.status
        if status is MarkStatus.UNREAD and self.status is not None:
            status = MarkStatus.READING if self.status is MarkStatus.IDLE else self.status
        return SourceState(
            status=status,
            next_offset=max(self.next_offset, mark.next_offset),
            high_time=_latest(self.high_time, mark.high_time),
            ended_at=_latest(self.ended_at, mark.ended_at),
            fan_out=mark.fan_out,
        )


_UNKNOWN = SourceState()


@dataclass(frozen=True, kw_only=True)
class Walked:
    """What a walk over a batch found."""

    late: frozenset[int]
    """Offsets of late documents."""
    states: Mapping[Partition, SourceState]
    """The source partitions whose state the batch changed, with the new state."""


def walk(batch: RecordBatch, start: int, states: Mapping[Partition, SourceState], lateness: timedelta) -> Walked:
    """Walk the messages of a batch from offset `start` on, beginning with the states as of there."""
    now = dict(states)
    late: set[int] = set()
    entries: list[tuple[int, ScoredRecord | Mark]] = [*batch.documents, *batch.marks]
    for offset, entry in sorted(entries, key=itemgetter(0)):
        if offset < start:
            continue
        if isinstance(entry, Mark):
            now[entry.partition] = now.get(entry.partition, _UNKNOWN).marked(entry)
            continue
        origin = entry.origin
        known = now.get(origin.partition, _UNKNOWN)
        state = known.seen(origin.high_time)
        if state is not known:
            now[origin.partition] = state
        if state.high_time is not None and entry.scored.document.published_at < state.high_time - lateness:
            late.add(offset)
    changed = {partition: state for partition, state in now.items() if states.get(partition) != state}
    return Walked(late=frozenset(late), states=changed)


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
