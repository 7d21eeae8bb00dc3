"""Bringing the windows to where the history is, whatever happened to them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from domain.errors import TemporaryError, WindowsNotWhole
from domain.log import Partition
from domain.ports import History, Telemetry, Windows
from domain.window import Changes

log = logging.getLogger(__name__)

REBUILD_WHEN_BEHIND: Final = 200_000
"""Messages between a guard and the history from which on a rebuild, which reads sums, is cheaper than the increments,
which are read from documents."""

_ATTEMPTS: Final = 10
"""Each repair that another process does not undo succeeds at once."""


class Repair(StrEnum):
    """In what the windows were not where the history says."""

    NOT_WHOLE = "not_whole"
    """There are none: flushed, or never made."""
    AHEAD_OF_HISTORY = "ahead_of_history"
    """They count messages that the history does not hold: it was restored, or failed over."""
    FAR_BEHIND = "far_behind"
    """They fell back so far that counting on from there would take longer than a rebuild."""
    GUARD_MOVED = "guard_moved"
    """They fell back, or another process moved them on: the increments were computed again from where they are."""


class Reconciler:
    """Counts into the windows what the history holds and they do not. Blocking; for one thread at a time."""

    def __init__(self, history: History, windows: Windows, telemetry: Telemetry) -> None:
        self._history = history
        self._windows = windows
        self._telemetry = telemetry
        self._guards: dict[Partition, int] = {}

    def forget(self) -> None:
        """The guards may have been moved by others: ask for them again."""
        self._guards.clear()

    def count(self, partitions: Iterable[Partition]) -> None:
        """Count everything that the history holds of these partitions. The guards are taken to be where this process
        left them, and asked for only when they are not.

        Raises WindowsNotWhole while another process rebuilds the windows, TemporaryError when a server does not answer
        or the guards are moved by others again and again.
        """
        left = list(partitions)
        for _ in range(_ATTEMPTS):
            for partition in left:
                if partition not in self._guards:
                    self._guards[partition] = self._ask(partition)
            # Asking for one may have led to a rebuild, and with it the others are forgotten.
            starts = {partition: self._guards[partition] for partition in left if partition in self._guards}
            counted = self._apply(self._history.changes(starts)) if starts else set()
            left = [partition for partition in left if partition not in counted]
            if not left:
                return
        names = ", ".join(f"{partition.topic}/{partition.number}" for partition in left)
        raise TemporaryError(f"the windows of {names} are moved by others again and again")

    def check(self, partition: Partition) -> None:
        """As `count`, but the guard is asked for: finds what happened to the windows since."""
        guard = self._ask(partition)
        self._guards[partition] = guard
        if guard != (self._history.next_offset(partition) or 0):
            self.count([partition])

    def _apply(self, everything: Iterable[Changes]) -> set[Partition]:
        """Returns the partitions whose changes were applied. A rebuild voids those that come behind."""
        applied: set[Partition] = set()
        for changes in everything:
            partition = changes.partition
            if changes.end < changes.start:
                self._rebuild(Repair.AHEAD_OF_HISTORY, partition)
                break
            try:
                guard = self._windows.apply(changes)
            except WindowsNotWhole:
                self._rebuild(Repair.NOT_WHOLE, partition)
                break
            if guard is None:
                self._guards[partition] = changes.end
                applied.add(partition)
                continue
            self._repaired(Repair.GUARD_MOVED, partition)
            if changes.end - guard > REBUILD_WHEN_BEHIND:
                del self._guards[partition]
            else:
                self._guards[partition] = guard
        return applied

    def _ask(self, partition: Partition) -> int:
        """Where the guard is, after a rebuild where only that helps."""
        for _ in range(_ATTEMPTS):
            try:
                guard = self._windows.guard(partition) or 0
            except WindowsNotWhole:
                self._rebuild(Repair.NOT_WHOLE, partition)
                continue
            recorded = self._history.next_offset(partition) or 0
            if guard > recorded:
                self._rebuild(Repair.AHEAD_OF_HISTORY, partition)
            elif recorded - guard > REBUILD_WHEN_BEHIND:
                self._rebuild(Repair.FAR_BEHIND, partition)
            else:
                return guard
        raise TemporaryError(f"the windows of {partition.topic}/{partition.number} do not stay as they are rebuilt")

    def _rebuild(self, why: Repair, partition: Partition) -> None:
        self._repaired(why, partition)
        self._guards.clear()
        self._windows.rebuild()

    def _repaired(self, why: Repair, partition: Partition) -> None:
        log.warning("the windows of %s/%d are put right: %s", partition.topic, partition.number, why)
        self._telemetry.count("windows_repairs_total", reason=why.value)
