"""The figures of quality, against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
)

from models.evaluation.bootstrap import Resamples, by_row
from models.evaluation.metrics import (
    average_precision,
    by_label,
    confusion,
    decide,
    macro_f1,
    micro_f1,
    one_hot,
    tally,
    weighted_f1,
)
from models.evaluation.selective import selective_accuracy

LABELS = ("a", "b", "c", "d")


def test_figures_of_one_label_a_row_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    scores = random.dirichlet(np.ones(4), 500)
    numbers = random.integers(0, 3, 500)  # d is answered, and never true
    answers = scores.argmax(axis=1)
    truth, answered = one_hot(numbers, 4), decide(scores, multi=False)
    counts = tally(truth, answered)
    assert micro_f1(counts) == pytest.approx(accuracy_score(numbers, answers))
    assert macro_f1(counts) == pytest.approx(f1_score(numbers, answers, average="macro", labels=[0, 1, 2]))
    assert weighted_f1(counts) == pytest.approx(f1_score(numbers, answers, average="weighted"))
    assert confusion(truth, answered).tolist() == confusion_matrix(numbers, answers, labels=range(4)).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(
        numbers, answers, labels=range(4), zero_division=0.0
    )
    for number, row in enumerate(by_label(LABELS, truth, answered)):
        assert (row.label, row.rows) == (LABELS[number], support[number])
        assert (row.precision, row.recall, row.f1) == pytest.approx((precision[number], recall[number], f1[number]))


def test_figures_of_many_labels_a_row_equal_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    truth, scores = random.random((300, 4)) < 0.3, random.random((300, 4)).round(2)
    answers = decide(scores, multi=True)
    counts = tally(truth, answers)
    assert micro_f1(counts) == pytest.approx(f1_score(truth, answers, average="micro"))
    assert macro_f1(counts) == pytest.approx(f1_score(truth, answers, average="macro"))
    assert weighted_f1(counts) == pytest.approx(f1_score(truth, answers, average="weighted"))
    expected = average_precision_score(truth, scores, average=None)
    found = [row.average_precision for row in by_label(LABELS, truth, answers, scores)]
    assert found == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 1.0])), min_size=1))
def test_average_precision_equals_that_of_scikit_learn_with_ties(rows: list[tuple[bool, float]]) -> None:
    truth, scores = np.array([true for true, _ in rows]), np.array([score for _, score in rows])
    expected = average_precision_score(truth, scores) if truth.any() else 0.0
    assert average_precision(truth, scores) == pytest.approx(expected)


def test_an_interval_holds_the_figure_and_is_the_same_for_the_same_seed() -> None:
    random = np.random.default_rng(2)
    truth = one_hot(random.integers(0, 3, 400), 3)
    answers = np.where(random.random(400)[:, None] < 0.8, truth, np.roll(truth, 1, axis=1))
    rows = by_row(truth, answers)
    figures = [Resamples(range(400), seed=seed).interval(macro_f1, rows) for seed in (0, 0, 1)]
    assert figures[0] == figures[1] != figures[2]
    assert figures[0].low < figures[0].value < figures[0].high
    assert figures[0].value == pytest.approx(macro_f1(tally(truth, answers)))


def test_the_interval_of_a_mean_is_that_of_its_standard_error() -> None:
    right = (np.random.default_rng(3).random(2000) < 0.9).astype(float)
    interval = Resamples(range(2000)).mean(right)
    half_width = 1.96 * right.std() / 2000**0.5
    assert interval.high - interval.value == pytest.approx(half_width, rel=0.1)
    assert interval.value - interval.low == pytest.approx(half_width, rel=0.1)


def test_rows_that_repeat_one_story_are_no_more_evidence_than_the_story() -> None:
    right = (np.random.default_rng(4).random(100) < 0.8).astype(float)
    once = Resamples(range(100)).mean(right)
    repeated = Resamples([story for story in range(100) for _ in range(9)]).mean(np.repeat(right, 9))
    taken_for_rows = Resamples(range(900)).mean(np.repeat(right, 9))
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high))
    assert taken_for_rows.high - taken_for_rows.low < (once.high - once.low) / 2


def test_selective_accuracy_takes_the_surest_answers_first() -> None:
    confidence = np.arange(100) / 100
    right = confidence >= 0.3
    by_coverage = {row.coverage: row for row in selective_accuracy(confidence, right)}
    assert (by_coverage[1.0].accuracy, by_coverage[1.0].rows) == (0.7, 100)
    assert by_coverage[0.8].accuracy == pytest.approx(70 / 80)
    assert (by_coverage[0.5].accuracy, by_coverage[0.5].threshold) == (1.0, 0.5)
