"""The record stage's steps, without servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import timedelta
from typing import cast
from uuid import UUID

import pytest
from support.builders import SCORED_TOPIC_ID, T0, at, make_mark, make_record, scored_partition, topic
from support.fake_history import FakeHistory
from support.fake_windows import FakeWindows
from support.kafka_world import CountingTelemetry

from domain.errors import PermanentError, TemporaryError
from domain.log import Mark, ScoredRecord
from domain.timeline import minute_of
from stream import standing, wire
from stream.dead_letters import DeadLetter
from stream.incoming import Batch, Incoming, TopicPartition
from stream.offsets import Offsets
from stream.record import RecordPolicy, RecordStage

PLACE = TopicPartition("scored", 0)
P = scored_partition()
EARNINGS = topic("Earnings")


class Log:
    """The scored topic with one partition, and Kafka's answers about it."""

    def __init__(self) -> None:
        self.values: list[bytes | None] = []
        self.first = 0
        self.group: int | None = None
        """What the group has committed."""
        self.identity = SCORED_TOPIC_ID

    def write(self, *said: ScoredRecord | Sequence[Mark] | bytes | None) -> None:
        for message in said:
            if isinstance(message, ScoredRecord):
                self.values.append(wire.encode_document(message))
            elif message is None or isinstance(message, bytes):
                self.values.append(message)
            else:
                self.values.append(wire.encode_marks(message))

    def batch(self, start: int = 0, end: int | None = None) -> Batch:
        """Messages as they are fetched."""
        chosen = list(enumerate(self.values))[start:end]
        return Batch([_incoming(offset, value) for offset, value in chosen])

    async def beginnings(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, self.first)

    async def ends(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, len(self.values))

    async def committed(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {} if self.group is None else dict.fromkeys(places, self.group)

    async def close(self) -> None: ...

    def topic_id(self, name: str) -> UUID:
        assert name == PLACE.topic
        return self.identity


class Letters:
    """Takes dead letters, unless told to fail."""

    def __init__(self) -> None:
        self.sent: list[DeadLetter] = []
        self.fail_with: Exception | None = None

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        if self.fail_with is not None:
            raise self.fail_with
        self.sent.extend(letters)

    async def stop(self) -> None: ...


class World:
    def __init__(self) -> None:
        self.log = Log()
        self.history = FakeHistory(lateness=timedelta(minutes=5))
        self.windows = FakeWindows(self.history)
        self.letters = Letters()
        self.telemetry = CountingTelemetry()
        self.stage = self.another_process()

    def another_process(self, *, reconcile_every: float = 3600) -> RecordStage:
        return RecordStage(
            history=self.history,
            windows=self.windows,
            topic_ids=self.log,
            offsets=cast("Offsets", self.log),
            letters=self.letters,
            policy=RecordPolicy(reconcile_every=reconcile_every),
            telemetry=self.telemetry,
            clock=lambda: T0,
        )

    async def assign(self, stage: RecordStage | None = None) -> int:
        """From which offset the stage wants to read."""
        return (await (stage or self.stage).assigned(frozenset({PLACE})))[PLACE]

    async def process(self, batch: Batch, stage: RecordStage | None = None) -> None:
        stage = stage or self.stage
        await stage.write(await stage.decode(batch))
        if batch.messages:
            self.log.group = batch.messages[-1].offset + 1

    def outcomes(self) -> dict[str, float]:
        found = self.telemetry.counts.items()
        return {key[2]: n for key, n in found if key[0] == "documents_total"}

    def assert_whole(self) -> None:
        held = {
            (subject, minute): counts
            for minute, subjects in self.windows.buckets(0, 1 << 40).counts.items()
            for subject, counts in subjects.items()
        }
        assert held == self.history.counts()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.stage.stop()


async def test_documents_and_marks_are_recorded_and_counted(world: World) -> None:
    world.log.write(make_record("a"), make_record("b"), [make_mark(high_time=at(1))])
    assert await world.assign() == 0

    await world.process(world.log.batch())

    assert world.history.ids == {"a", "b"}
    assert world.windows.buckets(minute_of(T0), minute_of(T0) + 1).counts[minute_of(T0)][EARNINGS].count == 2
    assert [mark.high_time for mark in world.windows.marks()] == [at(1)]
    assert world.outcomes() == {"new": 2}
    world.assert_whole()


async def test_a_batch_that_is_delivered_again_changes_nothing(world: World) -> None:
    world.log.write(make_record("a"), make_record("b"))
    await world.assign()
    await world.process(world.log.batch())
    await world.process(world.log.batch())
    await world.process(world.log.batch(1))

    world.assert_whole()
    assert world.outcomes() == {"new": 2, "duplicate": 3}


async def test_late_documents_are_told_apart_in_the_metrics(world: World) -> None:
    world.log.write(make_record("new", published_at=at(60)), make_record("late", high_time=at(60)))
    await world.assign()
    await world.process(world.log.batch())

    assert world.outcomes() == {"new": 1, "late": 1}


async def test_what_can_t_be_read_becomes_a_dead_letter_and_the_rest_goes_on(world: World) -> None:
    world.log.write(make_record("a"), b"{", None, b'{"type":"document","schema":99}', make_record("b"))
    await world.assign()

    await world.process(world.log.batch())

    assert world.history.ids == {"a", "b"}
    assert [(letter.offset, letter.reason, letter.stage) for letter in world.letters.sent] == [
        (1, "unreadable_scored", "record"),
        (2, "unreadable_scored", "record"),
        (3, "newer_schema", "record"),
    ]
    assert world.letters.sent[0].value == b"{"
    assert world.outcomes() == {"new": 2, "unreadable": 3}


async def test_a_document_that_only_the_sink_refuses_becomes_a_dead_letter(world: World) -> None:
    world.history.refuse.add("b")
    world.log.write(make_record("a"), make_record("b"), make_record("c"))
    await world.assign()

    await world.process(world.log.batch())

    [letter] = world.letters.sent
    assert (letter.offset, letter.reason, letter.value) == (1, "sink_refused", world.log.values[1])
    assert world.history.ids == {"a", "c"}
    assert world.outcomes() == {"new": 2, "refused": 1}


async def test_while_a_sink_is_down_nothing_becomes_a_dead_letter_and_the_batch_succeeds_later(world: World) -> None:
    world.log.write(make_record("a"), b"{")
    await world.assign()
    world.history.fail_with = TemporaryError("Postgres is down")
    runs = await world.stage.decode(world.log.batch())
    for _ in range(3):
        with pytest.raises(TemporaryError):
            await world.stage.write(runs)
    assert world.letters.sent == []

    world.history.fail_with = None
    await world.stage.write(runs)

    assert len(world.letters.sent) == 1
    world.assert_whole()


async def test_a_batch_appended_before_the_windows_failed_is_counted_as_new_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(_: object) -> None:
        raise TemporaryError("Redis is down")

    world.log.write(make_record("a"))
    await world.assign()
    runs = await world.stage.decode(world.log.batch())
    with monkeypatch.context() as patch:
        patch.setattr(world.windows, "apply", down)
        with pytest.raises(TemporaryError):
            await world.stage.write(runs)
    await world.stage.write(runs)

    assert world.history.appends == 1
    assert world.outcomes() == {"new": 1}
    world.assert_whole()


async def test_without_the_dead_letters_a_batch_is_not_done(world: World) -> None:
    world.log.write(b"{")
    await world.assign()
    world.letters.fail_with = TemporaryError("Kafka does not take it")
    runs = await world.stage.decode(world.log.batch())

    with pytest.raises(TemporaryError):
        await world.stage.write(runs)


async def test_a_new_process_reads_on_from_where_the_history_ends(world: World) -> None:
    world.log.write(*(make_record(name) for name in "abcd"))
    await world.assign()
    await world.process(world.log.batch(0, 3))

    assert await world.assign(world.another_process()) == 3


@pytest.mark.parametrize("committed", [None, 2])
async def test_what_was_refused_before_the_process_was_killed_is_told_by_the_next_one(
    world: World, committed: int | None
) -> None:
    world.history.refuse.add("c")
    world.log.write(*(make_record(name) for name in "ab"), b"{", make_record("c"), make_record("d"))
    await world.assign()
    world.log.group = committed
    world.letters.fail_with = TemporaryError("Kafka does not take it")
    with pytest.raises(TemporaryError):
        await world.process(world.log.batch())
    assert world.history.next_offset(world.stage._standing.partition(PLACE)) == 5

    world.letters.fail_with = None
    successor = world.another_process()
    start = await world.assign(successor)
    assert start == (committed or 0)
    await world.process(world.log.batch(start), successor)
    assert [letter.reason for letter in world.letters.sent] == ["unreadable_scored", "sink_refused"]
    assert world.history.ids == set("abd")
    world.assert_whole()


async def test_of_a_long_history_that_the_group_never_committed_only_the_end_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "READ_AGAIN", 2)
    world.log.write(*(make_record(name) for name in "abcdef"))
    await world.assign()
    await world.process(world.log.batch())
    world.log.group = None
    assert await world.assign(world.another_process()) == 4


async def test_a_history_that_was_emptied_is_filled_again_from_the_beginning_of_the_log(world: World) -> None:
    empty = world.history.snapshot()
    world.log.write(*(make_record(name) for name in "abcd"))
    await world.assign()
    await world.process(world.log.batch())
    world.history.restore(empty)
    world.log.first = 1

    assert await world.assign(world.another_process()) == 1
    world.assert_whole()


async def test_a_history_restored_from_a_backup_while_running_ends_the_process_before_there_is_a_gap(
    world: World,
) -> None:
    world.log.write(*(make_record(name) for name in "abcdef"))
    await world.assign()
    await world.process(world.log.batch(0, 2))
    backup = world.history.snapshot()
    await world.process(world.log.batch(2, 4))
    world.history.restore(backup)

    with pytest.raises(PermanentError, match="went back"):
        await world.process(world.log.batch(4))
    assert world.history.ids == {"a", "b"}

    successor = world.another_process()
    assert await world.assign(successor) == 2
    await world.process(world.log.batch(2), successor)
    assert world.history.ids == set("abcdef")
    world.assert_whole()


async def test_messages_that_took_the_offsets_of_lost_ones_are_recorded_by_a_new_process(world: World) -> None:
    world.log.write(*(make_record(name) for name in "abcd"))
    await world.assign()
    await world.process(world.log.batch())
    del world.log.values[2:]
    world.log.write(make_record("e"))

    successor = world.another_process()
    first = await world.assign(successor)
    await world.process(world.log.batch(first), successor)

    assert world.history.ids == set("abcde")
    world.assert_whole()


async def test_messages_that_took_the_offsets_of_lost_ones_are_recorded_by_a_process_that_runs_on(
    world: World,
) -> None:
    world.log.write(*(make_record(name) for name in "abcd"))
    await world.assign()
    await world.process(world.log.batch())
    del world.log.values[2:]
    world.log.write(*(make_record(name) for name in "efghi"))

    await world.process(world.log.batch(0, 4))
    await world.process(world.log.batch(4))

    assert world.history.ids == set("abcdefghi")
    world.assert_whole()


async def test_a_log_found_cut_off_without_traffic_ends_the_process_and_its_successor_reads_again(
    world: World,
) -> None:
    stage = world.another_process(reconcile_every=0)
    world.log.write(*(make_record(name) for name in "abcd"))
    await world.assign(stage)
    await world.process(world.log.batch(), stage)
    del world.log.values[2:]

    with pytest.raises(PermanentError, match="lost messages"):
        await world.process(Batch([]), stage)

    world.log.write(*(make_record(name) for name in "efghi"))
    successor = world.another_process()
    await world.process(world.log.batch(await world.assign(successor)), successor)
    assert world.history.ids == set("abcdefghi")
    world.assert_whole()


async def test_ticks_find_a_flushed_redis_without_traffic(world: World) -> None:
    stage = world.another_process(reconcile_every=0)
    world.log.write(make_record("a"))
    await world.assign(stage)
    await world.process(world.log.batch(), stage)
    world.windows.flush()

    await world.process(Batch([]), stage)

    world.assert_whole()


async def test_between_checks_a_tick_asks_nobody(world: World) -> None:
    await world.assign()
    await world.process(Batch([]))
    world.windows.flush()
    rebuilds = world.windows.rebuilds

    await world.process(Batch([]))

    assert world.windows.rebuilds == rebuilds


async def test_a_scored_topic_made_anew_ends_the_process_and_starts_from_nothing(world: World) -> None:
    world.log.write(make_record("a"), make_record("b"))
    await world.assign()
    await world.process(world.log.batch())
    world.log.values.clear()
    world.log.identity = UUID(int=7)
    world.log.write(make_record("c"))

    with pytest.raises(PermanentError, match="made anew"):
        await world.process(world.log.batch())

    successor = world.another_process()
    assert await world.assign(successor) == 0
    await world.process(world.log.batch(), successor)
    assert world.history.ids == {"a", "b", "c"}
    world.assert_whole()


def _incoming(offset: int, value: bytes | None) -> Incoming:
    return Incoming(topic=PLACE.topic, partition=PLACE.partition, offset=offset, timestamp_ms=0, key=None, value=value)
