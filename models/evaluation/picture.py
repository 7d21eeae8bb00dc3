"""Draws the confusion matrix. Needs matplotlib (the `train` extra)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from domain.errors import PermanentError


def draw_confusion(path: Path, counts: Sequence[Sequence[int]], labels: Sequence[str], *, title: str) -> None:
    """Write a PNG: rows by true label, columns by answer, each cell its count, its shade the share of its row.

    Raises PermanentError when matplotlib is missing or the file can't be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PermanentError("drawing needs matplotlib: pip install 'groundswell[train]'") from error
    cells = np.asarray(counts)
    shares = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    side = 3 + 0.45 * len(labels)
    figure = Figure(figsize=(side, side), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=90)
    axes.set_yticks(places, labels)
    axes.set_xlabel("answered")
    axes.set_ylabel("true")
    axes.set_title(title, fontsize="small")
    for row in places:
        for column in places:
            if cells[row, column]:
                ink = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, f"{cells[row, column]}", ha="center", va="center", color=ink, fontsize="small")
    try:
        figure.savefig(path, format="png", dpi=150)
    except OSError as error:
        raise PermanentError(f"cannot write {path}: {error.strerror}") from error
