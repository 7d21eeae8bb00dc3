"""What a rebuild of the windows reads: the history as of one instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from domain.log import Partition
from domain.subject import Subject
from domain.timeline import Minute
from domain.watermark import MarkState
from domain.window import Counts


@dataclass(frozen=True, kw_only=True)
class Increment:
    """All that one subject's minute holds, late documents excepted."""

    subject: Subject
    minute: Minute
    counts: Counts
    negative_publishers: frozenset[str]
    """The publishers of its negative documents; UNKNOWN_PUBLISHER stands for every unknown one."""


class RebuildSnapshot(Protocol):
    """The history as of one instant. Usable by one thread, within the block that opened it."""

    @property
    def guards(self) -> Mapping[Partition, int]:
        """`next_offset` of every partition of `scored` that was ever recorded: what the increments hold is exactly
        what the messages below these offsets add."""
        ...

    @property
    def marks(self) -> tuple[MarkState, ...]:
        """How far event time has come, as of the guards."""
        ...

    def increments(self, start: Minute) -> Iterator[Increment]:
        """Every subject's minutes from `start` on, by rising minute, streamed; each (subject, minute) once."""
        ...


class RebuildSource(Protocol):
    """Opens snapshots of the history; store/postgres/history.py implements it."""

    def window_source(self) -> AbstractContextManager[RebuildSnapshot]:
        """One consistent snapshot, held open for as long as the block runs."""
        ...
