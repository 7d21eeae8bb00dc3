"""The history as the windows see it, in memory: documents that count once, at the message that their row names.

It is the source of a rebuild, gives the changes that the record stage applies, and answers as the minute roll-ups do.
Everything is recomputed from the rows each time, so that it can serve as the truth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from support.builders import news_partition
from support.fake_windows import FakeWindows
from support.history_parts import Key, Snapshot, counting

from domain.log import MarkStatus, Partition
from domain.subject import Subject
from domain.timeline import Minute
from domain.watermark import MarkState
from domain.window import UNKNOWN_PUBLISHER, Changes, Counts, WindowStats


@dataclass(frozen=True, kw_only=True)
class Row:
    """One document: negative below −3,333 ten-thousandths, positive above 3,333, neutral between."""

    id: str
    subjects: tuple[Subject, ...]
    minute: Minute
    polarity: int = 0
    publisher: str = UNKNOWN_PUBLISHER
    late: bool = False

    @property
    def negative(self) -> bool:
        return self.polarity < -3_333

    @property
    def counts(self) -> Counts:
        positive = self.polarity > 3_333
        return Counts(
            count=1,
            negative=int(self.negative),
            neutral=int(not self.negative and not positive),
            positive=int(positive),
            polarity_sum=self.polarity,
            polarity_squares=self.polarity**2,
        )


@dataclass
class FakeLedger:
    """Append, then `changes`; or rebuild from `window_source`."""

    rows: dict[str, tuple[Partition, int, Row]] = field(default_factory=dict)
    next_offsets: dict[Partition, int] = field(default_factory=dict)
    states: dict[tuple[Partition, Partition], MarkState] = field(default_factory=dict)
    """By scored and source partition, in the order in which they were last heard of."""

    def append(self, partition: Partition, rows: Iterable[Row], *, gap: int = 0) -> int:
        """Record so many messages behind what there is, `gap` offsets after it; what is known already counts no more.
        Returns the new next offset."""
        offset = self.next_offsets.get(partition, 0) + gap
        for row in rows:
            self.rows.setdefault(row.id, (partition, offset, row))
            offset += 1
        self.next_offsets[partition] = offset
        return offset

    def mark(
        self, partition: Partition, high_time: datetime, *, source: Partition | None = None, fan_out: int = 1
    ) -> None:
        """A marks message: it takes an offset of its own."""
        source = source or news_partition()
        self.append(partition, ())
        self.next_offsets[partition] += 1
        state = MarkState(
            scored=partition,
            source=source,
            status=MarkStatus.READING,
            next_offset=self.next_offsets[partition],
            high_time=high_time,
            ended_at=None,
            fan_out=fan_out,
        )
        before = self.states.get((partition, source))
        if before is not None and before.high_time is not None:
            state = replace(state, high_time=max(before.high_time, high_time))
        self.states.pop((partition, source), None)
        self.states[partition, source] = state

    def truncate(self, partition: Partition, log_end: int) -> None:
        """As domain.ports.History.truncate says: what was recorded stays, but names no message any more."""
        for id_, (of, offset, row) in self.rows.items():
            if of == partition and offset >= log_end:
                self.rows[id_] = of, -1, row
        self.next_offsets[partition] = log_end

    def changes(self, partition: Partition, start: int) -> Changes:
        """As domain.ports.History.changes says."""
        rows = [row for of, offset, row in self.rows.values() if of == partition and offset >= start]
        counts, publishers = _summed(rows)
        return Changes(
            partition=partition,
            start=start,
            end=max(start, self.next_offsets.get(partition, 0)),
            counts=counts,
            negative_publishers={key: frozenset(names) for key, names in publishers.items()},
            marks=tuple(mark for mark in counting(self.states.values()) if mark.scored == partition),
        )

    @contextmanager
    def window_source(self) -> Iterator[Snapshot]:
        """As store.rebuild_source.RebuildSource says."""
        counts, publishers = _summed(row for _, _, row in self.rows.values())
        yield Snapshot(
            guards=dict(self.next_offsets),
            marks=counting(self.states.values()),
            counts=counts,
            publishers=publishers,
        )

    def windows(self) -> FakeWindows:
        """What the windows are, as a function of all of this."""
        windows = FakeWindows(self)
        windows.rebuild()
        return windows

    # --- the minute roll-ups, as store.redis.reader.RollUps asks for them ---

    def buckets(self, start: Minute, end: Minute) -> Mapping[Minute, Mapping[Subject, Counts]]:
        return self.windows().buckets(start, end).counts

    def observed(self, start: Minute, end: Minute) -> Sequence[Minute]:
        return self.windows().observed(start, end)

    def negative_publishers(self, subject: Subject, start: Minute, end: Minute) -> int:
        return self.windows().negative_publishers(subject, start, end)

    def series(self, subject: Subject, start: Minute, end: Minute, step: int) -> Sequence[WindowStats]:
        return self.windows().series(subject, start, end, step)


def _summed(rows: Iterable[Row]) -> tuple[dict[Key, Counts], dict[Key, set[str]]]:
    counts: dict[Key, Counts] = {}
    publishers: dict[Key, set[str]] = {}
    for row in rows:
        for subject in () if row.late else row.subjects:
            key = subject, row.minute
            counts[key] = counts.get(key, Counts()) + row.counts
            if row.negative:
                publishers.setdefault(key, set()).add(row.publisher)
    return counts, publishers
