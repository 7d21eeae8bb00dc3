"""Whatever happens to the windows, they are brought to where the history is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from support.builders import make_batch, make_record, scored_partition
from support.fake_history import FakeHistory
from support.fake_windows import FakeWindows
from support.histories import append
from support.kafka_world import CountingTelemetry

from domain.errors import TemporaryError, WindowsNotWhole
from domain.log import Partition
from domain.window import Changes
from stream import reconcile
from stream.reconcile import Reconciler, Repair

P = scored_partition()
OTHER = scored_partition(1)


class World:
    """A history, windows that follow it, and what was repaired."""

    def __init__(self) -> None:
        self.history = FakeHistory(lateness=timedelta(days=1))
        self.windows = FakeWindows(self.history)
        self.telemetry = CountingTelemetry()
        self.reconciler = self.another_process()
        self.recorded = 0

    def another_process(self) -> Reconciler:
        return Reconciler(self.history, self.windows, self.telemetry)

    def record(self, count: int = 1, partition: Partition = P) -> None:
        """Append so many new documents to the history alone."""
        start = self.history.next_offset(partition) or 0
        names = [f"doc-{self.recorded + number}" for number in range(count)]
        self.recorded += count
        append(self.history, make_batch([make_record(name) for name in names], partition=partition, start=start))

    def repairs(self) -> dict[str, float]:
        return {reason: n for (_, reason), n in self.telemetry.counts.items()}

    def assert_whole(self) -> None:
        """The windows hold exactly what the documents add up to."""
        held = {
            (subject, minute): counts
            for minute, subjects in self.windows.buckets(0, 1 << 40).counts.items()
            for subject, counts in subjects.items()
        }
        assert held == self.history.counts()


@pytest.fixture
def world() -> World:
    world = World()
    world.reconciler.check(P)
    world.telemetry.counts.clear()
    return world


def test_windows_that_never_were_are_made_by_the_first_check() -> None:
    world = World()
    world.record(3)

    world.reconciler.check(P)

    assert world.repairs() == {Repair.NOT_WHOLE: 1}
    world.assert_whole()


def test_each_batch_is_counted_once(world: World) -> None:
    for _ in range(3):
        world.record(2)
        world.reconciler.count([P])
        world.reconciler.count([P])

    world.assert_whole()
    assert world.repairs() == {}
    assert world.windows.guard(P) == 6


def test_partitions_are_counted_together_each_from_where_it_is(world: World) -> None:
    world.record(3)
    world.reconciler.count([P])
    world.record(2)
    world.record(4, OTHER)

    world.reconciler.count([OTHER, P])
    world.reconciler.count([])

    world.assert_whole()
    assert world.repairs() == {}
    assert (world.windows.guard(P), world.windows.guard(OTHER)) == (5, 4)


def test_of_partitions_counted_together_one_that_was_moved_is_counted_on_from_there(world: World) -> None:
    for partition in (P, OTHER):
        world.record(2, partition)
    world.reconciler.count([P, OTHER])
    successor = world.another_process()
    world.record(3, OTHER)
    successor.check(OTHER)
    for partition in (P, OTHER):
        world.record(1, partition)

    world.reconciler.count([OTHER, P])

    world.assert_whole()
    assert world.repairs() == {Repair.GUARD_MOVED: 1}


def test_windows_flushed_between_two_partitions_are_whole_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush_then_apply(changes: Changes) -> int | None:
        if changes.partition == OTHER:
            monkeypatch.undo()
            world.windows.flush()
        return world.windows.apply(changes) if changes.partition == OTHER else apply(changes)

    for partition in (P, OTHER):
        world.record(2, partition)
    apply = world.windows.apply
    monkeypatch.setattr(world.windows, "apply", flush_then_apply)

    world.reconciler.count([P, OTHER])

    world.assert_whole()
    assert world.repairs() == {Repair.NOT_WHOLE: 1}


def test_a_flush_between_batches_is_repaired_by_the_next_one(world: World) -> None:
    world.record(2)
    world.record(2, OTHER)
    world.reconciler.count([P])
    world.reconciler.count([OTHER])
    world.windows.flush()
    world.record()

    world.reconciler.count([P])

    world.assert_whole()
    assert world.repairs() == {Repair.NOT_WHOLE: 1}


def test_windows_that_fell_back_to_an_older_state_are_counted_on_from_there(world: World) -> None:
    world.record(2)
    world.reconciler.count([P])
    older = world.windows.snapshot()
    world.record(2)
    world.reconciler.count([P])
    world.windows.restore(older)
    world.record()

    world.reconciler.count([P])

    world.assert_whole()
    assert world.repairs() == {Repair.GUARD_MOVED: 1}


def test_a_check_finds_without_traffic_that_the_windows_fell_back(world: World) -> None:
    older = world.windows.snapshot()
    world.record(2)
    world.reconciler.count([P])
    world.windows.restore(older)

    world.reconciler.check(P)

    world.assert_whole()


def test_a_check_finds_without_traffic_that_the_windows_were_flushed(world: World) -> None:
    world.record(2)
    world.reconciler.count([P])
    world.windows.flush()

    world.reconciler.check(P)

    world.assert_whole()
    assert world.repairs() == {Repair.NOT_WHOLE: 1}


def test_a_process_that_others_have_overtaken_counts_nothing_twice(world: World) -> None:
    world.record()
    world.reconciler.count([P])
    successor = world.another_process()
    world.record(3)
    successor.check(P)
    world.record()

    world.reconciler.count([P])
    successor.count([P])

    world.assert_whole()


def test_windows_that_are_ahead_of_a_restored_history_are_rebuilt(world: World) -> None:
    world.record(2)
    world.reconciler.count([P])
    backup = world.history.snapshot()
    world.record(3)
    world.reconciler.count([P])
    world.history.restore(backup)

    world.reconciler.check(P)

    world.assert_whole()
    assert world.repairs() == {Repair.AHEAD_OF_HISTORY: 1}
    assert world.windows.guard(P) == 2


def test_counting_notices_too_that_the_history_was_restored(world: World) -> None:
    world.record(5)
    backup = world.history.snapshot()
    world.record(5)
    world.reconciler.count([P])
    world.history.restore(backup)

    world.reconciler.count([P])

    world.assert_whole()
    assert world.repairs() == {Repair.AHEAD_OF_HISTORY: 1}


def test_windows_far_behind_are_rebuilt_rather_than_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "REBUILD_WHEN_BEHIND", 3)
    older = world.windows.snapshot()
    world.record(4)
    world.reconciler.count([P])
    world.windows.restore(older)
    world.record(4)

    world.reconciler.count([P])

    world.assert_whole()
    assert world.repairs() == {Repair.GUARD_MOVED: 1, Repair.FAR_BEHIND: 1}


def test_a_history_that_lost_its_tail_leads_to_a_rebuild_that_keeps_what_was_counted(world: World) -> None:
    world.record(4)
    world.reconciler.count([P])

    world.history.truncate(P, 2)
    world.reconciler.check(P)
    world.record(3)
    world.reconciler.count([P])

    world.assert_whole()
    assert world.windows.guard(P) == 5


@pytest.mark.parametrize("failing", ["apply", "guard"])
def test_windows_flushed_at_any_moment_are_whole_in_the_end(
    world: World, failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flush_first(method: Callable[..., int | None]) -> Callable[..., int | None]:
        def call(argument: Changes | Partition) -> int | None:
            monkeypatch.undo()
            world.windows.flush()
            return method(argument)

        return call

    world.record(2)
    world.reconciler.count([P])
    world.record(2)
    monkeypatch.setattr(world.windows, failing, flush_first(getattr(world.windows, failing)))

    world.reconciler.check(P)

    world.assert_whole()


def test_a_rebuild_that_another_process_is_at_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def at_it() -> None:
        raise WindowsNotWhole("another process is rebuilding", delay=1.0)

    world.windows.flush()
    monkeypatch.setattr(world.windows, "rebuild", at_it)

    with pytest.raises(WindowsNotWhole):
        world.reconciler.check(P)


def test_a_guard_that_never_stays_is_an_error_and_no_endless_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.record()
    monkeypatch.setattr(world.windows, "apply", lambda changes: changes.start)

    with pytest.raises(TemporaryError, match="again and again"):
        world.reconciler.count([P])
