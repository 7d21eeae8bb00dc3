"""How far a classify process has come in each of its source partitions, and the marks that tell the record stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
    last_message: float
    """Monotonic seconds."""
    touched: bool = False


class Progress:
    """The source partitions of one assignment. Mutable; one task at a time. `now` is in monotonic seconds."""

    def __init__(self, fan_out: int) -> None:
        """`fan_out`: how many partitions the scored topic has."""
        self.fan_out = fan_out
        self._sources: dict[TopicPartition, _Progress] = {}
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
                    partition=partition, next_offset=start, status=status, high_time=None, last_message=now
                )
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
        source.last_message = now
        source.touched = True

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
        """Sources that were not idle, and brought nothing for so many seconds."""
        return frozenset(
            place
            for place, source in self._sources.items()
            if source.status is not MarkStatus.IDLE and now - source.last_message >= idle_after
        )

    def idle(self, places: Iterable[TopicPartition]) -> tuple[Mark, ...]:
        """These were read to their end: their marks."""
        marks = []
        for place in places:
            source = self._sources[place]
            source.status = MarkStatus.IDLE
            marks.append(self._mark(source.partition, source.status, source.next_offset, source.high_time))
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
