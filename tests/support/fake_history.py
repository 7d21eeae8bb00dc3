"""History in memory, for unit tests; passes the contract that Postgres does, and rebuilds FakeWindows.

    history = FakeHistory()
    history.append([make_batch([make_record("a")])])
    windows = FakeWindows(history)

`fail_with` makes every call raise, as a server that is down does; `refuse` names ids that the sink can't hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from support.history_parts import Key, Snapshot, counting

from domain.classification import Label
from domain.errors import Conflict
from domain.log import Mark, MarkStatus, Partition, RecordBatch, ScoredRecord
from domain.ports import Appended, Refused
from domain.subject import sentiments_of
from domain.timeline import minute_of
from domain.watermark import MarkState
from domain.window import UNKNOWN_PUBLISHER, Changes, Counts


@dataclass
class _Row:
    record: ScoredRecord
    partition: Partition
    offset: int | None
    late: bool


@dataclass
class _State:
    rows: dict[str, _Row] = field(default_factory=dict)
    next_offsets: dict[Partition, int] = field(default_factory=dict)
    marks: dict[tuple[Partition, Partition], MarkState] = field(default_factory=dict)
    """By scored and source partition, in the order in which they were last heard of."""
    high_times: dict[tuple[Partition, Partition], datetime] = field(default_factory=dict)


class FakeHistory:
    """The port domain.ports.History, and store.rebuild_source.RebuildSource."""

    def __init__(self, *, lateness: timedelta = timedelta(minutes=5)) -> None:
        self.lateness = lateness
        self.refuse: set[str] = set()
        self.fail_with: Exception | None = None
        self.appends = 0
        self._state = _State()

    # --- History ---

    def append(
        self, batches: Sequence[RecordBatch], *, recorded: Mapping[Partition, int] | None = None
    ) -> tuple[Appended, ...]:
        self._answer()
        for batch in batches:
            if self._state.next_offsets.get(batch.partition, 0) < (recorded or {}).get(batch.partition, 0):
                raise Conflict(f"the history of {batch.partition.topic}/{batch.partition.number} went back")
        self.appends += bool(batches)
        return tuple(self._append(batch) for batch in batches)

    def _append(self, batch: RecordBatch) -> Appended:
        start = self._state.next_offsets.get(batch.partition, 0)
        new = duplicates = late = 0
        refused: list[Refused] = []
        entries: list[tuple[int, ScoredRecord | Mark]] = sorted(
            [*batch.documents, *batch.marks], key=lambda entry: entry[0]
        )
        for offset, entry in entries:
            if isinstance(entry, Mark):
                if offset >= start:
                    self._mark(batch.partition, entry)
                continue
            document = entry.scored.document
            if document.id in self.refuse:
                refused.append(Refused(offset=offset, reason="sink_refused", message="the sink can't hold it"))
                continue
            key = batch.partition, entry.origin.partition
            high = max(self._state.high_times.get(key, entry.origin.high_time), entry.origin.high_time)
            if offset >= start:
                self._state.high_times[key] = high
            if document.id in self._state.rows:
                duplicates += 1
                continue
            is_late = document.published_at < high - self.lateness
            self._state.rows[document.id] = _Row(entry, batch.partition, offset, is_late)
            new += 1
            late += is_late
        self._state.next_offsets[batch.partition] = max(start, batch.end)
        return Appended(new=new, duplicates=duplicates, late=late, refused=tuple(refused))

    def next_offset(self, partition: Partition) -> int | None:
        self._answer()
        return self._state.next_offsets.get(partition)

    def changes(self, starts: Mapping[Partition, int]) -> tuple[Changes, ...]:
        self._answer()
        return tuple(self._changes(partition, start) for partition, start in starts.items())

    def _changes(self, partition: Partition, start: int) -> Changes:
        rows = [
            row
            for row in self._state.rows.values()
            if row.partition == partition and row.offset is not None and row.offset >= start
        ]
        counts, publishers = _summed(rows)
        return Changes(
            partition=partition,
            start=start,
            end=self._state.next_offsets.get(partition, 0),
            counts=counts,
            negative_publishers={key: frozenset(names) for key, names in publishers.items()},
            marks=tuple(mark for mark in counting(self._state.marks.values()) if mark.scored == partition),
        )

    def truncate(self, partition: Partition, log_end: int) -> None:
        self._answer()
        if self._state.next_offsets.get(partition, 0) <= log_end:
            return
        self._state.next_offsets[partition] = log_end
        for row in self._state.rows.values():
            if row.partition == partition and row.offset is not None and row.offset >= log_end:
                row.offset = None

    # --- RebuildSource ---

    @contextmanager
    def window_source(self) -> Iterator[Snapshot]:
        self._answer()
        counts, publishers = _summed(self._state.rows.values())
        yield Snapshot(
            guards=dict(self._state.next_offsets),
            marks=counting(self._state.marks.values()),
            counts=counts,
            publishers=publishers,
        )

    # --- what tests do to it ---

    @property
    def ids(self) -> set[str]:
        """The documents that it holds."""
        return set(self._state.rows)

    def counts(self) -> dict[Key, Counts]:
        """What the windows should hold: recomputed from the documents."""
        return _summed(self._state.rows.values())[0]

    def snapshot(self) -> object:
        """A copy of everything, for `restore`."""
        return deepcopy(self._state)

    def restore(self, snapshot: object) -> None:
        """Fall back to an older state."""
        assert isinstance(snapshot, _State)
        self._state = deepcopy(snapshot)

    def _answer(self) -> None:
        if self.fail_with is not None:
            raise self.fail_with

    def _mark(self, scored: Partition, mark: Mark) -> None:
        key = scored, mark.partition
        before = self._state.marks.pop(key, None)
        status = mark.status
        if status is MarkStatus.UNREAD and before is not None:
            status = MarkStatus.READING if before.status is MarkStatus.IDLE else before.status
        if mark.high_time is not None:
            self._state.high_times[key] = max(self._state.high_times.get(key, mark.high_time), mark.high_time)
        self._state.marks[key] = MarkState(
            scored=scored,
            source=mark.partition,
            status=status,
            next_offset=max(mark.next_offset, before.next_offset if before else 0),
            high_time=self._state.high_times.get(key),
            ended_at=max(
                (at for at in (mark.ended_at, before.ended_at if before else None) if at is not None), default=None
            ),
            fan_out=mark.fan_out,
        )


def _summed(rows: Iterable[_Row]) -> tuple[dict[Key, Counts], dict[Key, set[str]]]:
    counts: dict[Key, Counts] = {}
    publishers: dict[Key, set[str]] = {}
    for row in rows:
        scored = row.record.scored
        if row.late or scored.classification is None:
            continue
        for subject, sentiment in sentiments_of(scored):
            one = Counts(
                count=1,
                negative=int(sentiment.label is Label.NEGATIVE),
                neutral=int(sentiment.label is Label.NEUTRAL),
                positive=int(sentiment.label is Label.POSITIVE),
                polarity_sum=sentiment.scaled_polarity,
                polarity_squares=sentiment.scaled_polarity**2,
            )
            key = subject, minute_of(scored.document.published_at)
            counts[key] = counts.get(key, Counts()) + one
            if sentiment.label is Label.NEGATIVE:
                publishers.setdefault(key, set()).add(scored.document.publisher or UNKNOWN_PUBLISHER)
    return counts, publishers
