"""Batches are made, worked on and committed in order, whatever fails, is revoked or hangs; Kafka is played here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from domain.errors import PermanentError, TemporaryError
from domain.ports import NoTelemetry
from stream import intake as intake_module
from stream.incoming import Batch, Incoming, TopicPartition
from stream.intake import Intake, IntakePolicy, Phase, Step
from stream.kafka import KafkaConnection
from stream.run_consumer import Position, Run

A, B = TopicPartition("news", 0), TopicPartition("news", 1)
POLICY = IntakePolicy(
    max_batch=3, max_wait=0.02, tick=0.05, commit_interval=0.02, retry_first=0.01, retry_most=0.02, release_grace=0.5
)


def message(place: TopicPartition, offset: int, size: int = 1) -> Incoming:
    return Incoming(
        topic=place.topic, partition=place.partition, offset=offset, timestamp_ms=offset, key=None, value=b"x" * size
    )


class FakeApp:
    """Remembers what is committed."""

    def __init__(self, **settings: Any) -> None:
        self.committed: list[dict[TopicPartition, int]] = []
        self.crashed = False
        self.crash_reason: BaseException | None = None
        self.commits_hang = False

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def commit_positions(self, offsets: Mapping[TopicPartition, int]) -> bool:
        if self.commits_hang:
            await asyncio.sleep(60)
        self.committed.append(dict(offsets))
        return True

    async def positions(self) -> dict[TopicPartition, Position]:
        return {A: Position(0, 0)}


class FakeOffsets:
    def __init__(self, *_: Any) -> None: ...

    async def connect(self) -> None: ...

    async def ends(self, places: Any) -> dict[TopicPartition, int]:
        return {A: 5}

    async def close(self) -> None: ...


class Recorder:
    """A stage of two steps that remembers what it saw."""

    name = "test"

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []
        self.finished: list[tuple[int, int]] = []
        self.ticks = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.calls: list[str] = []
        self.assign_errors: list[Exception] = []

    @property
    def steps(self) -> tuple[Step, ...]:
        return (self.first, self.last)

    async def start(self) -> None:
        self.calls.append("start")

    async def stop(self) -> None:
        self.calls.append("stop")

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        if self.assign_errors:
            raise self.assign_errors.pop(0)
        self.calls.append("assigned")
        return {A: 7}

    async def revoked(self) -> None:
        self.calls.append("revoked")

    async def first(self, batch: Batch) -> list[tuple[int, int]]:
        if not batch.messages:
            self.ticks += 1
        else:
            self.batches.append([(m.partition, m.offset) for m in batch.messages])
        return [(m.partition, m.offset) for m in batch.messages]

    async def last(self, seen: list[tuple[int, int]]) -> None:
        await self.gate.wait()
        if seen and self.errors:
            raise self.errors.pop(0)
        self.finished.extend(seen)


@asynccontextmanager
async def reading(
    monkeypatch: pytest.MonkeyPatch, stage: Any, policy: IntakePolicy = POLICY
) -> AsyncIterator[tuple[Intake, FakeApp]]:
    monkeypatch.setattr(intake_module, "StageApp", FakeApp)
    monkeypatch.setattr(intake_module, "Offsets", FakeOffsets)
    intake = Intake(
        connection=KafkaConnection(bootstrap_servers="nowhere:1"),
        group="g",
        topics=("news",),
        stage=stage,
        telemetry=NoTelemetry(),
        policy=policy,
    )
    await intake.start()
    try:
        assert await intake.assigned(frozenset({A, B})) == {A: 7}
        assert isinstance(intake._app, FakeApp)
        yield intake, intake._app
    finally:
        await intake.stop()


def run_of(*messages: Incoming, epoch: int) -> Run:
    return Run(messages[0].place, epoch, messages[0].offset, list(messages))


async def offer(intake: Intake, place: TopicPartition, offsets: range, epoch: int | None = None) -> None:
    epoch = intake.epoch if epoch is None else epoch
    await asyncio.wait_for(intake.offer(run_of(*(message(place, offset) for offset in offsets), epoch=epoch)), 2)


async def until(condition: Any, within: float = 2.0) -> None:
    async with asyncio.timeout(within):
        while not condition():
            await asyncio.sleep(0.005)


def newest(app: FakeApp) -> dict[TopicPartition, int]:
    return {place: offset for commit in app.committed for place, offset in commit.items()}


async def test_batches_fill_to_their_size_and_the_rest_goes_when_the_time_is_up(monkeypatch: Any) -> None:
    stage = Recorder()
    async with reading(monkeypatch, stage) as (intake, app):
        await offer(intake, A, range(7))
        await until(lambda: len(stage.finished) == 7)
        assert [len(batch) for batch in stage.batches] == [3, 3, 1]
        assert stage.finished == [(0, n) for n in range(7)]
        await until(lambda: newest(app) == {A: 7})


async def test_a_batch_holds_no_more_bytes_than_allowed_unless_one_message_does(monkeypatch: Any) -> None:
    stage = Recorder()
    policy = IntakePolicy(max_batch=10, max_batch_bytes=10, max_wait=0.02)
    async with reading(monkeypatch, stage, policy) as (intake, _):
        sizes = [6, 6, 50, 3, 3]
        await intake.offer(run_of(*(message(A, n, size) for n, size in enumerate(sizes)), epoch=intake.epoch))
        await until(lambda: len(stage.finished) == 5)
    assert [[offset for _, offset in batch] for batch in stage.batches] == [[0], [1], [2], [3, 4]]


async def test_nothing_is_committed_before_the_last_step_is_through(monkeypatch: Any) -> None:
    stage = Recorder()
    async with reading(monkeypatch, stage) as (intake, app):
        stage.gate.clear()
        await offer(intake, A, range(6))
        await until(lambda: len(stage.batches) == 2)
        await asyncio.sleep(0.1)
        assert app.committed == []
        stage.gate.set()
        await until(lambda: newest(app) == {A: 6})


async def test_what_fails_for_now_is_tried_again_and_nothing_passes_it(monkeypatch: Any) -> None:
    stage = Recorder()
    stage.errors = [TemporaryError("the sink is down") for _ in range(4)]
    async with reading(monkeypatch, stage) as (intake, app):
        await offer(intake, A, range(6))
        await until(lambda: intake.health.blocked_by == "the sink is down")
        await until(lambda: newest(app) == {A: 6})
        assert stage.finished == [(0, n) for n in range(6)]
        assert intake.health.blocked_by is None


async def test_a_full_queue_makes_the_offer_wait_until_there_is_room(monkeypatch: Any) -> None:
    stage = Recorder()
    policy = IntakePolicy(max_batch=3, max_wait=0.01, max_queued=6)
    async with reading(monkeypatch, stage, policy) as (intake, _):
        stage.gate.clear()
        taken = 0

        async def offer_all() -> None:
            nonlocal taken
            for start in range(0, 60, 3):
                await intake.offer(run_of(*(message(A, n) for n in range(start, start + 3)), epoch=intake.epoch))
                taken += 1

        offering = asyncio.create_task(offer_all())
        await asyncio.sleep(0.1)
        assert taken < 10
        stage.gate.set()
        await asyncio.wait_for(offering, 2)
        await until(lambda: len(stage.finished) == 60)
    assert stage.finished == [(0, n) for n in range(60)]


async def test_an_empty_batch_comes_when_nothing_does_and_nothing_is_in_flight(monkeypatch: Any) -> None:
    stage = Recorder()
    async with reading(monkeypatch, stage) as (intake, app):
        await until(lambda: stage.ticks >= 2)
        stage.gate.clear()
        await offer(intake, A, range(1))
        await until(lambda: stage.batches)
        ticks = stage.ticks
        await asyncio.sleep(0.2)
        assert stage.ticks == ticks
        stage.gate.set()
        await until(lambda: stage.ticks > ticks)
        await until(lambda: newest(app) == {A: 1})


async def test_a_revoked_assignment_finishes_what_is_in_flight_and_leaves_the_rest(monkeypatch: Any) -> None:
    stage = Recorder()
    async with reading(monkeypatch, stage) as (intake, app):
        stage.gate.clear()
        await offer(intake, A, range(30))
        await until(lambda: len(stage.batches) >= 1)
        revoking = asyncio.create_task(intake.revoked())
        await asyncio.sleep(0.05)
        assert "revoked" not in stage.calls
        stage.gate.set()
        await asyncio.wait_for(revoking, 2)
        assert newest(app) == {A: len(stage.finished)}
        assert 3 <= len(stage.finished) < 30
        await asyncio.sleep(0.1)
        assert newest(app) == {A: len(stage.finished)}


async def test_a_revoked_assignment_does_not_wait_for_a_sink_that_is_down(monkeypatch: Any) -> None:
    stage = Recorder()
    stage.errors = [TemporaryError("the sink is down", delay=60)]
    async with reading(monkeypatch, stage) as (intake, app):
        await offer(intake, A, range(9))
        await until(lambda: intake.health.blocked_by)
        await asyncio.wait_for(intake.revoked(), 0.3)
        assert app.committed == []
        await intake.assigned(frozenset({A}))
        assert stage.finished == []
        await offer(intake, A, range(3))
        await until(lambda: newest(app) == {A: 3})


async def test_what_was_abandoned_is_never_committed_even_when_it_ends_at_last(monkeypatch: Any) -> None:
    stage = Recorder()
    policy = IntakePolicy(max_batch=3, max_wait=0.01, commit_interval=0.01, release_grace=0.05)
    async with reading(monkeypatch, stage, policy) as (intake, app):
        stage.gate.clear()
        await offer(intake, A, range(6))
        await until(lambda: stage.batches)
        await asyncio.wait_for(intake.revoked(), 1)
        assigning = asyncio.create_task(intake.assigned(frozenset({A})))
        await asyncio.sleep(0.05)
        assert stage.calls.count("assigned") == 1, "a new assignment waits for what still runs"
        stage.gate.set()
        await asyncio.wait_for(assigning, 1)
        await asyncio.sleep(0.05)
        assert app.committed == []


async def test_a_run_of_an_earlier_assignment_is_dropped(monkeypatch: Any) -> None:
    stage = Recorder()
    async with reading(monkeypatch, stage) as (intake, app):
        stale = intake.epoch
        await intake.revoked()
        await offer(intake, A, range(3), epoch=stale)
        await intake.assigned(frozenset({A}))
        await offer(intake, A, range(3, 6), epoch=stale)
        await offer(intake, A, range(1))
        await until(lambda: newest(app) == {A: 1})
        assert stage.finished == [(0, 0)]


async def test_an_offer_that_waits_for_room_is_let_go_when_the_assignment_ends(monkeypatch: Any) -> None:
    stage = Recorder()
    policy = IntakePolicy(max_batch=3, max_wait=0.01, max_queued=3, release_grace=0.05)
    async with reading(monkeypatch, stage, policy) as (intake, _):
        stage.gate.clear()
        run = run_of(*(message(A, n) for n in range(30)), epoch=intake.epoch)
        offering = asyncio.create_task(intake.offer(run))
        await asyncio.sleep(0.05)
        assert not offering.done()
        await intake.revoked()
        await asyncio.wait_for(offering, 1)
        stage.gate.set()


async def test_a_stage_that_is_not_ready_is_asked_again_until_it_is(monkeypatch: Any) -> None:
    stage = Recorder()
    stage.assign_errors = [TemporaryError("Postgres is down"), TemporaryError("Postgres is down")]
    async with reading(monkeypatch, stage) as (intake, _):
        assert intake.health.phase is Phase.READING
    assert stage.calls == ["start", "assigned", "revoked", "stop"]


async def test_an_assignment_that_ends_before_the_stage_is_ready_is_forgotten(monkeypatch: Any) -> None:
    stage = Recorder()
    async with reading(monkeypatch, stage) as (intake, _):
        await intake.revoked()
        stage.assign_errors = [TemporaryError("Postgres is down", delay=60)]
        assigning = asyncio.create_task(intake.assigned(frozenset({A})))
        await until(lambda: intake.health.blocked_by)
        await intake.revoked()
        assert await asyncio.wait_for(assigning, 1) == {}
        assert intake.health.phase is Phase.RELEASING


async def test_an_error_that_is_not_temporary_ends_the_intake_and_commits_nothing(monkeypatch: Any) -> None:
    stage = Recorder()
    stage.errors = [ValueError("a bug")]
    async with reading(monkeypatch, stage) as (intake, app):
        await offer(intake, A, range(9))
        with pytest.raises(ValueError, match="a bug"):
            await asyncio.wait_for(intake.wait(), 1)
        assert intake.health.failed
    assert app.committed == []


async def test_a_step_that_hangs_ends_the_intake(monkeypatch: Any) -> None:
    stage = Recorder()
    policy = IntakePolicy(max_batch=3, max_wait=0.01, stall_after=0.2, release_grace=0.05)
    async with reading(monkeypatch, stage, policy) as (intake, _):
        stage.gate.clear()
        await offer(intake, A, range(3))
        with pytest.raises(PermanentError, match="last has not returned"):
            await asyncio.wait_for(intake.wait(), 2)
        stage.gate.set()


async def test_messages_that_nobody_fetches_end_the_intake(monkeypatch: Any) -> None:
    policy = IntakePolicy(tick=60, stall_after=0.2)
    async with reading(monkeypatch, Recorder(), policy) as (intake, _):
        with pytest.raises(PermanentError, match="5 messages wait"):
            await asyncio.wait_for(intake.wait(), 2)


async def test_a_consumer_that_failed_ends_the_intake(monkeypatch: Any) -> None:
    async with reading(monkeypatch, Recorder()) as (intake, app):
        app.crash_reason, app.crashed = RuntimeError("lost"), True
        with pytest.raises(PermanentError, match="the Kafka consumer failed"):
            await asyncio.wait_for(intake.wait(), 3)


async def test_a_kafka_that_is_away_is_said_once_and_so_is_its_return(
    monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    policy = IntakePolicy(tick=60, ask_interval=0.01)
    asked = 0

    async def ends(*_: Any) -> dict[TopicPartition, int]:
        nonlocal asked
        asked += 1
        if asked <= 5:
            raise TemporaryError("Kafka at k:9092 can't be reached")
        return {A: 5}

    with caplog.at_level(logging.INFO, "stream.watchdog"):
        async with reading(monkeypatch, Recorder(), policy) as (intake, _):
            monkeypatch.setattr(intake._offsets, "ends", ends)
            await until(lambda: intake.health.blocked_by == "Kafka at k:9092 can't be reached")
            await until(lambda: intake.health.blocked_by is None)
            await until(lambda: asked >= 10)
    said = [record.getMessage() for record in caplog.records if "Kafka" in record.getMessage()]
    assert said == ["test waits: Kafka at k:9092 can't be reached", "test: Kafka answers again"]


async def test_a_commit_that_hangs_does_not_hold_up_the_end(monkeypatch: Any) -> None:
    stage = Recorder()
    policy = IntakePolicy(max_batch=3, max_wait=0.01, commit_interval=60, release_grace=0.1)
    async with reading(monkeypatch, stage, policy) as (intake, app):
        app.commits_hang = True
        await offer(intake, A, range(3))
        await until(lambda: len(stage.finished) == 3)
        await asyncio.wait_for(intake.revoked(), 1)
    assert app.committed == []
