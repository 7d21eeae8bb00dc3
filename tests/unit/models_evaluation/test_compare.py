"""Two models side by side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, chi2

from models.evaluation.bootstrap import Resamples
from models.evaluation.compare import compare, mcnemar
from models.evaluation.metrics import decide, one_hot


def right(only_first: int, only_second: int, both: int = 50) -> tuple[np.ndarray, np.ndarray]:
    first = np.array([True] * only_first + [False] * only_second + [True] * both)
    second = np.array([False] * only_first + [True] * only_second + [True] * both)
    return first, second


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (3, 9), (12, 12), (20, 4)])
def test_few_discordant_rows_are_tested_by_the_binomial_distribution(only_first: int, only_second: int) -> None:
    test = mcnemar(*right(only_first, only_second))
    assert (test.only_first, test.only_second, test.exact) == (only_first, only_second, True)
    trials = only_first + only_second
    assert test.p_value == pytest.approx(binomtest(only_first, trials, 0.5).pvalue if trials else 1.0)


@pytest.mark.parametrize(("only_first", "only_second"), [(13, 13), (10, 30), (200, 150)])
def test_many_discordant_rows_are_tested_by_chi_squared(only_first: int, only_second: int) -> None:
    test = mcnemar(*right(only_first, only_second))
    statistic = max(0, abs(only_first - only_second) - 1) ** 2 / (only_first + only_second)
    assert not test.exact
    assert test.p_value == pytest.approx(chi2.sf(statistic, 1))


def test_the_difference_is_paired() -> None:
    random = np.random.default_rng(0)
    truth = one_hot(random.integers(0, 3, 500), 3)
    good = np.where(random.random((500, 1)) < 0.8, truth * 0.8 + 0.1, 0.3)
    better = good.copy()
    wrong = np.flatnonzero(~(decide(good, multi=False) == truth).all(axis=1))[:20]
    better[wrong] = truth[wrong] * 0.8 + 0.1
    answers = (decide(better, multi=False), decide(good, multi=False))
    comparison = compare(("better", "good"), truth, (better, good), answers, Resamples(range(500)))
    assert comparison.difference.value == pytest.approx(0.04)
    assert comparison.difference.low > 0, "the second is never right where the first is wrong"
    assert comparison.agreement == pytest.approx(0.96)
    assert (comparison.mcnemar.only_first, comparison.mcnemar.only_second) == (20, 0)
    assert comparison.largest_difference == pytest.approx(np.abs(better - good).max())
