"""Where Kafka's logs begin and end, and how far a consumer group has come: asked, not remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import AuthenticationFailedError, KafkaError, SaslAuthenticationFailed

from domain.errors import TemporaryError
from stream.admin import no_topic, why_unreachable
from stream.incoming import TopicPartition
from stream.kafka import KafkaConnection

T = TypeVar("T")

_METADATA_TIMEOUT = 5.0
"""Seconds."""


class Offsets:
    """Asks the brokers on the running event loop, without joining the group.

    Every method raises TemporaryError when Kafka does not answer within `timeout` seconds, and PermanentError when it
    refuses our login.
    """

    def __init__(self, connection: KafkaConnection, group: str, *, timeout: float = 15.0) -> None:
        self._connection = connection
        self._group = group
        self._timeout = timeout
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def connect(self) -> None:
        """Find out whether Kafka can be reached."""
        await self._ask(_nothing)

    async def beginnings(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset that each log still holds."""
        wanted = _kafka(partitions)
        return _ours(await self._ask(lambda consumer: consumer.beginning_offsets(wanted), about=wanted))

    async def ends(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset that the next message of each log will get."""
        wanted = _kafka(partitions)
        return _ours(await self._ask(lambda consumer: consumer.end_offsets(wanted), about=wanted))

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """How far the group has committed, for the partitions where it has at all."""
        found: dict[TopicPartition, int] = {}
        for partition in partitions:
            offset = await self._ask(_committed(partition))
            if offset is not None:
                found[partition] = offset
        return found

    async def close(self) -> None:
        """Drop the connections; a later question opens them again."""
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await consumer.stop()

    async def _ask(
        self, question: Callable[[AIOKafkaConsumer], Awaitable[T]], *, about: Iterable[KafkaPartition] = ()
    ) -> T:
        async with self._lock:
            try:
                async with asyncio.timeout(self._timeout):
                    return await question(await self._connected())
            except (AuthenticationFailedError, SaslAuthenticationFailed) as error:
                await self.close()
                raise await why_unreachable(self._connection) from error
            except (KafkaError, TimeoutError, OSError) as error:
                gone = await self._gone({partition.topic for partition in about})
                await self.close()
                if gone:
                    raise no_topic(self._connection, ", ".join(gone)) from error
                # Whatever it is: it answered before, or is only being started.
                raise TemporaryError(str(await why_unreachable(self._connection))) from error

    async def _gone(self, topics: set[str]) -> list[str]:
        """Those which the brokers, if they answer, do not know: the client asks for them until time is up."""
        if self._consumer is None or not topics:
            return []
        with suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(_METADATA_TIMEOUT):
                return sorted(topics - (await self._consumer._client.fetch_all_metadata()).topics())
        return []

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                group_id=self._group,
                enable_auto_commit=False,
                client_id="groundswell-offsets",
                retry_backoff_ms=250,
                **self._connection.aiokafka(),
            )
            self._consumer = consumer
            await consumer.start()
        return self._consumer


async def _nothing(_: AIOKafkaConsumer) -> None:
    pass


def _committed(partition: TopicPartition) -> Callable[[Any], Awaitable[int | None]]:
    return lambda consumer: consumer.committed(KafkaPartition(*partition))


def _kafka(partitions: Iterable[TopicPartition]) -> list[KafkaPartition]:
    return [KafkaPartition(*partition) for partition in partitions]


def _ours(offsets: dict[KafkaPartition, int]) -> dict[TopicPartition, int]:
    return {TopicPartition(*partition): offset for partition, offset in offsets.items()}
