"""Getting a feed's documents into Kafka: in order, acknowledged, and ended by marks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from domain.errors import GroundswellError, PermanentError, TemporaryError
from stream.admin import why_unreachable
from stream.kafka import KafkaConnection

MARK_HEADER: Final = "groundswell.mark"
END: Final = b"end"

_METADATA_TIMEOUT: Final = 10.0
_DELIVERY_TIMEOUT_MS: Final = 120_000
"""Long enough for a broker to be restarted meanwhile."""


class FeedSender:
    """Sends messages and keeps those that are not acknowledged yet. `open_sender` makes one."""

    def __init__(self, producer: AIOKafkaProducer, connection: KafkaConnection) -> None:
        self._producer = producer
        self._connection = connection
        self._pending: deque[asyncio.Future[object]] = deque()
        self._written: set[str] = set()

    async def check(self, topics: Iterable[str]) -> None:
        """Raises PermanentError when a topic is missing."""
        for topic in topics:
            try:
                async with asyncio.timeout(_METADATA_TIMEOUT):
                    await self._producer.partitions_for(topic)
            except (TimeoutError, UnknownTopicOrPartitionError) as error:
                raise PermanentError(
                    f"there is no topic {topic} in Kafka at {self._connection.bootstrap_servers}: make it with "
                    "`groundswell topics create`"
                ) from error
            except KafkaError as error:
                raise await translate(error, self._connection) from error

    async def send(self, topic: str, key: bytes, value: bytes) -> None:
        """Returns when the message has its place in the order; waits while there is no room for it."""
        try:
            self._pending.append(await self._producer.send(topic, value, key))
            self._written.add(topic)
            while self._pending and self._pending[0].done():
                self._pending.popleft().result()
        except KafkaError as error:
            raise await translate(error, self._connection) from error

    async def flush(self) -> None:
        """Returns when all that was sent is acknowledged."""
        try:
            while self._pending:
                await self._pending[0]
                self._pending.popleft()
        except KafkaError as error:
            raise await translate(error, self._connection) from error

    async def mark_ends(self, at: datetime) -> None:
        """Say in every partition of the topics written to that everything before `at` has been sent."""
        value = msgspec.json.encode({"at": at})
        try:
            for topic in sorted(self._written):
                for partition in sorted(await self._producer.partitions_for(topic)):
                    await self._producer.send_and_wait(topic, value, partition=partition, headers=[(MARK_HEADER, END)])
        except KafkaError as error:
            raise await translate(error, self._connection) from error


@asynccontextmanager
async def open_sender(connection: KafkaConnection) -> AsyncIterator[FeedSender]:
    """A connected sender. Raises TemporaryError when Kafka can't be reached."""
    producer = AIOKafkaProducer(
        client_id="groundswell-feed",
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        max_batch_size=256 << 10,
        max_request_size=4 << 20,
        request_timeout_ms=_DELIVERY_TIMEOUT_MS,
        **connection.aiokafka(),
    )
    try:
        try:
            await producer.start()
        except KafkaError as error:
            raise await translate(error, connection) from error
        yield FeedSender(producer, connection)
    finally:
        await producer.stop()


async def translate(error: KafkaError, connection: KafkaConnection) -> GroundswellError:
    """aiokafka's error in our words, with what to do about it."""
    where = f"Kafka at {connection.bootstrap_servers}"
    match error:
        case TopicAuthorizationFailedError() | ClusterAuthorizationFailedError():
            who = connection.username or "this client"
            return PermanentError(f"{where} does not allow this to {who} ({type(error).__name__}): grant it by an ACL")
        case MessageSizeTooLargeError():
            return PermanentError(f"{where} refuses a document for its size: raise the topic's max.message.bytes")
        case KafkaConnectionError() | KafkaTimeoutError():
            return await why_unreachable(connection)
        case _:
            return TemporaryError(f"{where} does not take messages now ({type(error).__name__})")
