"""Where Kafka's log, the history and the windows stand, partition by partition, and bringing them together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from concurrent.futures import Executor
from typing import Final, TypeVar
from uuid import UUID

from domain.errors import Conflict, PermanentError
from domain.log import Partition, RecordBatch
from domain.ports import Appended, History, Telemetry, TopicIds, Windows
from stream.incoming import TopicPartition
from stream.offsets import Offsets
from stream.reconcile import Reconciler

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_AGAIN: Final = 200_000
"""Messages. When a log was cut off, others may have taken the offsets of lost ones before anyone looked. Kafka loses
what it had not flushed; so many before its end are read again, and what is known of them changes nothing."""


_START_AGAIN: Final = "Postgres was restored or failed over; start again, to read on from where it ends"


class Standing:
    """The partitions of one assignment. For one event loop; what blocks runs in one thread of `clients`."""

    def __init__(
        self,
        *,
        history: History,
        windows: Windows,
        topic_ids: TopicIds,
        offsets: Offsets,
        telemetry: Telemetry,
        clients: Executor,
    ) -> None:
        self._history = history
        self._topic_ids = topic_ids
        self._offsets = offsets
        self._clients = clients
        self._reconciler = Reconciler(history, windows, telemetry)
        self._partitions: dict[TopicPartition, Partition] = {}
        self._recorded: dict[Partition, int] = {}
        """The least that the history must say it has recorded. Less: it was restored, or failed over."""

    def partition(self, place: TopicPartition) -> Partition:
        """The incarnation of a partition that is being read."""
        return self._partitions[place]

    async def begin(self, places: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
        """Bring the windows to the history. Returns where each partition is to be read on: where the history ends, or
        at the beginning of the log; but from where the group committed if that is less. What lies between was recorded,
        and changes nothing; but what was refused of it may never have come to the dead letters."""
        ids = await self._in_thread(self._identify, places)
        self._partitions = {
            place: Partition(topic=place.topic, topic_id=ids[place.topic], number=place.partition) for place in places
        }
        self._recorded = {}
        await self._in_thread(self._reconciler.forget)
        await self._bring_together(frozenset())
        begins = await self._offsets.beginnings(places)
        committed = await self._offsets.committed(places)
        return {
            place: self._start(of, begin=begins[place], committed=committed.get(place))
            for place, of in self._partitions.items()
        }

    def _start(self, partition: Partition, *, begin: int, committed: int | None) -> int:
        end = self._recorded.get(partition, begin)
        told = begin if committed is None else committed
        return min(end, max(begin, told, end - READ_AGAIN))

    async def check(self, back: Set[Partition]) -> None:
        """Look whether they still stand together, and put right what can be. `back`: partitions of which messages came
        that lie before what was expected, which is what happens when a log was cut off.

        Raises PermanentError when the process has to start again, to read on from elsewhere.
        """
        ids = await self._in_thread(self._identify, self._partitions)
        if any(partition.topic_id != ids[partition.topic] for partition in self._partitions.values()):
            raise PermanentError("the scored topic was made anew while it was read: start again")
        if await self._bring_together(back) - back:
            raise PermanentError("Kafka lost messages of the scored log that were recorded: start again")

    def append(self, batches: Sequence[RecordBatch]) -> tuple[Appended, ...]:
        """Append to the history, unless that would leave a gap in it. Blocking."""
        try:
            appended = self._history.append(batches, recorded=self._recorded)
        except Conflict as conflict:
            raise PermanentError(f"{conflict}: {_START_AGAIN}") from conflict
        for batch in batches:
            self._recorded[batch.partition] = max(batch.end, self._recorded.get(batch.partition, 0))
        return appended

    def count(self, partitions: Iterable[Partition]) -> None:
        """Count into the windows what the history holds. Blocking."""
        self._reconciler.count(partitions)

    async def _bring_together(self, back: Set[Partition]) -> Set[Partition]:
        """Returns the partitions whose logs were cut off, those in `back` among them."""
        # In this order: a log only grows meanwhile.
        recorded = await self._in_thread(self._read_recorded)
        begins = await self._offsets.beginnings(self._partitions)
        ends = await self._offsets.ends(self._partitions)
        cut = {
            partition: max(begins[place], ends[place] - READ_AGAIN)
            for place, partition in self._partitions.items()
            if partition in recorded and (partition in back or recorded[partition] > ends[place])
        }
        for partition, offset in cut.items():
            log.warning("%s/%d was cut off: it is read again from %d", partition.topic, partition.number, offset)
            await self._in_thread(self._truncate, partition, offset)
        self._recorded = recorded | {partition: min(recorded[partition], offset) for partition, offset in cut.items()}
        await self._in_thread(self._check_windows)
        return cut.keys()

    def _truncate(self, partition: Partition, log_end: int) -> None:
        # With its guard beyond the history's new end, whoever goes on from here rebuilds the windows, which then hold
        # what the lost messages brought.
        self._reconciler.check(partition)
        self._history.truncate(partition, log_end)

    def _check_windows(self) -> None:
        for partition in self._partitions.values():
            self._reconciler.check(partition)

    def _read_recorded(self) -> dict[Partition, int]:
        offsets = {partition: self._history.next_offset(partition) for partition in self._partitions.values()}
        for partition, offset in offsets.items():
            known = self._recorded.get(partition, 0)
            if (offset or 0) < known:
                raise PermanentError(
                    f"the history of {partition.topic}/{partition.number} went back behind {known}: {_START_AGAIN}"
                )
        return {partition: offset for partition, offset in offsets.items() if offset is not None}

    def _identify(self, places: Iterable[TopicPartition]) -> Mapping[str, UUID]:
        return {topic: self._topic_ids.topic_id(topic) for topic in {place.topic for place in places}}

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._clients, function, *arguments)
