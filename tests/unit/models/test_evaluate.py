"""The figures of quality."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from models.evaluate import quality


def test_figures_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(4), 500)
    labels = random.integers(0, 3, 500)
    figures = quality(scores, labels)
    answers = scores.argmax(axis=1)
    assert figures.rows == 500
    assert figures.accuracy == pytest.approx((answers == labels).mean(), abs=1e-4)
    assert figures.macro_f1 == pytest.approx(f1_score(labels, answers, average="macro", labels=[0, 1, 2]), abs=1e-4)
    assert figures.confusion == tuple(map(tuple, confusion_matrix(labels, answers, labels=range(4)).tolist()))


def test_answers_as_sure_as_they_are_right_have_no_calibration_error() -> None:
    scores = np.tile([0.75, 0.25], (400, 1))
    labels = np.array([0, 0, 0, 1] * 100)
    assert quality(scores, labels).calibration_error < 0.05
    assert quality(np.tile([1.0, 0.0], (400, 1)), labels).calibration_error == pytest.approx(0.25)
