"""Getting a feed's documents into Kafka: in order, acknowledged, and ended by marks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from domain.errors import TemporaryError
from stream import marks
from stream.admin import KafkaAdmin
from stream.incoming import TopicPartition
from stream.kafka import KafkaConnection
from stream.producer import Producer, Record, partition_for
from stream.topics import require_topics

log = logging.getLogger(__name__)

_FLUSH_AT: Final = 4 << 20
"""Bytes that are kept at most before they are sent."""
_CONNECT_TIMEOUT: Final = 5.0
_PATIENCE: Final = 120.0
"""Seconds for which a Kafka that does not answer is waited for: it may be restarting."""
_RETRY_AFTER: Final = 1.0


class FeedSender:
    """Collects messages, then sends each partition's together. For one event loop."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._producer = Producer(connection, name="feed")
        self._partitions: dict[str, int] = {}
        self._collected: dict[TopicPartition, list[Record]] = {}
        self._size = 0
        self._written: set[str] = set()

    async def start(self, topics: Iterable[str]) -> None:
        """Raises TemporaryError when Kafka can't be reached, PermanentError when it refuses us or has no such topic."""
        names = tuple(topics)
        await asyncio.to_thread(self._require, names)
        for topic in names:
            self._partitions[topic] = await self._producer.partitions(topic)

    async def send(self, topic: str, key: bytes, value: bytes) -> None:
        """Collect a message; sends when there are many."""
        place = TopicPartition(topic, partition_for(key, self._partitions[topic]))
        self._collected.setdefault(place, []).append(Record(key, value))
        self._size += len(key) + len(value)
        if self._size >= _FLUSH_AT:
            await self.flush()

    async def flush(self) -> None:
        """Returns when all that was collected is acknowledged. While Kafka does not answer it is tried again: what was
        written already is written twice then, and counts once."""
        if not self._collected:
            return
        delivery = asyncio.create_task(self._deliver())
        try:
            await asyncio.shield(delivery)
        except asyncio.CancelledError:
            # Nobody can tell what of it is in Kafka already: sent again, it would be there twice.
            await delivery
            raise

    async def _deliver(self) -> None:
        clock = asyncio.get_running_loop().time
        deadline: float | None = None
        while True:
            try:
                await self._producer.send(self._collected)
                break
            except TemporaryError as error:
                if deadline is None:
                    deadline = clock() + _PATIENCE
                    log.warning("the feed waits: %s", error)
                elif clock() >= deadline:
                    raise
                await asyncio.sleep(_RETRY_AFTER)
        self._written |= {place.topic for place in self._collected}
        self._collected = {}
        self._size = 0

    async def mark_ends(self, at: datetime) -> None:
        """Say in every partition of the topics written to that everything before `at` has been sent."""
        mark = Record(None, marks.encode_end(at), marks.end_headers())
        for topic in self._written:
            for number in range(self._partitions[topic]):
                self._collected[TopicPartition(topic, number)] = [mark]
        await self.flush()

    async def stop(self) -> None:
        """Close the connections."""
        await self._producer.stop()

    def _require(self, topics: tuple[str, ...]) -> None:
        with KafkaAdmin(self._connection, timeout=_CONNECT_TIMEOUT) as admin:
            require_topics(admin, topics)
