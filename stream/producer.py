"""Writing to Kafka: whole record batches per partition, acknowledged by all replicas, in order, or an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder

from domain.errors import GroundswellError, PermanentError, TemporaryError
from stream.admin import no_topic, why_unreachable
from stream.incoming import Headers, TopicPartition
from stream.kafka import KafkaConnection

log = logging.getLogger(__name__)


class TooLarge(PermanentError):
    """A message is larger than its topic allows."""


class Record(NamedTuple):
    """A message to be written."""

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp_ms: int | None = None
    """None: the time of writing."""


class Producer:
    """An idempotent producer for one event loop, made anew after every failure."""

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        name: str,
        compression: str | None = None,
        max_batch_bytes: int = 900_000,
        request_timeout: float = 15.0,
    ) -> None:
        """`max_batch_bytes`: of a record batch before compression (one record may be larger); a topic allows
        1,048,588 bytes unless told. `request_timeout`: seconds until a write is given up."""
        self._connection = connection
        self._settings = {
            "client_id": f"groundswell-{name}",
            "compression_type": compression,
            "max_batch_size": max_batch_bytes,
            "request_timeout_ms": round(request_timeout * 1000),
            "metadata_max_age_ms": 60_000,
            "retry_backoff_ms": 250,
            "enable_idempotence": True,
            "acks": "all",
        }
        self._timeout = request_timeout
        self._starting: asyncio.Task[AIOKafkaProducer] | None = None

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises TemporaryError while it has none."""
        try:
            async with asyncio.timeout(self._timeout):
                return len(await (await self._started()).partitions_for(topic))
        except (KafkaError, TimeoutError, OSError) as error:
            raise await self._translated(error, topic) from error

    async def send(self, runs: Mapping[TopicPartition, Sequence[Record]]) -> None:
        """Write each partition's records in their order; returns when all of them are acknowledged.

        Raises TemporaryError when any is not (some may have been written), TooLarge when a topic does not allow one,
        PermanentError when Kafka does not let us write. Of a partition, nothing is written behind what failed.
        """
        sends = [asyncio.create_task(self._send(place, records)) for place, records in runs.items() if records]
        try:
            # Left alone, the client tries again for as long as the brokers are away, and nobody hears of it.
            async with asyncio.timeout(self._timeout):
                await asyncio.gather(*sends)
        except (KafkaError, TimeoutError, OSError) as error:
            for send in sends:
                send.cancel()
            await asyncio.gather(*sends, return_exceptions=True)
            raise await self._translated(error, ", ".join(sorted({place.topic for place in runs}))) from error

    async def stop(self) -> None:
        """Close the connections."""
        starting, self._starting = self._starting, None
        if starting is not None:
            with suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(2.0):
                    await (await starting).stop()

    async def _send(self, place: TopicPartition, records: Sequence[Record]) -> None:
        producer = await self._started()
        batch = producer.create_batch()
        for record in records:
            if not _append(batch, record):
                await (await producer.send_batch(batch, place.topic, partition=place.partition))
                batch = producer.create_batch()
                _append(batch, record)
        await (await producer.send_batch(batch, place.topic, partition=place.partition))

    async def _started(self) -> AIOKafkaProducer:
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(**self._settings, **self._connection.aiokafka())
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _translated(self, error: Exception, topic: str) -> GroundswellError:
        # A failed idempotent producer can't know which sequence numbers were used: only a new one is sure.
        await self.stop()
        where = f"Kafka at {self._connection.bootstrap_servers}"
        match error:
            case MessageSizeTooLargeError() | RecordListTooLargeError():
                return TooLarge(f"a message is larger than {topic} allows: raise its max.message.bytes")
            case AuthenticationFailedError() | SaslAuthenticationFailed():
                return await why_unreachable(self._connection)
            case TopicAuthorizationFailedError() | ClusterAuthorizationFailedError():
                return PermanentError(f"{where} does not let us write to {topic}: grant it")
            case UnknownTopicOrPartitionError():
                return no_topic(self._connection, topic)
        return TemporaryError(f"{where} did not take what was written to {topic} ({type(error).__name__})")


def _append(batch: BatchBuilder, record: Record) -> bool:
    """Whether there was room for it."""
    headers = list(record.headers)
    taken = batch.append(key=record.key, value=record.value, headers=headers, timestamp=record.timestamp_ms)
    return taken is not None


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key: murmur2, as Kafka's own clients choose it."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions
