"""Cuts long texts into windows, and packs windows of similar length into batches under a token budget."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LENGTH_STEP = 4
"""Batches are padded to a multiple of this: fewer shapes for the backend to prepare kernels for."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows padded to one length, ready for a backend."""

    ids: NDArray[np.int64]
    """Token ids, shape (windows, tokens), padded with the padding id."""
    mask: NDArray[np.int64]
    """1 for a token, 0 for padding; the same shape."""
    windows: tuple[int, ...]
    """Which windows these are: positions in the list that was packed."""


def cut(length: int, longest: int) -> list[tuple[int, int]]:
    """[start, end) of the windows of `length` tokens: as few as hold at most `longest` each, and nearly equal, so that
    the last one is no scrap. One empty window for no tokens."""
    count = max(1, -(-length // longest))
    edges = [length * number // count for number in range(count + 1)]
    return list(itertools.pairwise(edges))


def pack(windows: Sequence[Sequence[int]], *, budget: int, padding_id: int) -> list[Batch]:
    """Every window in one batch, the longest first; a batch has at most `budget` tokens with its padding, or a single
    window."""
    order = sorted(range(len(windows)), key=lambda number: -len(windows[number]))
    batches = []
    start = 0
    while start < len(order):
        width = _rounded(len(windows[order[start]]))
        members = order[start : start + max(1, budget // width)]
        start += len(members)
        ids = np.full((len(members), width), padding_id, dtype=np.int64)
        mask = np.zeros((len(members), width), dtype=np.int64)
        for row, number in enumerate(members):
            window = windows[number]
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        batches.append(Batch(ids=ids, mask=mask, windows=tuple(members)))
    return batches


def _rounded(length: int) -> int:
    return -(-length // LENGTH_STEP) * LENGTH_STEP
