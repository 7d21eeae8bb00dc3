"""From Kafka to durable results: a Faust agent fills a bounded queue, one task makes batches of it, and offsets are
acknowledged strictly in order once a batch has come through every step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from domain.ports import Telemetry
from stream.incoming import TopicPartition
from stream.kafka import KafkaConnection

Step = Callable[[Any], Awaitable[Any]]
"""Takes what the step before it returned; the first takes a stream.incoming.Batch. A step sees one batch at a time, in
order, while the other steps work on the batches before and behind it. When the last one returns, everything that the
batch caused is durable, and its offsets are acknowledged.

A step that raises TemporaryError is called again with the same value after a back-off, until it succeeds or the
partitions are revoked: it must be idempotent. Any other error ends the process. Blocking work belongs in a thread.
"""


class Stage(Protocol):
    """What is done with the messages: `classify` or `record`."""

    @property
    def name(self) -> str:
        """A metric label."""
        ...

    @property
    def steps(self) -> tuple[Step, ...]: ...

    async def start(self) -> None:
        """Called once on the running event loop, before anything is read."""
        ...

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Called after each rebalance, before anything of the new assignment is read and while nothing is in flight.
        Returns where to read from, for partitions that are not to be read from their committed offset. TemporaryError
        is retried until the next rebalance."""
        ...

    async def revoked(self) -> None:
        """Called when the assignment is lost, after what was in flight has ended or was abandoned."""
        ...

    async def stop(self) -> None:
        """Called once at the end."""
        ...


@dataclass(frozen=True, kw_only=True)
class IntakePolicy:
    """How batches are made. Times are in seconds."""

    max_batch: int = 256
    """Messages in a batch, at most."""
    max_batch_bytes: int = 1 << 20
    """Bytes of values in a batch, at most (one message may be larger)."""
    max_wait: float = 0.1
    """How long a message waits for its batch to fill."""
    max_queued: int = 4096
    """Messages waiting for a batch, at most; beyond it fetching stops."""
    tick: float = 1.0
    """After so long without a message an empty batch is passed through the steps."""
    retry_first: float = 0.2
    retry_most: float = 5.0
    """Back-off of a step that failed temporarily: doubles from the first to the most."""
    release_grace: float = 10.0
    """How long a revoked assignment or a shutdown waits for batches in flight before it abandons them."""
    stall_after: float = 120.0
    """A step that has not returned for so long ends the process."""


class Intake:
    """Reads topics as a member of a consumer group and passes batches through a stage's steps."""

    def __init__(
        self,
        *,
        connection: KafkaConnection,
        group: str,
        topics: tuple[str, ...],
        stage: Stage,
        policy: IntakePolicy,
        telemetry: Telemetry,
    ) -> None:
        raise NotImplementedError
