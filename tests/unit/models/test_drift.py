"""Drift: histograms that are kept up to date equal those counted anew, and the index is what it is defined as."""

from __future__ import annotations

import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInput
from models.drift import CONFIDENCE_EDGES, Distribution, Window, psi, psi_of_confidence, psi_of_labels

LABELS = ("negative", "neutral", "positive")


def answers(number: int, seed: int = 0, lean: float = 1.0) -> list[dict[str, float]]:
    """Answers of which those with a `lean` above 1 are more often negative."""
    choose = random.Random(seed)
    found = []
    for _ in range(number):
        raw = [choose.random() ** 3 * (lean if label == "negative" else 1) for label in LABELS]
        found.append({label: value / sum(raw) for label, value in zip(LABELS, raw, strict=True)})
    return found


def test_a_window_equals_the_distribution_of_what_it_holds_at_every_step() -> None:
    given_answers = answers(300)
    window = Window(100)
    for number, answer in enumerate(given_answers, start=1):
        window.add(answer)
        assert window.distribution == Distribution.count(given_answers[max(0, number - 100) : number])
        assert len(window) == min(number, 100)


def test_shares_and_mean_confidence_are_those_of_the_answers() -> None:
    given_answers = answers(500)
    distribution = Distribution.count(given_answers)
    best = [max(answer.values()) for answer in given_answers]
    assert distribution.documents == 500
    assert distribution.mean_confidence == pytest.approx(sum(best) / 500, abs=1e-4)
    assert sum(distribution.shares.values()) == pytest.approx(1)
    negative = sum(max(answer, key=answer.__getitem__) == "negative" for answer in given_answers)
    assert distribution.shares["negative"] == negative / 500


def test_a_label_that_was_never_given_has_a_share_of_zero() -> None:
    distribution = Distribution.count([{"negative": 0.2, "neutral": 0.8, "positive": 0.0}])
    assert distribution.shares == {"negative": 0, "neutral": 1, "positive": 0}


@pytest.mark.parametrize(
    ("confidence", "place"), [(0.0, 0), (0.29, 0), (0.3, 1), (0.95, 8), (0.9899, 8), (0.99, 9), (1.0, 9)]
)
def test_each_confidence_has_its_bin(confidence: float, place: int) -> None:
    counted = Distribution.count([{"only": confidence}]).confidence
    assert counted == tuple(int(number == place) for number in range(len(CONFIDENCE_EDGES) + 1))


def test_two_distributions_together_are_that_of_all_answers() -> None:
    given_answers = answers(200)
    together = Distribution.count(given_answers[:50]) + Distribution.count(given_answers[50:])
    assert together == Distribution.count(given_answers)
    both = Distribution.count([{"a": 1.0}]) + Distribution.count([{"b": 1.0}])
    assert both.labels == {"a": 1, "b": 1}


def test_a_distribution_survives_being_written() -> None:
    distribution = Distribution.count(answers(50))
    assert Distribution.from_json(json.loads(json.dumps(distribution.as_json()))) == distribution


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"labels": [], "confidence": [0] * 10, "confidence_sum": 0},
        {"labels": {"a": "many"}, "confidence": [0] * 10, "confidence_sum": 0},
        {"labels": {"a": 1}, "confidence": [1], "confidence_sum": 5000},
    ],
)
def test_a_damaged_distribution_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="a distribution of answers"):
        Distribution.from_json(raw)


def test_the_index_is_the_formulas_value() -> None:
    # (0.2 − 0.5)·ln(0.2/0.5) + (0.3 − 0.3)·ln 1 + (0.5 − 0.2)·ln(0.5/0.2); half a count in a million does not show.
    expected = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.5 - 0.2) * math.log(0.5 / 0.2)
    assert psi([200_000, 300_000, 500_000], [500_000, 300_000, 200_000]) == pytest.approx(expected, abs=1e-5)


def test_the_index_says_what_the_rule_of_thumb_expects_of_it() -> None:
    before = Distribution.count(answers(2000, seed=1))
    same = Distribution.count(answers(2000, seed=2))
    shifted = Distribution.count(answers(2000, seed=3, lean=6))
    assert psi_of_labels(same, before) < 0.01
    assert psi_of_confidence(same, before) < 0.02
    assert psi_of_labels(shifted, before) > 0.25


def test_by_chance_alone_the_index_is_about_what_it_should_be() -> None:
    choose = random.Random(5)
    bins, size = 20, 500

    def sample() -> list[int]:
        counts = [0] * bins
        for _ in range(size):
            counts[choose.randrange(bins)] += 1
        return counts

    mean = sum(psi(sample(), sample()) for _ in range(200)) / 200
    assert mean == pytest.approx((bins - 1) * 2 / size, rel=0.15)


histograms = st.lists(st.integers(0, 10_000), min_size=3, max_size=3)


@given(histograms, histograms)
def test_the_index_is_never_negative_finite_and_the_same_either_way(one: list[int], other: list[int]) -> None:
    index = psi(one, other)
    assert 0 <= index < math.inf
    assert index == pytest.approx(psi(other, one))
    assert psi(one, one) == 0


def test_a_label_that_only_one_of_them_has_counts_as_never_given_by_the_other() -> None:
    old = Distribution.count([{"a": 0.9, "b": 0.1}] * 100)
    new = Distribution.count([{"a": 0.1, "c": 0.9}] * 100)
    assert psi_of_labels(new, old) > 1
    assert psi_of_labels(new, old) == pytest.approx(psi_of_labels(old, new))
