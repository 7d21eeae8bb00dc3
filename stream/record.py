"""The record stage: from the scored log to the history, then to the windows, then it is acknowledged.

Why it can be killed anywhere: the history takes each document once and says itself how far it has come, the windows are
counted from the history up to there, and a partition is read on from where the history ends, or from before that as far
as its dead letters may not have been sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, Protocol

from domain.errors import InvalidInput
from domain.log import Mark, Partition, RecordBatch, ScoredRecord
from domain.ports import Appended, History, Telemetry, TopicIds, Windows
from stream import wire
from stream.dead_letters import DeadLetter, DeadLetterWriter, dead_letter
from stream.incoming import Batch, Incoming, TopicPartition
from stream.intake import Intake, IntakePolicy, Step
from stream.kafka import KafkaConnection
from stream.offsets import Offsets
from stream.standing import Standing

STAGE: Final = "record"

_REBUILD_SECONDS: Final = 900.0
"""How long rebuilding the windows from a long history may take before the process counts as stalled."""


@dataclass(frozen=True, kw_only=True)
class RecordPolicy:
    """Bounds of the record stage. Times are in seconds."""

    reconcile_every: float = 5.0
    """How often the windows of all assigned partitions are compared with the history, and it with Kafka's logs."""
    intake: IntakePolicy = field(
        default_factory=lambda: IntakePolicy(max_batch=2000, max_batch_bytes=4 << 20, max_queued=8000)
    )


class LetterSink(Protocol):
    """Where dead letters go."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Returns when all of them are acknowledged. Raises TemporaryError when Kafka does not take them."""
        ...

    async def stop(self) -> None:
        """Close the connections."""
        ...


@dataclass(kw_only=True)
class _Run:
    """The messages of one partition in a batch, and what has become of them."""

    messages: Sequence[Incoming]
    batch: RecordBatch
    unreadable: list[DeadLetter]
    appended: Appended | None = None
    """Kept over attempts: the history was asked once, and a second answer would call everything a duplicate."""


class RecordStage:
    """Implements stream.intake.Stage."""

    def __init__(
        self,
        *,
        history: History,
        windows: Windows,
        topic_ids: TopicIds,
        offsets: Offsets,
        letters: LetterSink,
        policy: RecordPolicy,
        telemetry: Telemetry,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        # The clients are blocking, and each is for one thread at a time. Decoding goes on beside them.
        self._clients = ThreadPoolExecutor(1, "record-clients")
        self._decoder = ThreadPoolExecutor(1, "record-decode")
        self._standing = Standing(
            history=history,
            windows=windows,
            topic_ids=topic_ids,
            offsets=offsets,
            telemetry=telemetry,
            clients=self._clients,
        )
        self._offsets = offsets
        self._letters = letters
        self._policy = policy
        self._telemetry = telemetry
        self._clock = clock
        self._expected: dict[Partition, int] = {}
        """The least offset that may come next. A lower one: the log was cut off or made anew."""
        self._checked_at = 0.0

    @property
    def name(self) -> str:
        return STAGE

    @property
    def steps(self) -> tuple[Step, ...]:
        return (self.decode, self.write)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self._clients.shutdown(wait=False, cancel_futures=True)
        self._decoder.shutdown(wait=False, cancel_futures=True)
        await self._letters.stop()
        await self._offsets.close()

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Read on from where the history ends, and again from behind the group's commit if that is less."""
        seeks = await self._standing.begin(partitions)
        self._expected = {self._standing.partition(place): offset for place, offset in seeks.items()}
        self._checked_at = asyncio.get_running_loop().time()
        return seeks

    async def revoked(self) -> None:
        """Nothing: what was abandoned may still be running, and the next assignment begins anew."""

    # --- steps -------------------------------------------------------------------------------------------------------

    async def decode(self, batch: Batch) -> list[_Run]:
        """Read the messages; those that can't be read become dead letters."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoder, self._decode, batch)

    async def write(self, runs: list[_Run]) -> None:
        """Append to the history, count into the windows, and send off the dead letters."""
        loop = asyncio.get_running_loop()
        back = {run.batch.partition for run in runs if run.batch.start < self._expected[run.batch.partition]}
        if back or loop.time() - self._checked_at >= self._policy.reconcile_every:
            await self._standing.check(back)
            self._checked_at = loop.time()
            # Once is enough, should this batch have to be tried again.
            self._expected.update({run.batch.partition: run.batch.start for run in runs if run.batch.partition in back})
        await loop.run_in_executor(self._clients, self._write, runs)
        letters = [letter for run in runs for letter in (*run.unreadable, *self._refused(run))]
        if letters:
            await self._letters.send(letters)
        for letter in letters:
            self._telemetry.count("dead_letters_total", stage=STAGE, reason=letter.reason)
        for run in runs:
            self._expected[run.batch.partition] = run.batch.end
            self._measure(run)

    def _decode(self, batch: Batch) -> list[_Run]:
        return [self._run(place, messages) for place, messages in batch.by_partition().items()]

    def _run(self, place: TopicPartition, messages: Sequence[Incoming]) -> _Run:
        documents: list[tuple[int, ScoredRecord]] = []
        marks: list[tuple[int, Mark]] = []
        unreadable: list[DeadLetter] = []
        for message in messages:
            try:
                said = wire.decode(message.value)
            except InvalidInput as error:
                unreadable.append(dead_letter(message, stage=STAGE, error=error, now=self._clock()))
            else:
                if isinstance(said, ScoredRecord):
                    documents.append((message.offset, said))
                else:
                    marks.extend((message.offset, mark) for mark in said)
        batch = RecordBatch(
            partition=self._standing.partition(place),
            start=messages[0].offset,
            end=messages[-1].offset + 1,
            documents=documents,
            marks=marks,
        )
        return _Run(messages=messages, batch=batch, unreadable=unreadable)

    def _write(self, runs: Sequence[_Run]) -> None:
        with self._telemetry.timed("step_seconds", stage=STAGE, step="append"):
            new = [run for run in runs if run.appended is None]
            for run, appended in zip(new, self._standing.append([run.batch for run in new]), strict=True):
                run.appended = appended
        with self._telemetry.timed("step_seconds", stage=STAGE, step="count"):
            self._standing.count([run.batch.partition for run in runs])

    def _refused(self, run: _Run) -> Iterable[DeadLetter]:
        if run.appended is None or not run.appended.refused:
            return
        messages = {message.offset: message for message in run.messages}
        for refused in run.appended.refused:
            error = InvalidInput(refused.reason, refused.message)
            yield dead_letter(messages[refused.offset], stage=STAGE, error=error, now=self._clock())

    def _measure(self, run: _Run) -> None:
        if run.appended is None:
            return
        outcomes = {
            "new": run.appended.new - run.appended.late,
            "late": run.appended.late,
            "duplicate": run.appended.duplicates,
            "refused": len(run.appended.refused),
            "unreadable": len(run.unreadable),
        }
        for outcome, number in outcomes.items():
            if number:
                self._telemetry.count("documents_total", number, stage=STAGE, outcome=outcome)
        now = self._clock()
        for _, record in run.batch.documents:
            self._telemetry.observe("end_to_end_seconds", (now - record.scored.document.received_at).total_seconds())


def build_record(
    *,
    connection: KafkaConnection,
    scored_topic: str,
    dead_letters_topic: str,
    group: str,
    history: History,
    windows: Windows,
    topic_ids: TopicIds,
    policy: RecordPolicy,
    telemetry: Telemetry,
) -> Intake:
    """The record stage, ready for stream.runner.run."""
    stage = RecordStage(
        history=history,
        windows=windows,
        topic_ids=topic_ids,
        offsets=Offsets(connection, group),
        letters=DeadLetterWriter(connection, dead_letters_topic),
        policy=policy,
        telemetry=telemetry,
    )
    return Intake(
        connection=connection,
        group=group,
        topics=(scored_topic,),
        stage=stage,
        policy=replace(policy.intake, stall_after=max(policy.intake.stall_after, _REBUILD_SECONDS)),
        telemetry=telemetry,
    )
