"""What comes in from Kafka: messages, and batches of them, without a trace of the library that fetched them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

Headers = tuple[tuple[str, bytes | None], ...]
"""Kafka headers: names may repeat, values may be null."""


class TopicPartition(NamedTuple):
    """A partition of a topic by name. (domain.log.Partition names one incarnation of it.)"""

    topic: str
    partition: int


class Incoming(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message as Kafka holds it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The record's timestamp: milliseconds since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()

    @property
    def place(self) -> TopicPartition:
        """The partition that it lies in."""
        return TopicPartition(self.topic, self.partition)


def incoming(record: Any) -> Incoming:
    """What aiokafka fetched, as a message."""
    return Incoming(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )


class Batch:
    """Messages in the order of their arrival: within a partition by rising offset. An empty batch is a tick: nothing
    came for a while, and nothing is in flight."""

    __slots__ = ("messages",)

    def __init__(self, messages: Sequence[Incoming]) -> None:
        self.messages = messages

    def __len__(self) -> int:
        return len(self.messages)

    def by_partition(self) -> dict[TopicPartition, list[Incoming]]:
        """The messages of each partition, by rising offset."""
        groups: dict[TopicPartition, list[Incoming]] = {}
        for message in self.messages:
            groups.setdefault(message.place, []).append(message)
        return groups
