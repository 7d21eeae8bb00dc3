"""Feeding a file to the source topics: in the order of its dates, at a chosen speed, ended by explicit end marks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.document import Kind
from domain.timeline import EPOCH, minute_of, start_of, to_epoch_us
from stream.feed_reader import FeedReader, Looking, Survey
from stream.feed_readers import BadRow, FeedFormat
from stream.feed_rows import FeedDocument, RowPolicy, RowShaper
from stream.feed_sender import FeedSender
from stream.feed_source import FeedSource
from stream.kafka import KafkaConnection
from stream.messages import MessagePolicy

__all__ = ["BadRow", "FeedFormat", "FeedPolicy", "FeedProgress", "FeedSource", "FeedSummary", "run_feed"]

_TOO_SHORT_TO_SLEEP: Final = 0.005
_PROGRESS_EVERY: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class FeedPolicy:
    """How to feed."""

    topics: Mapping[Kind, str]
    """The source topics."""
    kind: Kind = Kind.NEWS
    """What rows are that have no `kind` of their own."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Under which name a field of the document stands in the file: {"published_at": "timestamp"}."""
    undated: bool = False
    """The rows have no dates: each document is published when Kafka takes it, in the order of the file."""
    speed: float | None = 1.0
    """How many times faster than the documents' own dates; None: as fast as Kafka takes them."""
    shift_to_now: bool = False
    """Move all dates by one constant, so that the last document's date is the moment at which it will be sent; none is
    ever in the future (so at a speed below 1 it is the first one's; at the highest, it is the moment of the start)."""
    settle: timedelta = timedelta(0)
    """How much further than the last date (rounded up to a whole minute) the end marks let event time come. They are
    never further ahead of the clock than a document may be."""
    skip_bad: bool = False
    """Go on without the rows that can't be read; otherwise the first one ends the feed."""
    id_prefix: str = ""
    """Put before every id, so that what was fed before counts as new."""
    messages: MessagePolicy = field(default_factory=MessagePolicy)
    """The limits that the classify stage will check."""

    def __post_init__(self) -> None:
        if self.speed is not None and not 0 < self.speed < float("inf"):
            raise ValueError(f"speed must be above 0, got {self.speed}")
        if self.settle < timedelta(0):
            raise ValueError(f"settle must not be negative, got {self.settle}")
        if self.undated and self.shift_to_now:
            raise ValueError("rows without dates have none to shift")


@dataclass(frozen=True, kw_only=True)
class FeedProgress:
    """How far a feed has come. `total` is None as long as it is not known."""

    sent: int
    total: int | None
    bad: int
    published_at: datetime | None
    """As sent, of the newest document."""
    looked_at: int = 0
    """Rows that the first look has seen, before anything is sent."""


@dataclass(frozen=True, kw_only=True)
class FeedSummary:
    """What a feed did."""

    documents: int
    bytes: int
    """Of keys and values."""
    bad: int
    ended_at: datetime | None
    """What the end marks say; None when there are none: it was interrupted, or there was nothing to send."""
    seconds: float
    """From the first document to the last acknowledgement."""
    interrupted: bool = False


def run_feed(
    connection: KafkaConnection,
    source: FeedSource,
    policy: FeedPolicy,
    *,
    on_progress: Callable[[FeedProgress], None] = lambda _: None,
    on_bad_row: Callable[[BadRow], None] = lambda _: None,
) -> FeedSummary:
    """Feed a source. Call it from the main thread: Ctrl-C ends it once what was sent is acknowledged, and the summary
    tells how far it came. Fed again, a document is the same document.

    A file is looked through first: a row that can't be read ends the feed before anything is sent, and a file that is
    not in the order of its dates is sorted. Standard input is sent as it comes (unless its dates are to be shifted:
    then it is kept to its end first); a row that can't be read, or that is more than five minutes out of order, ends
    the feed there.

    Raises InvalidInput for such a row (unless skipped) and for a source that is not what it should be, TemporaryError
    when Kafka can't be reached, PermanentError when a topic is missing or may not be written.
    """
    return asyncio.run(_Feed(connection, policy, on_progress, on_bad_row).run(source))


class _Timetable:
    """When each document is sent, and by how much its date is moved."""

    def __init__(self, policy: FeedPolicy, survey: Survey, first_us: int, *, now: datetime) -> None:
        self._speed = None if policy.undated else policy.speed
        self._first_us = first_us
        self._started = time.monotonic()
        self.shift_us: int | None = None if policy.undated else 0
        if policy.shift_to_now and survey.last_us is not None:
            span = survey.last_us - first_us
            takes = 0.0 if policy.speed is None else span / policy.speed
            # Sent faster than they were published, the last document comes closest to its date; slower, the first.
            self.shift_us = to_epoch_us(now) - first_us + round(min(takes - span, 0.0))

    def due_in(self, document: FeedDocument) -> float:
        """Seconds until the document is to be sent; not above zero when it is due."""
        if self._speed is None:
            return 0.0
        return self._started + (document.published_us - self._first_us) / 1e6 / self._speed - time.monotonic()


class _Feed:
    """One run. Everything that it counts is about what was sent."""

    def __init__(
        self,
        connection: KafkaConnection,
        policy: FeedPolicy,
        on_progress: Callable[[FeedProgress], None],
        on_bad_row: Callable[[BadRow], None],
    ) -> None:
        self._connection = connection
        self._policy = policy
        self._on_progress = on_progress
        self._on_bad_row = on_bad_row
        self._survey = Survey()
        self._timetable: _Timetable | None = None
        self._started = time.monotonic()
        self._sent = self._bytes = self._bad = self._looked_at = 0
        self._last: datetime | None = None
        self._told_at = 0.0

    async def run(self, source: FeedSource) -> FeedSummary:
        reader = self._reader(source)
        sender = FeedSender(self._connection)
        ended_at: datetime | None = None
        interrupted = False
        try:
            await sender.start(self._policy.topics.values())
            try:
                await self._send_all(reader, sender)
            except asyncio.CancelledError:
                interrupted = True
                await sender.flush()
            if self._last is not None and not interrupted:
                ended_at = self._end(self._last)
                await sender.mark_ends(ended_at)
        finally:
            await sender.stop()
        self._tell()
        return FeedSummary(
            documents=self._sent,
            bytes=self._bytes,
            bad=self._bad,
            ended_at=ended_at,
            seconds=time.monotonic() - self._started,
            interrupted=interrupted,
        )

    def _end(self, last: datetime) -> datetime:
        """The next whole minute and what is added to it, as far ahead of now as an end mark may be."""
        wanted = start_of(minute_of(last) + 1) + self._policy.settle
        return min(wanted, start_of(minute_of(datetime.now(UTC) + self._policy.messages.max_ahead)))

    def _reader(self, source: FeedSource) -> FeedReader:
        policy = self._policy
        rows = RowPolicy(
            kind=policy.kind,
            columns=policy.columns,
            undated=policy.undated,
            id_prefix=policy.id_prefix,
            messages=policy.messages,
        )
        shaper = RowShaper(rows, now=datetime.now(UTC), may_be_ahead=policy.shift_to_now)
        return FeedReader(source, shaper, skip_bad=policy.skip_bad, look_first=policy.shift_to_now)

    async def _send_all(self, reader: FeedReader, sender: FeedSender) -> None:
        async with aclosing(reader.batches()) as batches:
            async for batch in batches:
                for item in batch:
                    match item:
                        case FeedDocument():
                            await self._send(item, sender)
                        case BadRow():
                            self._bad += 1
                            self._on_bad_row(item)
                        case Looking():
                            self._looked_at = item.rows
                        case Survey():
                            self._survey = item
                await sender.flush()
                if time.monotonic() - self._told_at >= _PROGRESS_EVERY:
                    self._tell()

    async def _send(self, document: FeedDocument, sender: FeedSender) -> None:
        if self._timetable is None:
            self._started = time.monotonic()
            self._timetable = _Timetable(self._policy, self._survey, document.published_us, now=datetime.now(UTC))
        while (due_in := self._timetable.due_in(document)) > _TOO_SHORT_TO_SLEEP:
            await sender.flush()
            self._tell()
            await asyncio.sleep(min(due_in, _PROGRESS_EVERY))
        shift = self._timetable.shift_us
        value = document.value(shift)
        await sender.send(self._policy.topics[document.kind], document.key, value)
        published_at = datetime.now(UTC) if shift is None else _at(document.published_us + shift)
        self._sent += 1
        self._bytes += len(document.key) + len(value)
        self._last = max(self._last or published_at, published_at)

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        self._on_progress(
            FeedProgress(
                sent=self._sent,
                total=self._survey.total,
                bad=self._bad,
                published_at=self._last,
                looked_at=self._looked_at,
            )
        )


def _at(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)
