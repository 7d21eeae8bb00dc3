"""The history one partition at a time: what most tests want of a port that takes several."""

from __future__ import annotations

from domain.log import Partition, RecordBatch
from domain.ports import Appended, History
from domain.window import Changes


def append(history: History, batch: RecordBatch) -> Appended:
    """Append one batch."""
    (appended,) = history.append([batch])
    return appended


def changes_of(history: History, partition: Partition, start: int) -> Changes:
    """What one partition adds from `start` on."""
    (changes,) = history.changes({partition: start})
    return changes
