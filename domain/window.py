"""Rolling windows: minute buckets in event time, and sums of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from domain.classification import POLARITY_SCALE
from domain.log import Partition
from domain.subject import Subject
from domain.timeline import Minute
from domain.watermark import MarkState

UNKNOWN_PUBLISHER = ""
"""All documents without a known publisher count as one publisher."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over the documents of a bucket, all whole numbers, so that they add up exactly in any order."""

    count: int = 0
    negative: int = 0
    neutral: int = 0
    positive: int = 0
    polarity_sum: int = 0
    """Sum of scaled polarities (ten-thousandths)."""
    polarity_squares: int = 0
    """Sum of squares of scaled polarities."""

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.count + other.count,
            self.negative + other.negative,
            self.neutral + other.neutral,
            self.positive + other.positive,
            self.polarity_sum + other.polarity_sum,
            self.polarity_squares + other.polarity_squares,
        )

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.count - other.count,
            self.negative - other.negative,
            self.neutral - other.neutral,
            self.positive - other.positive,
            self.polarity_sum - other.polarity_sum,
            self.polarity_squares - other.polarity_squares,
        )

    @property
    def polarity_mean(self) -> float | None:
        """Mean polarity in [−1, 1]; None when there are no documents: unknown, not calm."""
        return self.polarity_sum / self.count / POLARITY_SCALE if self.count else None

    @property
    def polarity_variance(self) -> float | None:
        """Population variance of polarity: E[x²] − E[x]², exact to a float's precision since the sums are whole."""
        if not self.count:
            return None
        return (self.polarity_squares * self.count - self.polarity_sum**2) / (self.count * POLARITY_SCALE) ** 2

    @property
    def negative_share(self) -> float | None:
        """Negative documents among all, in [0, 1]."""
        return self.negative / self.count if self.count else None


@dataclass(frozen=True, kw_only=True)
class WindowStats:
    """One subject over [start, end). The mean and variance are None when the window is empty: unknown, not calm."""

    subject: Subject
    start: datetime
    end: datetime
    counts: Counts

    @property
    def polarity_mean(self) -> float | None:
        """Mean polarity in [−1, 1]."""
        return self.counts.polarity_mean

    @property
    def polarity_variance(self) -> float | None:
        """Population variance of polarity."""
        return self.counts.polarity_variance

    @property
    def negative_share(self) -> float | None:
        """Negative documents among all, in [0, 1]."""
        return self.counts.negative_share


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What the messages [start, end) of one partition of `scored` add to the windows, read from the history in one
    snapshot, with the marks as they stand at `end`. Applied once, when the partition's guard is at `start`."""

    partition: Partition
    start: int
    end: int
    counts: Mapping[tuple[Subject, Minute], Counts] = field(default_factory=dict)
    negative_publishers: Mapping[tuple[Subject, Minute], frozenset[str]] = field(default_factory=dict)
    marks: tuple[MarkState, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """All subjects' minute buckets over [start, end), as of one instant, with how far event time had come then."""

    start: Minute
    end: Minute
    counts: Mapping[Minute, Mapping[Subject, Counts]]
    """Only minutes and subjects that have documents."""
    marks: tuple[MarkState, ...]
