"""Reading the dead-letter topic: letters, and notes of which were sent back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Final

import kafka
import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAuthorizationFailedError

from domain.errors import PermanentError, TemporaryError
from stream.admin import KafkaAdmin, why_unreachable
from stream.header_names import read_any_header_name
from stream.incoming import Headers, Incoming, incoming
from stream.kafka import KafkaConnection
from stream.topics import describe_topics, require_topics

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
    """One topic as it was when this was made. Everything here raises TemporaryError when Kafka can't be reached, and
    PermanentError when there is no such topic or we may not read it."""

    def __init__(self, connection: KafkaConnection, topic: str) -> None:
        """Blocking."""
        read_any_header_name()
        self._connection = connection
        self._topic = topic
        with KafkaAdmin(connection) as admin:
            require_topics(admin, [topic])
            [described] = describe_topics(admin, [topic])
        self.starts = {partition.number: partition.start for partition in described.partitions}
        """The first offset of each partition."""
        self.ends = {partition.number: partition.end for partition in described.partitions}
        """One past the last."""

    def since(self, at: datetime) -> Mapping[int, int]:
        """The first offset of each partition whose message is as new as that. Blocking."""
        wanted = {kafka.TopicPartition(self._topic, number): round(at.timestamp() * 1000) for number in self.starts}
        with KafkaAdmin(self._connection) as admin:
            found = admin.run(lambda client: client.list_partition_offsets(wanted))
        return {
            place.partition: answer.offset if answer.offset >= 0 else self.ends[place.partition]
            for place, answer in found.items()
        }

    async def read(self, starts: Mapping[int, int]) -> AsyncGenerator[Incoming, None]:
        """Every message from these offsets on; of a partition by rising offset."""
        left = {KafkaPartition(self._topic, number) for number, start in starts.items() if start < self.ends[number]}
        if not left:
            return
        consumer = AIOKafkaConsumer(
            client_id="groundswell-dead-letters",
            enable_auto_commit=False,
            max_partition_fetch_bytes=_FETCH_BYTES,
            **self._connection.aiokafka(),
        )
        try:
            await consumer.start()
            consumer.assign(left)
            for place in left:
                consumer.seek(place, starts[place.partition])
            while left:
                for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                    for record in records:
                        if record.offset < self.ends[place.partition]:
                            yield incoming(record)
                # What ends a log may be no message: compaction and transactions leave gaps.
                left = {place for place in left if await consumer.position(place) < self.ends[place.partition]}
        except KafkaConnectionError as error:
            raise await why_unreachable(self._connection) from error
        except TopicAuthorizationFailedError as error:
            who = self._connection.username or "this client"
            raise PermanentError(f"{who} may not read {self._topic}: grant it by an ACL") from error
        except KafkaError as error:
            raise TemporaryError(f"{self._topic} can't be read now ({type(error).__name__})") from error
        finally:
            await consumer.stop()

    async def one(self, partition: int, offset: int) -> Incoming | None:
        """The message at a place; None when there is none."""
        if not self.starts.get(partition, 0) <= offset < self.ends.get(partition, 0):
            return None
        async with aclosing(self.read({partition: offset})) as messages:
            async for message in messages:
                return message if message.offset == offset else None
        return None
