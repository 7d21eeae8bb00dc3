"""Whether two models differ: McNemar's test on the rows that only one of them gets right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.bootstrap import Interval, Resamples

EXACT_BELOW = 25
"""With fewer discordant rows than this the binomial distribution is used itself, above it its approximation by χ²
(Dietterich 1998, Approximate Statistical Tests for Comparing Supervised Classification Learning Algorithms)."""


@dataclass(frozen=True, kw_only=True)
class McNemar:
    """McNemar's test (1947) of "each model is as likely as the other to be right where the other is wrong"."""

    only_first: int
    """Rows that only the first model gets right."""
    only_second: int
    p_value: float
    """Two-sided."""
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the same rows."""

    first: str
    second: str
    accuracy_first: float
    accuracy_second: float
    difference: Interval
    """Accuracy of the first less that of the second; paired bootstrap."""
    agreement: float
    """Share of rows with the same answer."""
    largest_difference: float
    """Of a probability."""
    mcnemar: McNemar


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> McNemar:
    """b rows right by the first only, c by the second only. For b + c < 25 twice the tail P[X ≤ min(b, c)] of a
    binomial with b + c trials and p = ½, at most 1; else χ² = (|b − c| − 1)² / (b + c) with one degree of freedom
    (Edwards's correction, 1948), whose tail is erfc(√(χ²/2))."""
    first, second = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    discordant = first + second
    exact = discordant < EXACT_BELOW
    if exact:
        tail = sum(math.comb(discordant, count) for count in range(min(first, second) + 1)) / 2**discordant
        p_value = min(1.0, 2 * tail)
    else:
        statistic = max(0, abs(first - second) - 1) ** 2 / discordant
        p_value = math.erfc(math.sqrt(statistic / 2))
    return McNemar(only_first=first, only_second=second, p_value=p_value, exact=exact)


def compare(
    names: tuple[str, str],
    truth: NDArray[np.bool_],
    scores: tuple[NDArray[np.float64], NDArray[np.float64]],
    answers: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    resamples: Resamples,
) -> Comparison:
    """`truth`, each of `scores` and each of `answers` of shape (rows, labels). A row is right when all its labels
    are."""
    right = tuple((answer == truth).all(axis=1) for answer in answers)
    return Comparison(
        first=names[0],
        second=names[1],
        accuracy_first=float(right[0].mean()),
        accuracy_second=float(right[1].mean()),
        difference=resamples.mean(right[0].astype(float) - right[1].astype(float)),
        agreement=float((answers[0] == answers[1]).all(axis=1).mean()),
        largest_difference=float(np.abs(scores[0] - scores[1]).max()),
        mcnemar=mcnemar(right[0], right[1]),
    )
