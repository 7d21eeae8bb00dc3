"""Figures of quality from counts by label: accuracy, F1, precision, recall, average precision, the confusion matrix.

Truth and answers are boolean arrays of shape (rows, labels): one true value a row for a task with one label a text, any
number for a multi-label task. Every F1 here is a function of three sums over rows by label, so that bootstrap resamples
need only weighted sums (`bootstrap.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MULTI_THRESHOLD = 0.5
"""A label of a multi-label task is answered when its probability is at least this."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Counts by label, each of shape (…, labels): of one set, or of one set in each row of a leading axis."""

    both: NDArray[np.float64]
    """Rows that have the label and were answered so."""
    answered: NDArray[np.float64]
    true: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LabelFigures:
    """How one label is answered. A ratio without a denominator is 0, as scikit-learn has it."""

    label: str
    rows: int
    """That truly have the label."""
    precision: float
    recall: float
    f1: float
    average_precision: float | None = None
    """Multi-label tasks only."""


def one_hot(numbers: NDArray[np.int64], labels: int) -> NDArray[np.bool_]:
    """Label numbers of shape (rows,) as booleans of shape (rows, labels)."""
    return np.asarray(np.arange(labels) == numbers[:, None])


def decide(scores: NDArray[np.float64], *, multi: bool) -> NDArray[np.bool_]:
    """The answers in probabilities of shape (rows, labels): the first of the most probable labels, or every label of a
    multi-label task that reaches MULTI_THRESHOLD."""
    return np.asarray(scores >= MULTI_THRESHOLD) if multi else one_hot(scores.argmax(axis=1), scores.shape[1])


def tally(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> Tally:
    """Counts over all rows."""
    return Tally(
        both=(truth & answers).sum(axis=0).astype(float),
        answered=answers.sum(axis=0).astype(float),
        true=truth.sum(axis=0).astype(float),
    )


def micro_f1(counts: Tally) -> NDArray[np.float64]:
    """2·TP / (2·TP + FP + FN) over all labels together. With one label a row this is the accuracy."""
    return _ratio(2 * counts.both.sum(axis=-1), counts.answered.sum(axis=-1) + counts.true.sum(axis=-1))


def macro_f1(counts: Tally) -> NDArray[np.float64]:
    """Mean F1 over the labels that truly occur."""
    occurring = counts.true > 0
    return _ratio((_f1(counts) * occurring).sum(axis=-1), occurring.sum(axis=-1).astype(float))


def weighted_f1(counts: Tally) -> NDArray[np.float64]:
    """Mean F1 over the labels, weighted by how often each truly occurs."""
    return _ratio((_f1(counts) * counts.true).sum(axis=-1), counts.true.sum(axis=-1))


def by_label(
    labels: Sequence[str],
    truth: NDArray[np.bool_],
    answers: NDArray[np.bool_],
    scores: NDArray[np.float64] | None = None,
) -> tuple[LabelFigures, ...]:
    """One entry a label, in order; with average precision when `scores` (probabilities) are given."""
    counts = tally(truth, answers)
    precision, recall, f1 = _ratio(counts.both, counts.answered), _ratio(counts.both, counts.true), _f1(counts)
    return tuple(
        LabelFigures(
            label=label,
            rows=int(counts.true[number]),
            precision=float(precision[number]),
            recall=float(recall[number]),
            f1=float(f1[number]),
            average_precision=None if scores is None else average_precision(truth[:, number], scores[:, number]),
        )
        for number, label in enumerate(labels)
    )


def confusion(truth: NDArray[np.bool_], answers: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Shape (labels, labels), rows by true label, columns by answer; for tasks with one label a row."""
    counts: NDArray[np.int64] = truth.T.astype(np.int64) @ answers.astype(np.int64)
    return counts


def average_precision(truth: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """Σ (Rₙ − Rₙ₋₁)·Pₙ over the distinct scores as thresholds, without interpolation (Manning, Raghavan and Schütze,
    Introduction to Information Retrieval, 8.4). Both of shape (rows,); 0 when no row is true."""
    if not truth.any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    last_of_its_score = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    precision = hits[last_of_its_score] / (last_of_its_score + 1)
    recall = hits[last_of_its_score] / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def _f1(counts: Tally) -> NDArray[np.float64]:
    return _ratio(2 * counts.both, counts.answered + counts.true)


def _ratio(over: NDArray[np.float64], under: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 where there is nothing to divide by."""
    return np.divide(over, under, out=np.zeros(np.shape(under)), where=np.asarray(under) > 0)
