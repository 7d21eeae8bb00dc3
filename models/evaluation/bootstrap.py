"""Confidence intervals by the bootstrap (Efron and Tibshirani 1993, chapter 13: percentile intervals), over whole
stories: texts that nearly repeat each other are right or wrong together, and rows would pretend to more evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.metrics import Tally

RESAMPLES = 1000
LEVEL = 0.95
_AT_ONCE = 100
"""Resamples whose weights are in memory together."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A figure, and where it lies in LEVEL of the resamples."""

    value: float
    low: float
    high: float


class Resamples:
    """Draws of as many groups as there are, with replacement; the same draws for every figure of a set, and for two
    models on it, so that their differences are paired."""

    def __init__(self, groups: Sequence[int] | NDArray[np.int64], *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        """`groups` has a number for each row (its story, or the row itself)."""
        distinct, self._group = np.unique(np.asarray(groups), return_inverse=True)
        self._groups = len(distinct)
        self._resamples = resamples
        self._seed = seed

    def interval(self, figure: Callable[[Tally], NDArray[np.float64]], by_row: Tally) -> Interval:
        """Of a function of counts, given each row's own counts, of shape (rows, labels)."""
        return self._interval(
            lambda sums: figure(Tally(both=sums[0], answered=sums[1], true=sums[2])),
            [by_row.both, by_row.answered, by_row.true],
        )

    def mean(self, values: NDArray[np.float64]) -> Interval:
        """Of the mean of values of shape (rows,)."""
        ones = np.ones((len(values), 1))
        return self._interval(lambda sums: sums[0][..., 0] / sums[1][..., 0], [values[:, None], ones])

    def _interval(
        self, figure: Callable[[list[NDArray[np.float64]]], NDArray[np.float64]], by_row: Sequence[NDArray[np.float64]]
    ) -> Interval:
        by_group = [self._summed(values) for values in by_row]
        drawn = np.concatenate([figure([weights @ sums for sums in by_group]) for weights in self._weights()])
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        value = figure([values.sum(axis=0)[None] for values in by_row])[0]
        return Interval(value=float(value), low=float(low), high=float(high))

    def _summed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.zeros((self._groups, values.shape[1]))
        np.add.at(sums, self._group, values)
        return sums

    def _weights(self) -> Iterator[NDArray[np.float64]]:
        """How often each group is drawn, of shape (draws, groups)."""
        random = np.random.default_rng(self._seed)
        for start in range(0, self._resamples, _AT_ONCE):
            draws = min(_AT_ONCE, self._resamples - start)
            drawn = random.integers(self._groups, size=(draws, self._groups))
            drawn += np.arange(draws)[:, None] * self._groups
            counts = np.bincount(drawn.ravel(), minlength=draws * self._groups)
            yield counts.reshape(draws, self._groups).astype(float)


def by_row(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> Tally:
    """Each row's own counts, of shape (rows, labels)."""
    return Tally(both=(truth & answers).astype(float), answered=answers.astype(float), true=truth.astype(float))
