"""The consumer hands on what it fetched, and goes back for what nobody took."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from stream.faust_app import Position, Run, RunConsumer
from stream.incoming import TopicPartition

A, B = TP("news", 0), TP("news", 1)


def record(place: TP, offset: int) -> SimpleNamespace:
    return SimpleNamespace(
        topic=place.topic, partition=place.partition, offset=offset, timestamp=7, key=None, value=b"x", headers=()
    )


class Channel:
    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.on_put: Any = lambda: None

    async def put(self, run: Run) -> None:
        self.runs.append(run)
        self.on_put()


def consumer_of(*fetches: dict[TP, list[Any]]) -> tuple[Any, Channel, list[dict[TP, int]]]:
    """A consumer whose fetches bring these, its channel, and where it was sent to."""
    channel, seeks, waiting = Channel(), [], list(fetches)
    consumer = object.__new__(RunConsumer)
    consumer.app = SimpleNamespace(runs=channel)
    consumer._owner = SimpleNamespace(epoch=1)
    consumer._positions = {A: 0, B: 0}
    consumer._fetched = {A: 0, B: 0}
    consumer._placed = 1
    consumer._astray = False
    consumer.flow_active = True

    async def getmany(**_: Any) -> dict[TP, list[Any]]:
        return waiting.pop(0)

    async def seek_wait(positions: dict[TP, int]) -> None:
        seeks.append(positions)

    consumer._getmany = getmany
    consumer.seek_wait = seek_wait
    consumer._get_active_partitions = lambda: {A, B}
    return consumer, channel, seeks


async def test_each_partition_of_a_fetch_is_one_run() -> None:
    consumer, channel, seeks = consumer_of({A: [record(A, 3), record(A, 5)], B: [record(B, 9)]})
    await consumer._pass_on_a_fetch()
    assert [(run.place, [m.offset for m in run.messages]) for run in channel.runs] == [
        (TopicPartition("news", 0), [3, 5]),
        (TopicPartition("news", 1), [9]),
    ]
    assert consumer._positions == {A: 6, B: 10}
    assert seeks == []


async def test_how_far_it_has_fetched_is_told_before_anybody_has_taken_it() -> None:
    consumer, channel, _ = consumer_of({A: [record(A, 3), record(A, 5)], B: [record(B, 9)]})
    seen = []

    async def position(place: TP) -> int:
        return {A: 8, B: 10}[place]

    consumer.assignment = lambda: {A, B}
    consumer.position = position
    channel.on_put = lambda: seen.append(dict(consumer._fetched))
    before = await consumer.reading_positions()
    await consumer._pass_on_a_fetch()
    after = await consumer.reading_positions()
    assert seen[0] == {A: 6, B: 10}
    assert before[TopicPartition("news", 0)] == Position(next_fetch=8, fetched=0)
    assert after == {
        TopicPartition("news", 0): Position(next_fetch=8, fetched=6),
        TopicPartition("news", 1): Position(next_fetch=10, fetched=10),
    }


async def test_what_was_fetched_while_the_flow_stopped_is_fetched_again() -> None:
    consumer, channel, seeks = consumer_of({A: [record(A, 0)]}, {A: [record(A, 0)]})
    consumer.flow_active = True
    fetch = consumer._getmany

    async def stop_meanwhile(**options: Any) -> Any:
        consumer.flow_active = False
        return await fetch(**options)

    consumer._getmany = stop_meanwhile
    await consumer._pass_on_a_fetch()
    assert channel.runs == []
    consumer.flow_active, consumer._getmany = True, fetch
    await consumer._pass_on_a_fetch()
    assert seeks == [{A: 0, B: 0}]
    assert [run.messages[0].offset for run in channel.runs] == [0]


async def test_when_the_assignment_ends_between_two_runs_the_second_is_fetched_again() -> None:
    consumer, channel, seeks = consumer_of({A: [record(A, 0)], B: [record(B, 0)]}, {})

    def end() -> None:
        consumer._owner.epoch = 2

    channel.on_put = end
    await consumer._pass_on_a_fetch()
    assert [run.place.partition for run in channel.runs] == [0]
    assert consumer._positions == {A: 0, B: 0}, "nobody knows whether a stale run was taken"
    await consumer._pass_on_a_fetch()
    assert seeks == [{A: 0, B: 0}]


async def test_where_it_cannot_go_while_the_assignment_changes_it_goes_later() -> None:
    consumer, channel, seeks = consumer_of({A: [record(A, 0)]})
    seek_wait, consumer._astray = consumer.seek_wait, True

    async def changing(_: Any) -> None:
        raise IllegalStateError("no current assignment")

    async def sleep(_: float) -> None: ...

    consumer.seek_wait, consumer.sleep = changing, sleep
    await consumer._pass_on_a_fetch()
    assert channel.runs == []
    consumer.seek_wait = seek_wait
    await consumer._pass_on_a_fetch()
    assert seeks == [{A: 0, B: 0}]
    assert [run.messages[0].offset for run in channel.runs] == [0]


async def test_the_flow_goes_on_only_in_the_assignment_that_its_positions_are_of() -> None:
    consumer, _, _ = consumer_of()
    consumer.can_resume_flow, consumer.suspend_flow = asyncio.Event(), asyncio.Event()
    consumer.flow_active = False
    consumer._owner.epoch = 2
    consumer.resume_flow()
    assert not consumer.flow_active
    consumer._placed = 2
    consumer.resume_flow()
    assert consumer.flow_active


async def blocked_on_a_full_channel() -> tuple[Any, ThrowableQueue, asyncio.Task[None]]:
    """A consumer that waits for room in a channel as Faust has them, with the task that does."""
    consumer, _, _ = consumer_of({A: [record(A, 0)], B: [record(B, 0)]})
    channel = ThrowableQueue(maxsize=1, flow_control=FlowControlEvent(initially_suspended=False))
    consumer.app = SimpleNamespace(runs=channel)
    task = asyncio.create_task(consumer._pass_on_a_fetch())
    while not channel._putters:
        await asyncio.sleep(0)
    return consumer, channel, task


async def test_a_run_that_waits_for_room_while_faust_empties_the_channel_is_fetched_again() -> None:
    consumer, channel, task = await blocked_on_a_full_channel()
    channel.clear()  # as when partitions are revoked: whoever waits to put is told so by CancelledError
    await task
    assert consumer._astray
    assert consumer._positions == {A: 1, B: 0}


async def test_a_consumer_that_waits_for_room_can_be_cancelled() -> None:
    _, _, task = await blocked_on_a_full_channel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
