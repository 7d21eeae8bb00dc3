"""Calibration error and temperatures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss

from models.evaluation.calibration import (
    at_temperature,
    calibration_error,
    cross_fitted,
    error_by_chance,
    error_of,
    fit_temperature,
)
from models.evaluation.metrics import one_hot


def overconfident(rows: int, temperature: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores whose logits are `temperature` times too large for how often each label is true."""
    random = np.random.default_rng(seed)
    honest = random.dirichlet(np.full(4, 0.7), rows)
    labels = (honest.cumsum(axis=1) > random.random((rows, 1))).argmax(axis=1)
    return at_temperature(honest, 1 / temperature, multi=False), one_hot(labels, 4)


def test_answers_as_sure_as_they_are_right_have_no_calibration_error() -> None:
    right = np.array([True, True, True, False] * 1500)
    np.random.default_rng(0).shuffle(right)
    assert calibration_error(np.full(6000, 0.75), right) < 0.02
    assert calibration_error(np.ones(6000), right) == pytest.approx(0.25)
    assert calibration_error(np.array([0.9]), np.array([True])) == pytest.approx(0.1)


def test_the_calibration_error_does_not_depend_on_the_order_of_equally_sure_rows() -> None:
    right = np.arange(1000) < 750
    assert calibration_error(np.full(1000, 0.75), right) == pytest.approx(0)
    random = np.random.default_rng(0)
    confidence, right = random.choice([0.4, 0.6, 0.61, 0.9], 1000), random.random(1000) < 0.6
    error = calibration_error(confidence, right)
    for order in (np.lexsort((right, confidence)), np.lexsort((~right, confidence)), random.permutation(1000)):
        assert calibration_error(confidence[order], right[order]) == pytest.approx(error)


def test_what_chance_shows_is_what_perfect_calibration_shows_on_so_many_rows() -> None:
    found = []
    for rows in (300, 30_000):
        scores, _ = overconfident(rows, 1.0)
        by_chance = error_by_chance(scores, multi=False)
        seen = [error_of(*overconfident(rows, 1.0, seed), multi=False) for seed in range(20)]
        assert by_chance == pytest.approx(np.mean(seen), rel=0.15)
        assert error_by_chance(scores, multi=False) == by_chance
        found.append(by_chance)
    assert found[0] > 5 * found[1]
    multi = np.random.default_rng(0).random((2000, 3))
    assert 0 < error_by_chance(multi, multi=True) < 0.03


def test_the_temperature_is_found_that_the_logits_were_multiplied_by() -> None:
    scores, truth = overconfident(20_000, 2.5)
    assert fit_temperature(scores, truth, multi=False) == pytest.approx(2.5, rel=0.05)


def test_no_other_temperature_is_likelier() -> None:
    scores, truth = overconfident(500, 1.7)

    def loss(temperature: float) -> float:
        return float(log_loss(truth.argmax(axis=1), at_temperature(scores, temperature, multi=False)))

    best = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-8})
    assert fit_temperature(scores, truth, multi=False) == pytest.approx(best.x, rel=1e-4)


def test_each_label_of_a_multi_label_task_counts() -> None:
    random = np.random.default_rng(1)
    honest = random.beta(0.8, 2.0, (8000, 3))
    truth = random.random((8000, 3)) < honest
    scores = at_temperature(honest, 0.5, multi=True)
    assert error_of(scores, truth, multi=True) > 0.05
    temperature = fit_temperature(scores, truth, multi=True)
    assert temperature == pytest.approx(2.0, rel=0.05)
    assert error_of(at_temperature(scores, temperature, multi=True), truth, multi=True) < 0.015


def test_temperatures_change_no_answer_and_undo_each_other() -> None:
    scores, _ = overconfident(200, 3.0)
    cooled = at_temperature(scores, 4.0, multi=False)
    assert (cooled.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert cooled.sum(axis=1) == pytest.approx(1.0)
    assert at_temperature(cooled, 0.25, multi=False) == pytest.approx(scores)


def test_answers_that_are_all_right_give_a_finite_temperature() -> None:
    scores = np.tile([0.0, 1.0], (50, 1))
    assert fit_temperature(scores, one_hot(np.ones(50, dtype=int), 2), multi=False) == pytest.approx(0.05)
    assert fit_temperature(scores, one_hot(np.zeros(50, dtype=int), 2), multi=False) == pytest.approx(20.0)


def test_scaling_lowers_the_error_on_rows_that_it_was_not_fitted_on() -> None:
    scores, truth = overconfident(3000, 2.0)
    groups = [row // 3 for row in range(3000)]
    scaled = cross_fitted(scores, truth, groups, multi=False)
    assert error_of(scaled, truth, multi=False) < 0.025 < 0.08 < error_of(scores, truth, multi=False)


def test_a_row_has_no_part_in_its_own_temperature() -> None:
    scores, truth = overconfident(300, 2.0)
    groups = [row // 3 for row in range(300)]
    before = cross_fitted(scores, truth, groups, multi=False)
    contrary = truth.copy()
    contrary[:3] = np.roll(truth[:3], 1, axis=1)
    after = cross_fitted(scores, contrary, groups, multi=False)
    assert (after[:3] == before[:3]).all()
    assert (after[3:] != before[3:]).any()
