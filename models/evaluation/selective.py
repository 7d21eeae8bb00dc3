"""Selective accuracy: how right the answers are when only the surest are given (El-Yaniv and Wiener 2010)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5)


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The surest answers."""

    coverage: float
    """Which share of all rows."""
    rows: int
    accuracy: float
    threshold: float
    """The least confidence among them."""


def selective_accuracy(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[Selected, ...]:
    """One entry for each of COVERAGES. Both of shape (rows,), at least one row; among equally sure ones the first
    count."""
    order = np.argsort(-confidence, kind="stable")
    out = []
    for coverage in COVERAGES:
        surest = order[: max(1, round(coverage * len(order)))]
        out.append(
            Selected(
                coverage=coverage,
                rows=len(surest),
                accuracy=float(right[surest].mean()),
                threshold=float(confidence[surest[-1]]),
            )
        )
    return tuple(out)
