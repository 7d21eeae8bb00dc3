"""Whether probabilities are to be believed: calibration error, and temperature scaling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

BINS = 15
FOLDS = 5
CHANCE_DRAWS = 100
_SHARPEST, _FLATTEST = 0.05, 20.0
"""Bounds of a temperature: answers that are all right would drive it to 0."""
_TINY = 1e-12
"""A probability below this is taken for it: float32 rounds smaller ones to 0, which has no logarithm."""


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """The expected calibration error (ECE): mean |accuracy − confidence| over 15 bins of equal mass (Nguyen and
    O'Connor 2015; fewer bins for fewer rows), weighted by their rows. Both of shape (rows,), at least one row.

    Rows of equal confidence count with the accuracy of them all, so that it does not matter which of them an edge
    between two bins parts: nor, so, in which order the rows come.
    """
    _, equal = np.unique(confidence, return_inverse=True)
    accuracy = (np.bincount(equal, weights=right) / np.bincount(equal))[equal]
    order = np.argsort(confidence)
    bins = np.array_split(order, min(BINS, len(order)))
    return sum(len(part) * abs(float(accuracy[part].mean() - confidence[part].mean())) for part in bins) / len(order)


def error_of(scores: NDArray[np.float64], truth: NDArray[np.bool_], *, multi: bool) -> float:
    """The calibration error of probabilities of shape (rows, labels): of the answered label's, or for a multi-label
    task of every label's own."""
    if multi:
        return calibration_error(scores.ravel(), truth.ravel())
    answers = scores.argmax(axis=1)
    return calibration_error(scores.max(axis=1), truth[np.arange(len(truth)), answers])


def error_by_chance(scores: NDArray[np.float64], *, multi: bool, seed: int = 0) -> float:
    """The calibration error that a perfectly calibrated model with these probabilities would show on as many rows, the
    mean over CHANCE_DRAWS draws of what is right: whatever the bins, so many rows differ from their confidence by
    chance. An error near it is no sign of a bad calibration."""
    sure = scores.ravel() if multi else scores.max(axis=1)
    draws = np.random.default_rng(seed).random((CHANCE_DRAWS, len(sure))) < sure
    return float(np.mean([calibration_error(sure, right) for right in draws]))


def at_temperature(scores: NDArray[np.float64], temperature: float, *, multi: bool) -> NDArray[np.float64]:
    """The probabilities that come of the same logits divided by `temperature`: p^(1/T), normed over the labels, or for
    a multi-label task over the label and its absence."""
    logits = _logits(scores, multi=multi) / temperature
    return _sigmoid(logits) if multi else _softmax(logits)


def fit_temperature(scores: NDArray[np.float64], truth: NDArray[np.bool_], *, multi: bool) -> float:
    """The temperature T that makes the negative log-likelihood of the truth least when logits are divided by T (Guo et
    al. 2017, On Calibration of Modern Neural Networks, 4.2). `scores` are probabilities at temperature 1.

    The loss is convex in 1/T, so its slope, E[logit under the model] − E[logit of the truth], has one root, which
    bisection finds.
    """
    logits = _logits(scores, multi=multi)
    expected: Callable[[NDArray[np.float64]], NDArray[np.float64]] = _sigmoid if multi else _softmax
    low, high = 1 / _FLATTEST, 1 / _SHARPEST
    for _ in range(50):
        middle = math.sqrt(low * high)
        slope = ((expected(logits * middle) - truth) * logits).sum()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 1 / middle


def cross_fitted(
    scores: NDArray[np.float64], truth: NDArray[np.bool_], groups: Sequence[int], *, multi: bool, seed: int = 0
) -> NDArray[np.float64]:
    """The probabilities with a temperature that was fitted on other rows: five folds of whole groups, each scaled by
    what the other four say. As they are when there are fewer groups than folds."""
    distinct, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(distinct) < FOLDS:
        return scores
    fold = np.random.default_rng(seed).permutation(len(distinct))[group] % FOLDS
    out = np.empty_like(scores)
    for number in range(FOLDS):
        inside = fold == number
        temperature = fit_temperature(scores[~inside], truth[~inside], multi=multi)
        out[inside] = at_temperature(scores[inside], temperature, multi=multi)
    return out


def _logits(scores: NDArray[np.float64], *, multi: bool) -> NDArray[np.float64]:
    """Up to a constant by row, which neither likelihood nor softmax sees."""
    if multi:
        inside = np.clip(scores, _TINY, 1 - _TINY)
        logits: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
        return logits
    logs: NDArray[np.float64] = np.log(np.maximum(scores, _TINY))
    return logs


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    normed: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return normed


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    out: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
    return out
