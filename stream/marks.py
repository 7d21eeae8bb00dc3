"""How far a classify process has come in each of its source partitions, and the marks that tell the record stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

import msgspec

from domain.errors import InvalidInput
from domain.log import Mark, MarkStatus, Origin, Partition
from stream.incoming import Headers, TopicPartition
from stream.messages import Reason, received
from stream.times import BadTime, parse_time

MARK_HEADER: Final = "groundswell.mark"
END: Final = b"end"


class _End(msgspec.Struct):
    at: str


_end_decoder = msgspec.json.Decoder(_End)


def is_end(headers: Headers) -> bool:
    """Whether a message of a source topic says that its sender has sent everything, rather than being a document."""
    return any(name == MARK_HEADER and value == END for name, value in headers)


def end_headers() -> Headers:
    """The headers of such a message."""
    return ((MARK_HEADER, END),)


def encode_end(at: datetime) -> bytes:
    """The value of such a message: everything published before `at` was sent."""
    return msgspec.json.encode({"at": at})


def decode_end(value: bytes | None, timestamp_ms: int, max_ahead: timedelta) -> datetime:
    """Before when everything was sent: like a document's date, not further ahead of its record's timestamp than
    `max_ahead`. Raises InvalidInput."""
    try:
        at = parse_time(_end_decoder.decode(value or b"").at)
    except (msgspec.DecodeError, UnicodeDecodeError, BadTime) as error:
        raise InvalidInput(
            Reason.BAD_END_MARK, f'an end mark reads {{"at": "2014-01-06T14:00:00Z"}}, this one does not: {error}'
        ) from error
    if at - (received(timestamp_ms) or datetime.now(UTC)) > max_ahead:
        raise InvalidInput(
            Reason.DATE_AHEAD,
            f"the end mark's {at.isoformat()} is more than {max_ahead} ahead of when it was received",
        )
    return at


@dataclass(kw_only=True)
class _Progress:
    partition: Partition
    next_offset: int
    status: MarkStatus
    high_time: datetime | None
    since: float
    """When it brought its last message, or was said to be idle, whichever came later. Monotonic seconds."""
    touched: bool = False


@dataclass(kw_only=True)
class _Unheld:
    """A partition that holds event time back by nothing that we said: it is idle, or another process reads it."""

    partition: Partition
    next_offset: int
    """Everything below it was passed, as far as we know: of another's partition, what the group had committed when we
    joined."""
    end: int
    """Of its log, when Kafka was last asked."""
    grew_after: float = -inf
    """Whatever came before `end` came later than this. Monotonic seconds."""


class Progress:
    """The source partitions of one assignment. Mutable; one task at a time. `now` is in monotonic seconds."""

    def __init__(self, fan_out: int) -> None:
        """`fan_out`: how many partitions the scored topic has."""
        self.fan_out = fan_out
        self._sources: dict[TopicPartition, _Progress] = {}
        self._unheld: dict[TopicPartition, _Unheld] = {}
        self._asked = -inf
        self._ended: list[Mark] = []

    def begin(
        self,
        *,
        owned: Mapping[TopicPartition, Partition],
        others: Mapping[TopicPartition, Partition],
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        now: float,
    ) -> tuple[Mark, ...]:
        """The marks that a process sends when it joins: UNREAD for every partition with something left to read,
        whoever owns it, and IDLE for its own that are at their end. `starts`: where the group reads on."""
        marks = []
        for place, partition in {**others, **owned}.items():
            start, end = starts[place], ends[place]
            status = MarkStatus.UNREAD if start < end else MarkStatus.IDLE
            if place in owned:
                self._sources[place] = _Progress(
                    partition=partition, next_offset=start, status=status, high_time=None, since=now
                )
            if place in others or status is MarkStatus.IDLE:
                self._unheld[place] = _Unheld(partition=partition, next_offset=start, end=end)
            if place in owned or status is MarkStatus.UNREAD:
                marks.append(self._mark(partition, status, start, None))
        return tuple(marks)

    def went_back(self, place: TopicPartition, offset: int) -> bool:
        """Whether a message comes again: the log was cut, or the topic made anew."""
        return offset < self._sources[place].next_offset

    def restart(self, place: TopicPartition, partition: Partition) -> None:
        """Forget what was known of a source: it is read from another place, or is another incarnation."""
        source = self._sources[place]
        source.partition, source.high_time, source.next_offset = partition, None, 0

    def passed(self, place: TopicPartition, offset: int, now: float) -> None:
        """A message was read, whatever became of it."""
        source = self._sources[place]
        source.next_offset = offset + 1
        source.status = MarkStatus.READING
        source.since = now
        source.touched = True
        self._unheld.pop(place, None)

    def published(self, place: TopicPartition, offset: int, at: datetime) -> Origin:
        """The message was a document, published then: where it comes from, with the running maximum."""
        source = self._sources[place]
        if source.high_time is None or at > source.high_time:
            source.high_time = at
        return Origin(partition=source.partition, offset=offset, high_time=source.high_time)

    def ended(self, place: TopicPartition, at: datetime) -> None:
        """The message was an end mark: everything before `at` was sent."""
        source = self._sources[place]
        source.status = MarkStatus.ENDED
        self._ended.append(
            self._mark(source.partition, MarkStatus.ENDED, source.next_offset, source.high_time, ended_at=at)
        )

    def take_marks(self) -> tuple[Mark, ...]:
        """The marks of every source that was touched since they were last taken, what ended first."""
        marks, self._ended = self._ended, []
        for source in self._sources.values():
            if source.touched:
                source.touched = False
                if source.status is not MarkStatus.ENDED:
                    marks.append(self._mark(source.partition, source.status, source.next_offset, source.high_time))
        return tuple(marks)

    def quiet(self, idle_after: float, now: float) -> frozenset[TopicPartition]:
        """Sources that brought nothing for so many seconds. Idle ones are among them again after each such while: that
        they are is said anew, should another process have said meanwhile that they are not."""
        return frozenset(place for place, source in self._sources.items() if now - source.since >= idle_after)

    def is_through(self, place: TopicPartition, offset: int) -> bool:
        """Whether every message of a source below this offset has passed."""
        return self._sources[place].next_offset >= offset

    def idle(self, ends: Mapping[TopicPartition, int], now: float) -> tuple[Mark, ...]:
        """These were read to their end: their marks."""
        marks = []
        for place, end in ends.items():
            source = self._sources[place]
            source.status, source.since = MarkStatus.IDLE, now
            self._unheld[place] = _Unheld(partition=source.partition, next_offset=source.next_offset, end=end)
            marks.append(self._mark(source.partition, source.status, source.next_offset, source.high_time))
        return tuple(marks)

    @property
    def unheld(self) -> frozenset[TopicPartition]:
        """The partitions to be asked for their ends before event time moves on: idle ones, and those of others."""
        return frozenset(self._unheld)

    def woke(
        self, ends: Mapping[TopicPartition, int], idle_after: float, *, asked: float, now: float
    ) -> tuple[Mark, ...]:
        """UNREAD for the unheld partitions whose logs have grown, so that they hold event time back until what came is
        read. Of another process's only where it may have become idle before that: after `idle_after` of silence.
        `asked`: when the question for the ends was put."""
        marks = []
        for place, end in ends.items():
            unheld = self._unheld[place]
            if end == unheld.end:
                continue
            if now - unheld.grew_after >= idle_after:
                marks.append(self._mark(unheld.partition, MarkStatus.UNREAD, unheld.next_offset, None))
            unheld.end, unheld.grew_after = end, self._asked
            if place in self._sources:
                self._sources[place].status, self._sources[place].since = MarkStatus.UNREAD, now
                del self._unheld[place]
        if ends:
            self._asked = asked
        return tuple(marks)

    def _mark(
        self,
        partition: Partition,
        status: MarkStatus,
        next_offset: int,
        high_time: datetime | None,
        *,
        ended_at: datetime | None = None,
    ) -> Mark:
        return Mark(
            partition=partition,
            status=status,
            next_offset=next_offset,
            high_time=high_time,
            ended_at=ended_at,
            fan_out=self.fan_out,
        )
