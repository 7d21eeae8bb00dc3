"""WindowReader over Redis, and over the history's minute roll-ups for what lies below the floor.

Below the watermark nothing is added any more, so that both give the same answers for the same minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from domain.errors import WindowsNotWhole
from domain.subject import Subject
from domain.timeline import Minute, start_of
from domain.watermark import MarkState
from domain.window import Buckets, Counts, WindowStats
from store.redis import codec
from store.redis.connection import Redis, Script

ESTIMATE_FROM = 1_000
"""Publishers from which the HyperLogLog's estimate is good enough (0.81 % standard error). It is now and then one off
among the few that a rule compares with: two of three share a register once in 5,500 times. Fewer are therefore counted
in the history (docs/adr/0003)."""


class RollUps(Protocol):
    """The minute roll-ups of the history, late documents excepted: what the port WindowReader says of each method."""

    def buckets(self, start: Minute, end: Minute) -> Mapping[Minute, Mapping[Subject, Counts]]: ...

    def observed(self, start: Minute, end: Minute) -> Sequence[Minute]: ...

    def negative_publishers(self, subject: Subject, start: Minute, end: Minute) -> int: ...

    def series(self, subject: Subject, start: Minute, end: Minute, step: int) -> Sequence[WindowStats]: ...


class RedisWindowReader:
    """The port domain.ports.WindowReader. Thread-safe if `fallback` is."""

    def __init__(self, redis: Redis, *, prefix: str, fallback: RollUps) -> None:
        self._prefix = prefix
        self._fallback = fallback
        self._marks = redis.script("marks")
        self._buckets = redis.script("buckets")
        self._observed = redis.script("observed")
        self._publishers = redis.script("publishers")
        self._series = redis.script("series")

    def marks(self) -> tuple[MarkState, ...]:
        _, marks = self._read(self._marks)
        return codec.decode_marks(marks)

    def buckets(self, start: Minute, end: Minute) -> Buckets:
        floor, marks, *held = self._read(self._buckets, start, end)
        counts: dict[Minute, Mapping[Subject, Counts]] = {}
        if start < floor:
            counts.update(self._fallback.buckets(start, min(end, floor)))
        pairs = iter(held)
        counts.update((int(minute), codec.decode_buckets(packed)) for minute, packed in zip(pairs, pairs, strict=True))
        return Buckets(start=start, end=end, counts=counts, marks=codec.decode_marks(marks))

    def observed(self, start: Minute, end: Minute) -> Sequence[Minute]:
        floor, held = self._read(self._observed, start, end)
        older = self._fallback.observed(start, min(end, floor)) if start < floor else ()
        return [*older, *map(int, held)]

    def negative_publishers(self, subject: Subject, start: Minute, end: Minute) -> int:
        _, estimate = self._read(self._publishers, start, end, str(subject))
        if estimate == 0 or (estimate is not None and estimate >= ESTIMATE_FROM):
            return int(estimate)
        return self._fallback.negative_publishers(subject, start, end)

    def series(self, subject: Subject, start: Minute, end: Minute, step: int) -> Sequence[WindowStats]:
        if step < 1:
            raise ValueError(f"the step of a series must be at least one minute, got {step}")
        floor, *held = self._read(self._series, start, end, str(subject))
        older = -(-(min(floor, end) - start) // step) if start < floor else 0
        seam = min(start + older * step, end)
        windows = list(self._fallback.series(subject, start, seam, step)) if older else []
        sums = [Counts()] * -(-(end - seam) // step)
        pairs = iter(held)
        for minute, bucket in zip(pairs, pairs, strict=True):
            if int(minute) >= seam:
                sums[(int(minute) - seam) // step] += codec.decode_bucket(bucket.decode())
        for index, counts in enumerate(sums):
            begin = seam + index * step
            until = min(begin + step, end)
            windows.append(WindowStats(subject=subject, start=start_of(begin), end=start_of(until), counts=counts))
        return windows

    def _read(self, script: Script, *arguments: str | bytes | int) -> Any:
        reply = script(self._prefix, *arguments)
        if reply is None:
            raise WindowsNotWhole("Redis holds no windows: they are being rebuilt, or no worker has run yet", delay=1.0)
        return reply
