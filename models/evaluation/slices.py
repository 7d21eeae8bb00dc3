"""Parts of a set that a single figure would hide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.evaluation.perturb import TICKER

LENGTHS = ((0, 8), (8, 16), (16, 32), (32, 64), (64, None))
"""Words: more than the first, at most the second."""


def slices(texts: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Name → which rows are in it: by length in words, with and without a ticker ($AAPL). Some may be empty."""
    out: dict[str, NDArray[np.bool_]] = {}
    words = np.array([len(text.split()) for text in texts])
    for low, high in LENGTHS:
        name = f"words: {low + 1} to {high}" if high else f"words: more than {low}"
        out[name] = (words > low) & (words <= (high or np.inf))
    ticker = np.array([TICKER.search(text) is not None for text in texts])
    return out | {"with a ticker": ticker, "without a ticker": ~ticker}
