"""What a stage consumes with: Faust's consumer, handing on what it fetched in runs, a partition's messages at a time.

Faust's own way, one event at a time through a stream, costs 100 µs of CPU per message and marks each of them as
acknowledged by itself. Here the consumer passes what a fetch brought to the agent through a channel, and whoever
completed a run of messages commits the offset behind it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import ConsumerStoppedError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.incoming import Incoming, TopicPartition, incoming

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """What one fetch brought of one partition, by rising offset."""

    place: TopicPartition
    epoch: int
    """The owner's epoch when it was fetched: a run of an earlier one is stale."""
    begins: int
    """One past the newest message of the run before it; without one, where reading began. From there to its first
    message there is none."""
    messages: list[Incoming]

    @property
    def ends(self) -> int:
        """One past its newest message."""
        return self.messages[-1].offset + 1


class Position(NamedTuple):
    """How far a partition is read."""

    next_fetch: int
    """The offset that is fetched next. Before it there may be what holds no message, as transactions leave it."""
    fetched: int
    """One past the newest message that was fetched, whether anybody has worked on it or not; without one, where reading
    began."""


class Owner(Protocol):
    """Whom the consumer works for."""

    @property
    def epoch(self) -> int:
        """Changes whenever an assignment ends."""
        ...

    async def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Before anything of an assignment is read. Returns where to read from, where that is not what is committed."""
        ...

    async def revoked(self) -> None:
        """An assignment is about to end; its offsets can still be committed."""
        ...

    async def offer(self, run: Run) -> None:
        """Take a run; returns when there is room for more."""
        ...


class RunConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, passing on runs instead of events, and knowing the position of each partition itself."""

    logger = logging.getLogger("faust.consumer")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner: Owner = self.app.owner
        self._seeks: Mapping[TopicPartition, int] = {}
        self._positions: dict[TP, int] = {}
        """Up to where runs were put into the channel."""
        self._taken: dict[TP, int] = {}
        """Up to where they came out of it."""
        self._fetched: dict[TP, int] = {}
        self._prepared = self._placed = -1
        """The owner's epoch that it was last ready for, and the one that the positions are of."""
        self._astray = False
        """What is fetched next does not begin at the positions."""

    async def reading_positions(self) -> dict[TopicPartition, Position]:
        """Of each partition of the assignment."""
        found = {place: await self.position(place) for place in self.assignment()}
        return {
            TopicPartition(*place): Position(next_fetch=offset, fetched=self._fetched.get(place, offset))
            for place, offset in found.items()
            if offset is not None
        }

    async def commit_positions(self, offsets: Mapping[TopicPartition, int]) -> bool:
        """Commit offsets of the current assignment. False when the group has moved on meanwhile."""
        assignment = self.assignment()
        held = {TP(*place): offset for place, offset in offsets.items() if TP(*place) in assignment}
        return bool(held and await self._commit(held))

    async def prepare(self, *_: Any, **__: Any) -> None:
        """Ask the owner where to read from; runs before `perform_seek`, and may take its time."""
        epoch = self._owner.epoch
        assignment = frozenset(TopicPartition(*place) for place in self.assignment())
        self._seeks = await self._owner.assigned(assignment)
        self._prepared = epoch

    async def perform_seek(self) -> None:
        """Find where to read from: the committed offsets, the owner's where it named any, and the beginning where there
        are none. Who fetches goes there first: what a fetch under way brings would be skipped."""
        epoch = self._prepared
        committed = await self.seek_to_committed()
        positions = {TP(*place): offset for place, offset in committed.items() if offset is not None and offset >= 0}
        unknown = [place for place in self.assignment() if place not in positions]
        if unknown:
            beginnings = await self.earliest_offsets(*unknown)
            positions |= {TP(*place): offset for place, offset in beginnings.items()}
        wanted = {TP(*place): offset for place, offset in self._seeks.items() if TP(*place) in positions}
        self._positions = positions | wanted
        self._fetched = dict(self._positions)
        self._taken = dict(self._positions)
        self._placed = epoch
        self._astray = True

    def take(self, run: Run) -> bool:
        """Whether a run out of the channel is the next. It is not if Faust emptied the channel of one before it, and
        reading goes back to what was taken last."""
        if run.epoch != self._owner.epoch:
            return False
        place = TP(*run.place)
        if run.begins != self._taken[place]:
            log.warning("%s:%d is read again from %d: what was fetched got lost", *place, self._taken[place])
            self._positions[place] = self._taken[place]
            self._astray = True
            return False
        self._taken[place] = run.ends
        return True

    def resume_flow(self) -> None:
        """Fetch again, unless it is not known where from: nothing is assigned, or no longer what was.

        Faust stops the flow only of a member that had partitions. If that of one without any went on, it would fetch
        the first that it gets while `perform_seek` runs, and Faust then empties the channel of them.
        """
        if self._placed == self._owner.epoch:
            super().resume_flow()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the owner finish, and commit, before the partitions are given up."""
        self.stop_flow()
        await self._owner.revoked()
        await super().on_partitions_revoked(revoked)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's own watchdog follows events, of which there are none here; the owner has one."""

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                await self._pass_on_a_fetch()
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def _pass_on_a_fetch(self) -> None:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
            return
        active = self._get_active_partitions()
        if not active:
            await self.sleep(0.1)
            return
        epoch = self._placed
        if self._astray and not await self._go_to_positions():
            return
        fetched = await self._getmany(active_partitions=active, timeout=1.0)
        self._fetched |= {TP(*place): records[-1].offset + 1 for place, records in fetched.items()}
        for place, records in fetched.items():
            if not await self._pass_on(TP(*place), records, epoch):
                return

    async def _go_to_positions(self) -> bool:
        """False when the assignment is changing, after which there will be others."""
        self._astray = False
        try:
            await self.seek_wait(dict(self._positions))
        except KafkaError:
            self._astray = True
            await self.sleep(0.1)
            return False
        return True

    async def _pass_on(self, place: TP, records: list[Any], epoch: int) -> bool:
        if self.flow_active and epoch == self._owner.epoch and not self._astray:
            messages = [incoming(record) for record in records]
            run = Run(TopicPartition(*place), epoch, self._positions[place], messages)
            if await self._put(run) and epoch == self._owner.epoch:
                self._positions[place] = run.ends
                return True
        # What a fetch brought and nobody took would be skipped: go back for it when reading goes on.
        self._astray = True
        return False

    async def _put(self, run: Run) -> bool:
        """Wait for room in the channel. False when Faust emptied it meanwhile, as it does when partitions are
        revoked."""
        try:
            await self.app.runs.put(run)
        except asyncio.CancelledError:
            # Emptying a channel cancels what its putters wait for, not the task that they run in.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return False
        return True
