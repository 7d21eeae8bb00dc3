"""Reading the dead-letter topic: letters, and notes of which were sent back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import AuthorizationError, KafkaConnectionError, KafkaError

from domain.errors import PermanentError, TemporaryError
from stream.admin import why_unreachable
from stream.incoming import Headers, Incoming
from stream.kafka import KafkaConnection

REPLAYED_HEADER: Final = "groundswell.replayed"
"""On a message of the dead-letter topic: it is a note of which letters of its partition were sent back. On a message of
a source topic: it was sent back, from this place (`partition:offset`)."""

_FETCH_BYTES: Final = 64 << 20
_POLL_MS: Final = 500


def note_of(offsets: Iterable[int]) -> tuple[bytes, Headers]:
    """The value and headers of a note that these letters of a partition were sent back."""
    return msgspec.json.encode(sorted(offsets)), ((REPLAYED_HEADER, b""),)


def is_note(message: Incoming) -> bool:
    """Whether it is such a note, rather than a letter. (A letter may have been sent back before, and then says where
    it lay.)"""
    return any(name == REPLAYED_HEADER and not value for name, value in message.headers)


def noted(message: Incoming) -> frozenset[int]:
    """The offsets that a note names; none when it can't be read."""
    try:
        return frozenset(msgspec.json.decode(message.value or b"", type=list[int]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return frozenset()


class LetterLog:
    """Messages of one topic, from the beginning or a moment to where it ends when opened. `open_log` makes one."""

    def __init__(
        self, consumer: AIOKafkaConsumer, topic: str, *, starts: Mapping[int, int], ends: Mapping[int, int]
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self.starts = starts
        """The first offset of each partition."""
        self.ends = ends
        """One past the last."""

    async def since(self, at: datetime) -> Mapping[int, int]:
        """The first offset of each partition whose message is as new as that."""
        wanted = {KafkaPartition(self._topic, number): round(at.timestamp() * 1000) for number in self.starts}
        found = await self._consumer.offsets_for_times(wanted)
        return {
            place.partition: self.ends[place.partition] if answer is None else answer.offset
            for place, answer in found.items()
        }

    async def read(self, starts: Mapping[int, int] | None = None) -> AsyncGenerator[Incoming, None]:
        """Every message from these offsets on; of a partition by rising offset."""
        starts = self.starts if starts is None else starts
        left = {number for number, start in starts.items() if start < self.ends[number]}
        self._consumer.assign([KafkaPartition(self._topic, number) for number in left])
        for number in left:
            self._consumer.seek(KafkaPartition(self._topic, number), starts[number])
        while left:
            for place, records in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
                for record in records:
                    if record.offset < self.ends[place.partition]:
                        yield _incoming(record)
            for number in sorted(left):
                # What ends a log may be no message: compaction and transactions leave gaps.
                if await self._consumer.position(KafkaPartition(self._topic, number)) >= self.ends[number]:
                    left.discard(number)

    async def one(self, partition: int, offset: int) -> Incoming | None:
        """The message at a place; None when there is none."""
        if not self.starts.get(partition, 0) <= offset < self.ends.get(partition, 0):
            return None
        async with aclosing(self.read({partition: offset})) as messages:
            async for message in messages:
                return message if message.offset == offset else None
        return None


@asynccontextmanager
async def open_log(connection: KafkaConnection, topic: str) -> AsyncIterator[LetterLog]:
    """Opening and reading raise TemporaryError when Kafka can't be reached, PermanentError when there is no such topic
    or we may not read it."""
    consumer = AIOKafkaConsumer(
        client_id="groundswell-dead-letters",
        enable_auto_commit=False,
        max_partition_fetch_bytes=_FETCH_BYTES,
        **connection.aiokafka(),
    )
    try:
        await consumer.start()
        await consumer.topics()
        numbers = consumer.partitions_for_topic(topic)
        if not numbers:
            raise PermanentError(
                f"there is no topic {topic} in Kafka at {connection.bootstrap_servers}: make it with "
                "`groundswell topics create`"
            )
        places = [KafkaPartition(topic, number) for number in numbers]
        starts, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        yield LetterLog(
            consumer,
            topic,
            starts={place.partition: offset for place, offset in starts.items()},
            ends={place.partition: offset for place, offset in ends.items()},
        )
    except KafkaConnectionError as error:
        raise await why_unreachable(connection) from error
    except AuthorizationError as error:
        raise PermanentError(
            f"{connection.username or 'this client'} may not read {topic}: grant it by an ACL"
        ) from error
    except KafkaError as error:
        raise TemporaryError(f"{topic} can't be read now ({type(error).__name__})") from error
    finally:
        await consumer.stop()


def _incoming(record: Any) -> Incoming:
    return Incoming(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
