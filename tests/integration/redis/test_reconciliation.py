"""Whatever happens to Redis and to the workers, the windows are what the recorded documents add up to."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import islice

import pytest
import redis as redis_client
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from support.builders import at, entity, scored_partition, topic
from support.fake_ledger import FakeLedger, Row
from support.redis_state import put_back, saved

from domain.errors import TemporaryError, WindowsNotWhole
from domain.log import Partition
from domain.timeline import minute_of
from domain.window import Changes
from store.rebuild_source import Increment, RebuildSnapshot
from store.redis import windows as windows_module
from store.redis.connection import Redis
from store.redis.reader import RedisWindowReader
from store.redis.windows import RedisWindows

pytestmark = pytest.mark.servers

PREFIX = "test:reconciliation"
PARTITIONS = tuple(scored_partition(number) for number in range(3))
SUBJECTS = (topic("Oil"), topic("Fed"), entity("ACME"))
START = minute_of(at())
RETENTION = timedelta(minutes=40)
LATENESS = timedelta(minutes=2)

rows = st.builds(
    Row,
    id=st.integers(0, 60).map(str),
    subjects=st.lists(st.sampled_from(SUBJECTS), min_size=1, max_size=2, unique=True).map(tuple),
    minute=st.integers(START, START + 120),
    polarity=st.integers(-10_000, 10_000),
    publisher=st.sampled_from(["", "Wire", "Post"]),
    late=st.booleans(),
)
partitions = st.sampled_from(PARTITIONS)
workers = st.integers(0, 1)

Message = tuple[int, Row | datetime]
"""An offset, and a document or a mark."""


class InterruptedSource:
    """The ledger, but something happens while a rebuild is reading it: before the increment `after`, or at the end."""

    def __init__(self, ledger: FakeLedger) -> None:
        self.ledger = ledger
        self.after = 0
        self.interrupt: Callable[[], object] = lambda: None

    @contextmanager
    def window_source(self) -> Iterator[RebuildSnapshot]:
        with self.ledger.window_source() as snapshot:
            yield _Interrupted(snapshot, self)


class _Interrupted:
    def __init__(self, snapshot: RebuildSnapshot, source: InterruptedSource) -> None:
        self._snapshot = snapshot
        self._source = source
        self.guards, self.marks = snapshot.guards, snapshot.marks

    def increments(self, start: int) -> Iterator[Increment]:
        increments = self._snapshot.increments(start)
        yield from islice(increments, self._source.after)
        interrupt, self._source.interrupt = self._source.interrupt, lambda: None
        interrupt()
        yield from increments


class Faults(RuleBasedStateMachine):
    """Two workers record, count, freeze and wake, while Redis is flushed and put back."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.server = redis_client.Redis.from_url(url)
        self.server.flushdb()
        self.redis = Redis(url)
        self.log: dict[Partition, list[Message]] = {partition: [] for partition in PARTITIONS}
        self.ledger = FakeLedger()
        self.sources = [InterruptedSource(self.ledger) for _ in range(2)]
        self.workers = [self._worker(number) for number in range(2)]
        self.reader = RedisWindowReader(self.redis, prefix=PREFIX, fallback=self.ledger)
        self.remembered: list[dict[Partition, int]] = [{}, {}]
        self.frozen: list[tuple[RedisWindows, Changes]] = []
        self.copies: list[dict[bytes, bytes]] = []
        self.older: FakeLedger | None = None

    def _worker(self, number: int) -> RedisWindows:
        return RedisWindows(
            self.redis,
            prefix=PREFIX,
            source=self.sources[number],
            retention=RETENTION,
            lateness=LATENESS,
            sleep=lambda _: None,
        )

    # --- what workers do ---

    @rule(batch=st.lists(rows, min_size=1, max_size=12), minute=st.integers(0, 120), gap=st.integers(0, 2))
    def produce(self, batch: list[Row], minute: int, gap: int) -> None:
        """A document goes to the partition of its key, as in Kafka, so that the log alone says which one is first."""
        for row in batch:
            self._send(PARTITIONS[int(row.id) % len(PARTITIONS)], row, gap)
        for partition in PARTITIONS:
            self._send(partition, at(minute), 0)

    def _send(self, partition: Partition, message: Row | datetime, gap: int) -> None:
        log = self.log[partition]
        log.append((log[-1][0] + 1 + gap if log else gap, message))

    @rule(partition=partitions, most=st.integers(1, 10))
    def record(self, partition: Partition, most: int) -> None:
        start = self.ledger.next_offsets.get(partition, 0)
        for offset, message in [entry for entry in self.log[partition] if entry[0] >= start][:most]:
            gap = offset - self.ledger.next_offsets.get(partition, 0)
            if isinstance(message, Row):
                self.ledger.append(partition, [message], gap=gap)
            else:
                self.ledger.append(partition, (), gap=gap)
                self.ledger.mark(partition, message, fan_out=len(PARTITIONS))

    @rule(worker=workers, partition=partitions)
    def count(self, worker: int, partition: Partition) -> None:
        guard = self.remembered[worker].get(partition, 0)
        for _ in range(6):
            try:
                if guard > self.ledger.next_offsets.get(partition, 0):
                    self.workers[worker].rebuild()
                    guard = self.workers[worker].guard(partition) or 0
                changes = self.ledger.changes(partition, guard)
                actual = self.workers[worker].apply(changes)
            except WindowsNotWhole:
                self.workers[worker].rebuild()
                continue
            if actual is None:
                self.remembered[worker][partition] = changes.end
                return
            guard = actual
        raise AssertionError("counting never came to an end")

    @rule(worker=workers, partition=partitions)
    def freeze(self, worker: int, partition: Partition) -> None:
        """The worker stands still between reading its changes and applying them; a successor takes its place."""
        guard = self.remembered[worker].get(partition, 0)
        self.frozen.append((self.workers[worker], self.ledger.changes(partition, guard)))
        self.workers[worker], self.remembered[worker] = self._worker(worker), {}

    @precondition(lambda self: self.frozen)
    @rule(data=st.data())
    def wake(self, data: st.DataObject) -> None:
        zombie, changes = self.frozen.pop(data.draw(st.integers(0, len(self.frozen) - 1)))
        with suppress(WindowsNotWhole):
            zombie.apply(changes)

    # --- what happens to Redis ---

    @rule()
    def save(self) -> None:
        self.copies.append(saved(self.server))

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def fall_back(self, data: st.DataObject) -> None:
        put_back(self.server, data.draw(st.sampled_from(self.copies)))

    @rule()
    def flush(self) -> None:
        self.server.flushdb()

    @rule()
    def restart(self) -> None:
        self.server.script_flush()

    @rule(worker=workers)
    def rebuild(self, worker: int) -> None:
        self.workers[worker].rebuild()

    @rule(
        worker=workers,
        partition=partitions,
        after=st.integers(0, 12),
        what=st.sampled_from(["count", "flush", "fall back", "crash", "another rebuild"]),
    )
    def rebuild_while_something_happens(self, worker: int, partition: Partition, after: int, what: str) -> None:
        other = 1 - worker
        before = saved(self.server)

        def another_rebuild() -> None:
            self.server.delete(f"{PREFIX}:rebuilding")
            self.workers[other].rebuild()

        def count() -> None:
            self.record(partition, 5)
            if self.server.exists(f"{PREFIX}:current"):
                self.count(other, partition)

        def crash() -> None:
            raise KeyboardInterrupt

        happening: dict[str, Callable[[], object]] = {
            "count": count,
            "flush": self.server.flushdb,
            "fall back": lambda: put_back(self.server, before),
            "crash": crash,
            "another rebuild": another_rebuild,
        }
        self.sources[worker].interrupt, self.sources[worker].after = happening[what], after
        try:
            self.workers[worker].rebuild()
        except (TemporaryError, KeyboardInterrupt):
            self.server.delete(f"{PREFIX}:rebuilding")  # its lease runs out
        self.sources[worker].interrupt = lambda: None

    # --- what happens to Postgres and to Kafka ---

    @rule()
    def back_up_the_history(self) -> None:
        self.older = copy.deepcopy(self.ledger)

    @precondition(lambda self: self.older is not None)
    @rule(worker=workers)
    def restore_the_history(self, worker: int) -> None:
        """Workers find it out when they are assigned their partitions, before they record anything."""
        self.ledger.__dict__.update(copy.deepcopy(self.older).__dict__)
        for partition in PARTITIONS:
            self.count(worker, partition)

    @precondition(lambda self: any(self.log.values()))
    @rule(worker=workers, partition=partitions, keep=st.integers(0, 20))
    def the_log_loses_its_tail(self, worker: int, partition: Partition, keep: int) -> None:
        """Workers find this out in the same way, and rebuild. Copies of Redis that counted the tail are void, as are
        backups of the history."""
        end = min(keep, self.ledger.next_offsets.get(partition, 0))
        self.log[partition] = [entry for entry in self.log[partition] if entry[0] < end]
        self.copies.clear()
        self.older = None
        if end < self.ledger.next_offsets.get(partition, 0):
            self.ledger.truncate(partition, end)
            self.workers[worker].rebuild()

    # --- what holds ---

    @invariant()
    def the_windows_are_what_the_messages_below_the_guards_add(self) -> None:
        try:
            guards = {partition: self.workers[0].guard(partition) or 0 for partition in PARTITIONS}
        except WindowsNotWhole:
            return
        counted = FakeLedger(
            rows={name: held for name, held in self.ledger.rows.items() if held[1] < guards[held[0]]}
        ).windows()
        floor = int(self.server.get(self._key("floor")))  # type: ignore[arg-type]
        everything = (START - 10, START + 200)
        expected = {minute: held for minute, held in counted.buckets(*everything).counts.items() if minute >= floor}
        held = self.reader.buckets(max(everything[0], floor), everything[1])
        assert held.counts == expected
        minutes = {int(minute) for minute in self.server.zrange(self._key("minutes"), 0, -1)}
        assert {minute for minute in minutes if minute >= floor} == set(expected)

    def teardown(self) -> None:
        for partition in PARTITIONS:
            self.count(0, partition)
        truth = self.ledger.windows()
        span = (START - 10, START + 200)
        assert self.reader.buckets(*span).counts == truth.buckets(*span).counts
        assert self.reader.observed(*span) == truth.observed(*span)
        for subject in SUBJECTS:
            assert self.reader.negative_publishers(subject, *span) == truth.negative_publishers(subject, *span)
            assert self.reader.series(subject, *span, 7) == truth.series(subject, *span, 7)
        assert set(self.reader.marks()) == set(truth.marks())

        self.workers[0].rebuild()
        current = self.server.get(f"{PREFIX}:current")
        assert current is not None
        bookkeeping = {f"{PREFIX}:current".encode(), f"{PREFIX}:started".encode()}
        ours = f"{PREFIX}:{current.decode()}:".encode()
        assert [key for key in self.server.scan_iter() if not key.startswith(ours) and key not in bookkeeping] == []
        self.server.close()

    def _key(self, name: str) -> str:
        current = self.server.get(f"{PREFIX}:current")
        assert current is not None
        return f"{PREFIX}:{current.decode()}:{name}"


def test_the_windows_are_a_function_of_the_history(fresh_redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows_module, "FILL_CHUNK", 2)
    monkeypatch.setattr(windows_module, "DROP_LEAST", 3)
    run_state_machine_as_test(
        lambda: Faults(fresh_redis),
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
