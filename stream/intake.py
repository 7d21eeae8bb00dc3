"""From Kafka to durable results: the agent fills a bounded queue, one task makes batches of it, the stage's steps work
on them side by side, and offsets are committed strictly in order, behind batches that have come through every step."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

from domain.errors import GroundswellError, PermanentError, TemporaryError
from domain.ports import Telemetry
from stream.faust_app import MembershipPolicy, Run, StageApp
from stream.incoming import Batch, Incoming, TopicPartition
from stream.kafka import KafkaConnection
from stream.offsets import Offsets

log = logging.getLogger(__name__)

Step = Callable[[Any], Awaitable[Any]]
"""Takes what the step before it returned; the first takes a stream.incoming.Batch. A step sees one batch at a time, in
order, while the other steps work on the batches before and behind it. When the last one returns, everything that the
batch caused is durable, and its offsets are committed.

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
    """Messages waiting for a batch; when there are as many, fetching stops."""
    max_queued_bytes: int = 64 << 20
    """Bytes of their values; likewise."""
    tick: float = 1.0
    """After so long without a message an empty batch is passed through the steps."""
    commit_interval: float = 1.0
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
    """Facts for /livez and /readyz."""

    phase: Phase
    partitions: int
    """How many are assigned; a reader of an assignment without any is healthy: others have them all."""
    in_flight: int
    blocked_by: str | None
    """What a step or the stage waits for: the text of the error that it retries after."""
    failed: bool


class _Work:
    """A batch on its way through the steps."""

    __slots__ = ("batch", "epoch", "value")

    def __init__(self, batch: Batch, epoch: int) -> None:
        self.batch = batch
        self.epoch = epoch
        self.value: Any = batch


_ABANDONED: Final = object()


class Intake:
    """Reads topics as a member of a consumer group and passes batches through a stage's steps."""

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
        self.epoch = 0
        self._connection = connection
        self._group = group
        self._topics = topics
        self._policy = policy or IntakePolicy()
        self._membership = membership or MembershipPolicy()
        self._telemetry = telemetry
        self._phase = Phase.JOINING
        self._assignment: frozenset[TopicPartition] = frozenset()
        self._queue: deque[Incoming] = deque()
        self._queued_bytes = 0
        self._in_flight = 0
        self._completed: dict[TopicPartition, int] = {}
        self._blocked_by: str | None = None
        self._running_since: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the stage, join the group and begin to read; returns when all that is on its way."""
        loop = asyncio.get_running_loop()
        self._failure: asyncio.Future[None] = loop.create_future()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._released = asyncio.Event()
        self._first_step_free = asyncio.Semaphore(1)
        self._lanes: list[asyncio.Queue[_Work]] = [asyncio.Queue(maxsize=1) for _ in self.stage.steps]
        self._last_arrival = loop.time()
        self._offsets = Offsets(self._connection, self._group)
        await self.stage.start()
        self._app = StageApp(
            connection=self._connection,
            group=self._group,
            topics=self._topics,
            membership=self._membership,
            owner=self,
        )
        self._spawn(self._collect(), "collect")
        for index in range(len(self.stage.steps)):
            self._spawn(self._work(index), f"step {index}")
        self._spawn(self._commit_regularly(), "commit")
        self._spawn(self._watch(), "watch")
        await self._app.start()

    async def wait(self) -> None:
        """Return never; raise what the intake failed of, once it has."""
        await self._failure

    async def stop(self) -> None:
        """Finish what is in flight, commit, leave the group."""
        if self._phase is not Phase.RELEASING:
            await self.revoked()
        await self._app.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._offsets.close()
        await self.stage.stop()

    @property
    def health(self) -> Health:
        """Where it stands now."""
        failure = getattr(self, "_failure", None)
        return Health(
            phase=self._phase,
            partitions=len(self._assignment),
            in_flight=self._in_flight,
            blocked_by=self._blocked_by,
            failed=failure is not None and failure.done(),
        )

    @property
    def offsets(self) -> Offsets:
        """Asks Kafka about this group's offsets; for the stage."""
        return self._offsets

    async def positions(self) -> dict[TopicPartition, int]:
        """The offset that is fetched next, of each partition of the assignment. Raises TemporaryError."""
        return await self._app.positions()

    # --- what the consumer asks and tells (stream.faust_app.Owner) ---------------------------------------------------

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Let the stage get ready, however long it takes, unless the assignment ends before."""
        epoch = self.epoch
        await self._settled.wait()
        self._phase = Phase.JOINING
        self._released.clear()
        self._assignment = partitions
        self._completed.clear()
        seeks = await self._persist("assigned", partial(self.stage.assigned, partitions), epoch)
        if seeks is _ABANDONED or epoch != self.epoch:
            return {}
        self._phase = Phase.READING
        self._last_arrival = asyncio.get_running_loop().time()
        log.info("%s reads %d partitions", self.stage.name, len(partitions))
        return dict(seeks)

    async def revoked(self) -> None:
        """Finish what is in flight, within the grace, and commit it; what is queued is for the successor."""
        self._phase = Phase.RELEASING
        self._released.set()
        self._queue.clear()
        self._queued_bytes = 0
        self._room.set()
        try:
            async with asyncio.timeout(self._policy.release_grace):
                await self._settled.wait()
                await self._commit()
        except TimeoutError:
            log.warning(
                "%s abandons %d batches: they were not finished within %.0f s, and are read again",
                self.stage.name,
                self._in_flight,
                self._policy.release_grace,
            )
        self.epoch += 1
        self._completed.clear()
        self._assignment = frozenset()
        await self.stage.revoked()

    async def offer(self, run: Run) -> None:
        """Queue a run; returns when there is room for another."""
        if self._phase is not Phase.READING or run.epoch != self.epoch:
            return
        self._queue.extend(run.messages)
        self._queued_bytes += sum(_size(message) for message in run.messages)
        self._last_arrival = asyncio.get_running_loop().time()
        self._arrived.set()
        self._telemetry.gauge("queue_documents", len(self._queue), stage=self.stage.name)
        while len(self._queue) >= self._policy.max_queued or self._queued_bytes >= self._policy.max_queued_bytes:
            self._room.clear()
            await self._room.wait()

    # --- batches -----------------------------------------------------------------------------------------------------

    async def _collect(self) -> None:
        while True:
            await self._first_step_free.acquire()
            batch = await self._next_batch()
            if batch.messages:
                self._telemetry.observe("batch_documents", len(batch), stage=self.stage.name)
            self._in_flight += 1
            self._settled.clear()
            await self._lanes[0].put(_Work(batch, self.epoch))

    async def _next_batch(self) -> Batch:
        policy, clock = self._policy, asyncio.get_running_loop().time
        while not self._queue:
            arrived = await self._arrives_within(policy.tick)
            if not arrived and self._phase is Phase.READING and not self._in_flight:
                return Batch([])
        deadline = clock() + policy.max_wait
        while len(self._queue) < policy.max_batch and self._queued_bytes < policy.max_batch_bytes:
            if not await self._arrives_within(deadline - clock()):
                break
        return Batch(self._take())

    async def _arrives_within(self, seconds: float) -> bool:
        self._arrived.clear()
        if seconds <= 0:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def _take(self) -> list[Incoming]:
        taken: list[Incoming] = []
        total = 0
        while self._queue and len(taken) < self._policy.max_batch:
            size = _size(self._queue[0])
            if taken and total + size > self._policy.max_batch_bytes:
                break
            total += size
            taken.append(self._queue.popleft())
        self._queued_bytes -= total
        self._room.set()
        return taken

    # --- steps -------------------------------------------------------------------------------------------------------

    async def _work(self, index: int) -> None:
        step = self.stage.steps[index]
        name = getattr(step, "__name__", str(index)).strip("_")
        while True:
            work = await self._lanes[index].get()
            if index == 0:
                self._first_step_free.release()
            value = await self._persist(name, partial(self._timed, step, name, work.value), work.epoch)
            if value is _ABANDONED:
                self._settle()
            elif index + 1 < len(self._lanes):
                work.value = value
                await self._lanes[index + 1].put(work)
            else:
                self._complete(work)

    async def _timed(self, step: Step, name: str, value: Any) -> Any:
        with self._telemetry.timed("step_seconds", stage=self.stage.name, step=name):
            return await step(value)

    async def _persist(self, name: str, attempt: Callable[[], Awaitable[Any]], epoch: int) -> Any:
        """Try until it succeeds; `_ABANDONED` once the epoch is over, or is ending and the attempt failed."""
        clock = asyncio.get_running_loop().time
        delay = self._policy.retry_first
        while epoch == self.epoch:
            self._running_since[name] = clock()
            try:
                value = await attempt()
            except TemporaryError as error:
                reason, wait = str(error), error.delay or delay
            except Exception as error:
                self._fail(error)
                return _ABANDONED
            else:
                if self._blocked_by is not None:
                    log.info("%s goes on: %s succeeded", self.stage.name, name)
                    self._blocked_by = None
                return value
            finally:
                del self._running_since[name]
            if self._blocked_by != reason:
                log.warning("%s waits: %s", self.stage.name, reason)
                self._blocked_by = reason
            if await self._released_within(wait):
                # What comes behind this batch must not be committed past it.
                self.epoch += 1
                self._blocked_by = None
            delay = min(delay * 2, self._policy.retry_most)
        return _ABANDONED

    async def _released_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._released.wait()
        except TimeoutError:
            return False
        return True

    def _complete(self, work: _Work) -> None:
        if work.epoch == self.epoch:
            for message in work.batch.messages:
                self._completed[TopicPartition(message.topic, message.partition)] = message.offset + 1
            if work.batch.messages:
                newest = max(message.timestamp_ms for message in work.batch.messages)
                self._telemetry.gauge("last_record_timestamp_seconds", newest / 1000, stage=self.stage.name)
        self._settle()

    def _settle(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._settled.set()

    # --- offsets -----------------------------------------------------------------------------------------------------

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(self._policy.commit_interval)
            await self._commit()

    async def _commit(self) -> None:
        if self._completed:
            completed, self._completed = self._completed, {}
            await self._app.commit_positions(completed)

    # --- watching ----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        clock = asyncio.get_running_loop().time
        patience = self._policy.stall_after
        while True:
            await asyncio.sleep(min(1.0, patience / 4))
            now = clock()
            if self._app.crashed:
                raise PermanentError(f"the Kafka consumer failed: {self._app.crash_reason!r}")
            for name, since in self._running_since.items():
                if now - since > patience:
                    raise PermanentError(f"the step {name} has not returned for {patience:.0f} s: a restart is needed")
            if self._phase is Phase.READING and not self._in_flight and now - self._last_arrival > patience:
                await self._check_that_nothing_waits()
                self._last_arrival = clock()

    async def _check_that_nothing_waits(self) -> None:
        patience = self._policy.stall_after
        try:
            ends = await self._offsets.ends(self._assignment)
            async with asyncio.timeout(patience):
                positions = await self.positions()
        except TemporaryError as error:
            log.warning("%s: %s", self.stage.name, error)
            return
        except TimeoutError as error:
            raise PermanentError("Kafka answers, its consumer does not: a restart is needed") from error
        waiting = sum(max(0, end - positions[place]) for place, end in ends.items() if place in positions)
        if waiting:
            raise PermanentError(f"{waiting} messages wait, none came for {patience:.0f} s: a restart is needed")

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"{self.stage.name} {name}")
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            if isinstance(error, GroundswellError):
                log.critical("%s can't go on: %s", self.stage.name, error)
            else:
                log.critical("%s can't go on", self.stage.name, exc_info=error)
            self._failure.set_exception(error)


def _size(message: Incoming) -> int:
    return len(message.value) if message.value is not None else 0
