"""From Kafka to durable results: the agent fills a bounded queue, one task makes batches of it, the stage's steps work
on them side by side, and offsets are committed strictly in order, behind batches that have come through every step."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

from domain.errors import GroundswellError, TemporaryError
from domain.ports import Telemetry
from stream.batching import BatchPolicy, MessageQueue
from stream.faust_app import MembershipPolicy, StageApp
from stream.incoming import Batch, TopicPartition
from stream.kafka import KafkaConnection
from stream.offsets import Offsets
from stream.pipeline import ABANDONED, Pipeline, Step
from stream.run_consumer import Position, Run
from stream.watchdog import Watchdog

log = logging.getLogger(__name__)

__all__ = ["Health", "Intake", "IntakePolicy", "Phase", "Stage", "Step"]


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
    """How messages are taken in. Times are in seconds."""

    max_batch: int = 256
    """Messages in a batch, at most."""
    max_batch_bytes: int = 1 << 20
    """Bytes of values in a batch, at most (one message may be larger)."""
    max_wait: float = 0.1
    """How long a message waits for its batch to fill."""
    max_queued: int = 4096
    """Messages waiting for a batch; when there are as many, fetching stops."""
    max_queued_bytes: int = 64 << 20
    """Bytes of their values; likewise."""
    tick: float = 1.0
    """After so long without a message an empty batch is passed through the steps."""
    commit_interval: float = 1.0
    ask_interval: float = 5.0
    """How often Kafka is asked whether it is there."""
    retry_first: float = 0.2
    retry_most: float = 5.0
    """Back-off of a step that failed temporarily: doubles from the first to the most."""
    release_grace: float = 8.0
    """How long a revoked assignment or a shutdown waits for batches in flight before it abandons them."""
    stall_after: float = 120.0
    """A step that has not returned for so long, or messages that nobody fetches, end the process."""


class Phase(StrEnum):
    """Where an intake stands."""

    JOINING = "joining"
    """It waits for partitions, or for the stage to be ready for those that it has."""
    READING = "reading"
    RELEASING = "releasing"
    """Its assignment ends: what is in flight is finished."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """Where an intake stands, for whoever runs it in its own process."""

    phase: Phase
    partitions: int
    """How many are assigned; a reader of an assignment without any is healthy: others have them all."""
    in_flight: int
    """Batches."""
    blocked_by: str | None
    """What a step or the stage waits for: the text of the error that it retries after."""
    failed: bool


class Intake:
    """Reads topics as a member of a consumer group and passes batches through a stage's steps.

    Implements stream.run_consumer.Owner: an epoch is the time from one assignment of partitions to the next.
    """

    def __init__(
        self,
        *,
        connection: KafkaConnection,
        group: str,
        topics: tuple[str, ...],
        stage: Stage,
        telemetry: Telemetry,
        policy: IntakePolicy | None = None,
        membership: MembershipPolicy | None = None,
    ) -> None:
        self.stage = stage
        self._policy = policy = policy or IntakePolicy()
        self._telemetry = telemetry
        self._queue = MessageQueue(
            BatchPolicy(
                max_batch=policy.max_batch,
                max_batch_bytes=policy.max_batch_bytes,
                max_wait=policy.max_wait,
                max_queued=policy.max_queued,
                max_queued_bytes=policy.max_queued_bytes,
            )
        )
        self._pipeline = Pipeline(
            stage.name,
            stage.steps,
            completed=self._complete,
            failed=self._fail,
            retry_first=policy.retry_first,
            retry_most=policy.retry_most,
            telemetry=telemetry,
        )
        self._offsets = Offsets(connection, group)
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._watchdog = Watchdog(
            stage.name,
            assignment=lambda: self._assignment,
            pipeline=self._pipeline,
            offsets=self._offsets,
            ask_interval=policy.ask_interval,
            stall_after=policy.stall_after,
        )
        self._make_app = partial(
            StageApp,
            connection=connection,
            group=group,
            topics=topics,
            membership=membership or MembershipPolicy(),
            owner=self,
        )
        self._app: StageApp | None = None
        self._phase = Phase.JOINING
        self._reading_epoch = -1
        self._completed: dict[TopicPartition, int] = {}
        """What is to be committed."""
        self._committing = asyncio.Lock()
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Wait for Kafka, start the stage, join the group and begin to read; returns when all that is on its way."""
        if await self._pipeline.persist("connect", self._offsets.connect, self.epoch) is ABANDONED:
            return
        await self.stage.start()
        self._app = self._make_app()
        for work in (
            self._collect(),
            *self._pipeline.tasks(),
            self._commit_regularly(self._app),
            *self._watchdog.tasks(self._app),
        ):
            self._spawn(work)
        await self._app.start()

    async def wait(self) -> None:
        """Return never; raise what the intake failed of, once it has."""
        await self._failed.wait()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Finish what is in flight, commit, leave the group."""
        if self._app is not None:
            await self.revoked()
            await self._app.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._offsets.close()
        await self.stage.stop()

    @property
    def health(self) -> Health:
        """Where it stands now. May be asked from any thread."""
        return Health(
            phase=self._phase,
            partitions=len(self._assignment),
            in_flight=self._pipeline.in_flight,
            blocked_by=next(iter((*self._pipeline.blocked_by.values(), self._watchdog.away)), None),
            failed=self._failed.is_set(),
        )

    async def positions(self) -> dict[TopicPartition, Position]:
        """Of each partition of the assignment. Raises TemporaryError."""
        if self._app is None:
            raise TemporaryError("the group has not been joined")
        return await self._app.positions()

    # --- what the consumer asks and tells ----------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Changes whenever an assignment ends."""
        return self._pipeline.epoch

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Let the stage get ready, however long it takes, unless the assignment ends before."""
        epoch = self.epoch
        await self._pipeline.settled.wait()
        if epoch != self.epoch:
            return {}
        self._phase = Phase.JOINING
        self._watchdog.paused()
        self._pipeline.begin_epoch()
        self._assignment = partitions
        seeks = await self._pipeline.persist("assigned", partial(self.stage.assigned, partitions), epoch)
        if seeks is ABANDONED or epoch != self.epoch:
            return {}
        self._phase = Phase.READING
        self._reading_epoch = epoch
        self._watchdog.arrived()
        log.info("%s reads %d partitions", self.stage.name, len(partitions))
        return dict(seeks)

    async def revoked(self) -> None:
        """Finish what is in flight, within the grace, and commit it; what is queued is for the successor."""
        self._phase = Phase.RELEASING
        self._watchdog.paused()
        self._pipeline.release()
        self._queue.clear()
        try:
            async with asyncio.timeout(self._policy.release_grace):
                await self._pipeline.settled.wait()
                if self._app is not None:
                    await self._commit(self._app)
        except TimeoutError:
            log.warning(
                "%s gives its partitions up after %.0f s with %d batches in flight: they will be read again",
                self.stage.name,
                self._policy.release_grace,
                self._pipeline.in_flight,
            )
        self._pipeline.end_epoch()
        self._completed.clear()
        self._assignment = frozenset()
        await self.stage.revoked()

    async def offer(self, run: Run) -> None:
        """Queue a run; returns when there is room for another."""
        if self._phase is Phase.READING and run.epoch == self.epoch:
            self._watchdog.arrived()
            await self._queue.put(run.messages)

    # --- batches -----------------------------------------------------------------------------------------------------

    async def _collect(self) -> None:
        while True:
            await self._pipeline.ready()
            batch = await self._next_batch()
            if batch.messages:
                self._telemetry.observe("batch_documents", len(batch), stage=self.stage.name)
            await self._pipeline.submit(batch, self._reading_epoch)

    async def _next_batch(self) -> Batch:
        while True:
            if await self._queue.arrives_within(self._policy.tick):
                if messages := await self._queue.take():
                    self._telemetry.gauge("queue_documents", len(self._queue), stage=self.stage.name)
                    return Batch(messages)
            elif self._phase is Phase.READING and not self._pipeline.in_flight:
                return Batch([])

    def _complete(self, batch: Batch) -> None:
        for place, messages in batch.by_partition().items():
            self._completed[place] = messages[-1].offset + 1
        if batch.messages:
            newest = max(message.timestamp_ms for message in batch.messages)
            self._telemetry.gauge("last_record_timestamp_seconds", newest / 1000, stage=self.stage.name)

    # --- offsets -----------------------------------------------------------------------------------------------------

    async def _commit_regularly(self, app: StageApp) -> None:
        while True:
            await asyncio.sleep(self._policy.commit_interval)
            await self._commit(app)

    async def _commit(self, app: StageApp) -> None:
        async with self._committing:
            if self._completed:
                completed, self._completed = self._completed, {}
                await app.commit_positions(completed)

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if self._failed.is_set():
            return
        if isinstance(error, GroundswellError):
            log.critical("%s can't go on: %s", self.stage.name, error)
        else:
            log.critical("%s can't go on", self.stage.name, exc_info=error)
        self._failure = error
        self._failed.set()
