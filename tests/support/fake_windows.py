"""Windows and WindowReader in memory, for unit tests; passes the same contract suites as Redis does.

    windows = FakeWindows()                                  # empty and whole
    windows.put(topic("Earnings"), minute, negative=3, publishers=("Reuters", "AP"))
    windows.watermark_at(at(30))

`FakeWindows(source=history)` starts without windows, like a fresh Redis, and `rebuild()` reads the history.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from support.builders import news_partition, scored_partition

from domain.errors import WindowsNotWhole
from domain.log import MarkStatus, Partition
from domain.subject import Subject
from domain.timeline import Minute, start_of
from domain.watermark import MarkState
from domain.window import UNKNOWN_PUBLISHER, Buckets, Changes, Counts, WindowStats
from store.rebuild_source import RebuildSource


@dataclass
class _State:
    guards: dict[Partition, int] = field(default_factory=dict)
    marks: dict[tuple[Partition, Partition], MarkState] = field(default_factory=dict)
    counts: dict[Minute, dict[Subject, Counts]] = field(default_factory=lambda: defaultdict(dict))
    publishers: dict[tuple[Subject, Minute], set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, subject: Subject, minute: Minute, counts: Counts, publishers: Iterable[str]) -> None:
        held = self.counts[minute]
        held[subject] = held.get(subject, Counts()) + counts
        self.publishers[subject, minute].update(publishers)

    def tell(self, partition: Partition, marks: Sequence[MarkState]) -> None:
        sources = {mark.source for mark in marks}
        topic_ids = {source.topic: source.topic_id for source in sources}

        def void(scored: Partition, source: Partition) -> bool:
            former_self = scored.topic == partition.topic and scored.topic_id != partition.topic_id
            later = topic_ids.get(source.topic, source.topic_id) != source.topic_id
            return scored == partition or (former_self and (source in sources or later))

        self.marks = {key: mark for key, mark in self.marks.items() if not void(*key)}
        self.marks |= {(partition, mark.source): mark for mark in marks}


class FakeWindows:
    """All of it exact and held for ever; publishers are counted exactly."""

    def __init__(self, source: RebuildSource | None = None) -> None:
        self.source = source
        self.rebuilds = 0
        self._state: _State | None = None if source else _State()

    # --- Windows ---

    def guard(self, partition: Partition) -> int | None:
        return self._whole().guards.get(partition)

    def apply(self, changes: Changes) -> int | None:
        if changes.end < changes.start:
            raise ValueError(f"changes can't end ({changes.end}) before they start ({changes.start})")
        state = self._whole()
        guard = state.guards.get(changes.partition, 0)
        if guard != changes.start:
            return guard
        for (subject, minute), counts in changes.counts.items():
            state.add(subject, minute, counts, changes.negative_publishers.get((subject, minute), ()))
        state.guards[changes.partition] = changes.end
        state.tell(changes.partition, changes.marks)
        return None

    def rebuild(self) -> None:
        state = _State()
        if self.source is not None:
            with self.source.window_source() as snapshot:
                state.guards = dict(snapshot.guards)
                state.marks = {(mark.scored, mark.source): mark for mark in snapshot.marks}
                for increment in snapshot.increments(0):
                    state.add(increment.subject, increment.minute, increment.counts, increment.negative_publishers)
        self.rebuilds += 1
        self._state = state

    # --- WindowReader ---

    def marks(self) -> tuple[MarkState, ...]:
        return tuple(self._whole().marks.values())

    def buckets(self, start: Minute, end: Minute) -> Buckets:
        state = self._whole()
        counts = {minute: dict(held) for minute, held in sorted(state.counts.items()) if start <= minute < end}
        return Buckets(start=start, end=end, counts=counts, marks=self.marks())

    def observed(self, start: Minute, end: Minute) -> Sequence[Minute]:
        return [minute for minute in sorted(self._whole().counts) if start <= minute < end]

    def negative_publishers(self, subject: Subject, start: Minute, end: Minute) -> int:
        publishers = self._whole().publishers
        found = [names for (of, minute), names in publishers.items() if of == subject and start <= minute < end]
        return len(set().union(*found))

    def series(self, subject: Subject, start: Minute, end: Minute, step: int) -> Sequence[WindowStats]:
        held = {minute: counts[subject] for minute, counts in self._whole().counts.items() if subject in counts}
        windows = [(begin, min(begin + step, end)) for begin in range(start, end, step)]
        return [
            WindowStats(
                subject=subject,
                start=start_of(begin),
                end=start_of(until),
                counts=sum((held[minute] for minute in range(begin, until) if minute in held), start=Counts()),
            )
            for begin, until in windows
        ]

    # --- what tests do to it ---

    def put(
        self,
        subject: Subject,
        minute: Minute,
        *,
        negative: int = 0,
        neutral: int = 0,
        positive: int = 0,
        polarity: int = 8_000,
        publishers: Iterable[str] = (UNKNOWN_PUBLISHER,),
    ) -> None:
        """Count so many documents: negative ones at −`polarity` (scaled), positive ones at +`polarity`."""
        counts = Counts(
            count=negative + neutral + positive,
            negative=negative,
            neutral=neutral,
            positive=positive,
            polarity_sum=(positive - negative) * polarity,
            polarity_squares=(positive + negative) * polarity**2,
        )
        self._whole().add(subject, minute, counts, publishers if negative else ())

    def watermark_at(self, at: datetime | None) -> None:
        """Replace all marks by one, so that the watermark is exactly `at` at any lateness; None: unknown."""
        scored = scored_partition()
        mark = MarkState(
            scored=scored,
            source=news_partition(),
            status=MarkStatus.UNREAD if at is None else MarkStatus.ENDED,
            next_offset=0,
            high_time=None,
            ended_at=at,
            fan_out=1,
        )
        self._whole().marks = {(scored, mark.source): mark}

    def flush(self) -> None:
        """Lose everything, as FLUSHALL does: not whole until rebuilt."""
        self._state = None

    def snapshot(self) -> object:
        """A copy of everything, for `restore`."""
        return copy.deepcopy(self._state)

    def restore(self, snapshot: object) -> None:
        """Fall back to an older state."""
        assert snapshot is None or isinstance(snapshot, _State)
        self._state = copy.deepcopy(snapshot)

    def _whole(self) -> _State:
        if self._state is None:
            raise WindowsNotWhole("there are no windows: rebuild them from the history")
        return self._state
