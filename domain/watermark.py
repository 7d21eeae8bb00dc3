"""How far event time has come, over all source partitions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.log import MarkStatus, Partition


@dataclass(frozen=True, kw_only=True)
class MarkState:
    """What one partition of `scored` knows of one source partition, accumulated over all the marks it holds.

    The maxima never go back; `status` and `fan_out` are the newest mark's.
    """

    scored: Partition
    source: Partition
    status: MarkStatus
    next_offset: int
    high_time: datetime | None
    ended_at: datetime | None
    fan_out: int


@dataclass(frozen=True, kw_only=True)
class Watermark:
    """The event time up to which all is recorded; `None` while nothing is known. `held_by` names who holds it back."""

    at: datetime | None
    held_by: tuple[Partition, ...] = ()


def watermark(states: Iterable[MarkState], lateness: timedelta) -> Watermark:
    """The minimum over source partitions of how far each has come: its newest event time minus `lateness`, or the
    end that its sender declared, whichever is later.

    An idle partition holds nothing back; when all are idle, event time has come as far as the furthest of them. A
    partition that is known but unread, or whose marks have not arrived in every partition of `scored`, makes the
    watermark unknown.
    """
    by_source: dict[Partition, list[MarkState]] = defaultdict(list)
    for state in states:
        by_source[state.source].append(state)
    reached: dict[Partition, datetime] = {}
    idle: dict[Partition, datetime] = {}
    unknown: list[Partition] = []
    for source, parts in by_source.items():
        times = [_reached(part, lateness) for part in parts]
        known = [time for time in times if time is not None]
        complete = len({part.scored for part in parts}) >= max(part.fan_out for part in parts)
        if complete and all(part.status is MarkStatus.IDLE for part in parts):
            if len(known) == len(times) and known:
                idle[source] = min(known)
        elif complete and len(known) == len(times):
            reached[source] = min(known)
        else:
            unknown.append(source)
    if unknown:
        return Watermark(at=None, held_by=tuple(sorted(unknown)))
    if reached:
        at = min(reached.values())
        return Watermark(at=at, held_by=tuple(sorted(source for source, time in reached.items() if time == at)))
    if idle:
        return Watermark(at=max(idle.values()))
    return Watermark(at=None)


def _reached(state: MarkState, lateness: timedelta) -> datetime | None:
    by_time = None if state.high_time is None else state.high_time - lateness
    candidates = [time for time in (by_time, state.ended_at) if time is not None]
    return max(candidates, default=None)
