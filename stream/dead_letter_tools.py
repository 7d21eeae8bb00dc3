"""What an operator does with dead letters: list them, look at one, send them back.

That a letter was sent back is noted in the dead-letter topic itself, behind it and in its partition, so that whoever
looks knows it, and nothing is sent back twice unless asked for.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from heapq import heappush, heappushpop
from typing import Final

from domain.errors import InvalidInput
from domain.timeline import from_epoch_ms
from stream.dead_letters import VALUE_BYTES, DeadLetter, decode_dead_letter, replay_headers
from stream.incoming import Incoming, TopicPartition
from stream.kafka import KafkaConnection
from stream.letter_log import REPLAYED_HEADER, LetterLog, is_note, note_of, noted
from stream.messages import Reason
from stream.producer import Producer, Record, partition_for

_REPLAY_BATCH: Final = 500


@dataclass(frozen=True, kw_only=True)
class StoredLetter:
    """A dead letter and where it lies in the dead-letter topic."""

    partition: int
    offset: int
    stored_at: datetime
    """The record's timestamp there."""
    letter: DeadLetter
    replayed: bool = False
    """It was sent back."""
    complete: bool = True
    """False: the topic did not take its value for its size; it has to be read where it came from."""

    @property
    def place(self) -> str:
        """`partition:offset`, as the commands take it."""
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, kw_only=True)
class LetterFilter:
    """Which letters: those that meet all that is given."""

    reason: str | None = None
    stage: str | None = None
    topic: str | None = None
    """That they came from."""
    since: datetime | None = None
    """Stored then or later."""

    def takes(self, stored: StoredLetter) -> bool:
        """Whether a letter is one of these."""
        letter = stored.letter
        return (
            self.reason in (None, letter.reason)
            and self.stage in (None, letter.stage)
            and self.topic in (None, letter.topic)
            and (self.since is None or stored.stored_at >= self.since)
        )


EVERY: Final = LetterFilter()


@dataclass(frozen=True, kw_only=True)
class LetterList:
    """The newest letters that pass a filter, the newest first; and of all that do, how many there are of each reason.
    Letters that were sent back are not among them."""

    letters: tuple[StoredLetter, ...]
    reasons: Mapping[str, int]
    total: int
    replayed: int = 0
    """How many pass the filter and were sent back."""


@dataclass(frozen=True, kw_only=True)
class ReplaySummary:
    """What a replay did."""

    replayed: int
    skipped: int
    """Sent back before."""
    impossible: int = 0
    """Of unknown origin, or without the value."""


class DeadLetters:
    """The dead-letter topic. Blocking; every method reads what is there when it is called.

    Raises TemporaryError when Kafka can't be reached, PermanentError when a topic is missing or may not be used.
    """

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        self._connection = connection
        self._topic = topic

    def recent(self, which: LetterFilter = EVERY, *, limit: int = 20) -> LetterList:
        """The newest letters that pass the filter, and how many there are."""
        return asyncio.run(self._recent(which, limit))

    def at(self, partition: int, offset: int) -> StoredLetter:
        """One letter. Raises InvalidInput when there is none at that place."""
        return asyncio.run(self._at(partition, offset))

    def replay(
        self,
        which: LetterFilter | Sequence[tuple[int, int]],
        *,
        again: bool = False,
        on_progress: Callable[[int], None] = lambda _: None,
    ) -> ReplaySummary:
        """Send letters back to the partitions that they came from, those that pass a filter or those at places
        (partition, offset); `again`: also those sent back before. Letters that come in meanwhile are left alone.

        A message goes back with its key, value, headers and timestamp, so that what has no date of its own keeps it.
        One that was refused for a date too far ahead gets the time of now: by then the date may have come.

        Raises InvalidInput, sending nothing, when there is no letter at a place.
        """
        return asyncio.run(self._replay(which, again, on_progress))

    async def _log(self) -> LetterLog:
        return await asyncio.to_thread(LetterLog, self._connection, self._topic)

    async def _recent(self, which: LetterFilter, limit: int) -> LetterList:
        newest: list[tuple[datetime, int, int, StoredLetter]] = []
        reasons: Counter[str] = Counter()
        replayed = 0
        async for stored in _letters(await self._log(), which):
            if stored.replayed:
                replayed += 1
                continue
            reasons[stored.letter.reason] += 1
            entry = stored.stored_at, stored.partition, stored.offset, stored
            if len(newest) < limit:
                heappush(newest, entry)
            else:
                heappushpop(newest, entry)
        letters = tuple(entry[-1] for entry in sorted(newest, key=lambda entry: entry[:3], reverse=True))
        return LetterList(letters=letters, reasons=dict(reasons), total=reasons.total(), replayed=replayed)

    async def _at(self, partition: int, offset: int) -> StoredLetter:
        [stored] = await _chosen(await self._log(), [(partition, offset)])
        return stored

    async def _replay(
        self,
        which: LetterFilter | Sequence[tuple[int, int]],
        again: bool,
        on_progress: Callable[[int], None],
    ) -> ReplaySummary:
        summary = ReplaySummary(replayed=0, skipped=0)
        producer = Producer(self._connection, name="replay", compression="gzip")
        batch: list[StoredLetter] = []
        try:
            log = await self._log()
            letters = _letters(log, which) if isinstance(which, LetterFilter) else _each(await _chosen(log, which))
            async for stored in letters:
                if stored.replayed and not again:
                    summary = replace(summary, skipped=summary.skipped + 1)
                elif not stored.complete or not stored.letter.topic or stored.letter.partition < 0:
                    summary = replace(summary, impossible=summary.impossible + 1)
                else:
                    batch.append(stored)
                if len(batch) >= _REPLAY_BATCH:
                    summary = await self._send_back(producer, batch, summary)
                    on_progress(summary.replayed)
                    batch = []
            summary = await self._send_back(producer, batch, summary)
            on_progress(summary.replayed)
        finally:
            await producer.stop()
        return summary

    async def _send_back(
        self, producer: Producer, batch: Sequence[StoredLetter], summary: ReplaySummary
    ) -> ReplaySummary:
        """Send, and once that is acknowledged, note it. Who dies in between sends again: the same document."""
        runs: dict[TopicPartition, list[Record]] = defaultdict(list)
        sent: dict[int, list[int]] = defaultdict(list)
        for stored in batch:
            letter = stored.letter
            partitions = await producer.partitions(letter.topic)
            number = letter.partition if letter.partition < partitions else partition_for(letter.key or b"", partitions)
            runs[TopicPartition(letter.topic, number)].append(_record(stored))
            sent[stored.partition].append(stored.offset)
        await producer.send(runs)
        notes = {
            TopicPartition(self._topic, partition): [Record(None, *note_of(offsets))]
            for partition, offsets in sent.items()
        }
        await producer.send(notes)
        return replace(summary, replayed=summary.replayed + len(batch))


async def _letters(log: LetterLog, which: LetterFilter) -> AsyncIterator[StoredLetter]:
    replayed = await _replayed(log, log.starts)
    starts = log.starts if which.since is None else await asyncio.to_thread(log.since, which.since)
    async for message in log.read(starts):
        if not is_note(message) and which.takes(stored := _stored(message, replayed)):
            yield stored


async def _chosen(log: LetterLog, places: Sequence[tuple[int, int]]) -> list[StoredLetter]:
    replayed = await _replayed(log, log.starts)
    chosen = []
    for partition, offset in dict.fromkeys(places):
        message = await log.one(partition, offset)
        if message is None or is_note(message):
            raise InvalidInput("no_such_letter", f"there is no dead letter at {partition}:{offset}")
        chosen.append(_stored(message, replayed))
    return chosen


async def _each(letters: Sequence[StoredLetter]) -> AsyncIterator[StoredLetter]:
    for letter in letters:
        yield letter


async def _replayed(log: LetterLog, starts: Mapping[int, int]) -> Set[tuple[int, int]]:
    """The places of the letters that notes from there on name."""
    places: set[tuple[int, int]] = set()
    async for message in log.read(starts):
        if is_note(message):
            places.update((message.partition, offset) for offset in noted(message))
    return places


def _stored(message: Incoming, replayed: Set[tuple[int, int]]) -> StoredLetter:
    return StoredLetter(
        partition=message.partition,
        offset=message.offset,
        stored_at=from_epoch_ms(message.timestamp_ms),
        letter=decode_dead_letter(message),
        replayed=(message.partition, message.offset) in replayed,
        complete=all(name != VALUE_BYTES for name, _ in message.headers),
    )


def _record(stored: StoredLetter) -> Record:
    letter = stored.letter
    timestamp_ms = letter.timestamp_ms
    if timestamp_ms is None or timestamp_ms < 0:
        timestamp_ms = _milliseconds(letter.at)
    if letter.reason == Reason.DATE_AHEAD:
        timestamp_ms = _milliseconds(datetime.now(UTC))
    kept = (header for header in replay_headers(letter) if header[0] != REPLAYED_HEADER)
    return Record(letter.key, letter.value, (*kept, (REPLAYED_HEADER, stored.place.encode())), timestamp_ms)


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
