"""The consumer hands on what it fetched, and goes back for what nobody took."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from stream.incoming import TopicPartition
from stream.run_consumer import Position, Run, RunConsumer

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
    consumer._taken = {A: 0, B: 0}
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


class Reading:
    """A consumer of two partitions, its channel as Faust has them, and whoever takes the runs out of that."""

    def __init__(self, offsets: dict[TP, list[int]], sizes: list[int]) -> None:
        self.offsets = offsets
        self.consumer, _, _ = consumer_of()
        self.channel = ThrowableQueue(maxsize=1, flow_control=FlowControlEvent(initially_suspended=False))
        self.consumer.app = SimpleNamespace(runs=self.channel)
        self.consumer._getmany, self.consumer.seek_wait = self._fetch, self._seek
        self.taken: dict[TP, list[int]] = {A: [], B: []}
        self._sizes = sizes
        self._next = {A: 0, B: 0}

    async def _fetch(self, **_: Any) -> dict[TP, list[Any]]:
        await asyncio.sleep(0)
        size = self._sizes.pop() if self._sizes else 2
        found = {place: [n for n in self.offsets[place] if n >= self._next[place]][:size] for place in (A, B)}
        await asyncio.sleep(0)
        self._next |= {place: offsets[-1] + 1 for place, offsets in found.items() if offsets}
        return {place: [record(place, n) for n in offsets] for place, offsets in found.items() if offsets}

    async def _seek(self, positions: dict[TP, int]) -> None:
        await asyncio.sleep(0)
        self._next |= positions

    async def _drain(self) -> None:
        while True:
            await self.consumer._pass_on_a_fetch()

    def _take(self) -> None:
        if not self.channel.empty() and self.consumer.take(run := self.channel.get_nowait()):
            self.taken[TP(*run.place)] += [message.offset for message in run.messages]

    async def play(self, moves: str) -> None:
        """Take a run, empty the channel, or let the others go on for a turn of the loop; then read to the end."""
        draining = asyncio.create_task(self._drain())
        for move in moves:
            if move == "t":
                self._take()
            elif move == "e":
                self.channel.clear()
            else:
                await asyncio.sleep(0)
        # What was lost shows in the run behind it.
        self.offsets = {place: [*offsets, 99] for place, offsets in self.offsets.items()}
        for _ in range(300):
            self._take()
            await asyncio.sleep(0)
        draining.cancel()
        await asyncio.wait([draining])


# With gaps, as transactions and compaction leave them.
OFFSETS = st.one_of(st.just([]), st.just(list(range(0, 60, 2))))


@given(OFFSETS, OFFSETS, st.text("te.", max_size=100), st.lists(st.integers(1, 4), max_size=12))
async def test_whenever_the_channel_is_emptied_everything_is_taken_once_and_in_order(
    a: list[int], b: list[int], moves: str, sizes: list[int]
) -> None:
    reading = Reading({A: a, B: b}, sizes)
    await reading.play(moves)
    assert reading.taken == reading.offsets
