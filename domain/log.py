"""Where things stand in Kafka: partitions, the scored log, and the marks that carry event time through it.

The classify stage turns source partitions into the `scored` topic. There, entries are either scored documents or
marks. A mark says how far a source partition has been read and is sent to every partition of `scored` behind the
documents that it covers, in the manner of Flink's watermarks: whoever has read it has read them. So each partition of
`scored` alone tells how far event time has come in each source partition, and all state that follows from it (what is
late, the watermark) is a function of that log, whatever process reads it and however often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from domain.classification import ScoredDocument


@dataclass(frozen=True, kw_only=True, order=True)
class Partition:
    """One partition of one incarnation of a topic: a topic made anew under its old name has another id."""

    topic: str
    topic_id: UUID
    number: int

    def __hash__(self) -> int:
        # Each document is looked up by its partition, and a UUID's hash is computed in Python.
        return hash((self.topic, self.number))


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The message on a source topic that a scored document came from."""

    partition: Partition
    offset: int
    high_time: datetime
    """The newest `published_at` that the classify process has seen on this partition up to and including this
    message. After a restart it starts again from the first message read; marks fill in what came before."""


@dataclass(frozen=True, kw_only=True)
class ScoredRecord:
    """A scored document on its way through the `scored` topic."""

    scored: ScoredDocument
    origin: Origin


class MarkStatus(StrEnum):
    """What is known of a source partition."""

    UNREAD = "unread"
    """It exists and was not read to its end when a process joined, or something came while it lay idle: it holds the
    watermark back. Said by any process, so it only ever turns an absent state into UNREAD and an IDLE one into READING.
    """
    READING = "reading"
    """It was read up to `next_offset`, and more may lie behind."""
    IDLE = "idle"
    """It was read to its end, and nothing came for a while: it does not hold the watermark back. Said again and again
    while it is so."""
    ENDED = "ended"
    """Its sender said that everything before `ended_at` was sent: event time has come that far without lateness."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far one source partition has been read, as of a place in the scored log."""

    partition: Partition
    status: MarkStatus
    next_offset: int
    """Everything below this offset of the source partition lies before the mark in the scored log."""
    high_time: datetime | None
    """The newest `published_at` the classify process has seen on this partition; None when it has seen none."""
    ended_at: datetime | None = None
    """With ENDED: everything before this was sent."""
    fan_out: int
    """To how many partitions of `scored` this mark was sent: the watermark needs it from all of them."""


@dataclass(frozen=True, kw_only=True)
class RecordBatch:
    """A run of consecutive messages of one partition of `scored`, ready to be recorded.

    Offsets may have gaps (compaction, transactions): `start` is the first offset, `end` is one past the last.
    """

    partition: Partition
    start: int
    end: int
    documents: Sequence[tuple[int, ScoredRecord]]
    """(offset, record), by rising offset."""
    marks: Sequence[tuple[int, Mark]]
    """(offset, mark), by rising offset."""
