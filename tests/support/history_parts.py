"""What the histories in memory have in common: which marks count, and what a rebuild reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from uuid import UUID

from domain.log import Partition
from domain.subject import Subject
from domain.timeline import Minute
from domain.watermark import MarkState
from domain.window import Counts
from store.rebuild_source import Increment

Key = tuple[Subject, Minute]


def counting(marks: Iterable[MarkState]) -> tuple[MarkState, ...]:
    """Of marks in the order in which they were last heard of: those of the incarnation of each source topic that was
    last heard of, through the incarnation of `scored` in which their source was."""
    marks = tuple(marks)
    source_ids: dict[str, UUID] = {}
    scored_ids: dict[Partition, UUID] = {}
    for mark in marks:
        source_ids[mark.source.topic] = mark.source.topic_id
        scored_ids[mark.source] = mark.scored.topic_id
    return tuple(
        mark
        for mark in marks
        if source_ids[mark.source.topic] == mark.source.topic_id and scored_ids[mark.source] == mark.scored.topic_id
    )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """store.rebuild_source.RebuildSnapshot, of sums by subject and minute."""

    guards: Mapping[Partition, int]
    marks: tuple[MarkState, ...]
    counts: Mapping[Key, Counts]
    publishers: Mapping[Key, Set[str]]

    def increments(self, start: Minute) -> Iterator[Increment]:
        for subject, minute in sorted(self.counts, key=lambda key: (key[1], key[0])):
            if minute >= start:
                yield Increment(
                    subject=subject,
                    minute=minute,
                    counts=self.counts[subject, minute],
                    negative_publishers=frozenset(self.publishers.get((subject, minute), ())),
                )
