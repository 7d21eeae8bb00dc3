"""Drift: how far what a model says now is from what it said before, or from what another one says.

A distribution is a histogram of whole numbers, so that one that is kept up to date document by document equals the one
counted anew. Two of them are compared by the population stability index (Siddiqi, Credit Risk Scorecards, 2006).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from domain.errors import InvalidInput

CONFIDENCE_EDGES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Where the bins of confidence part: closer together where calibrated models have most of their answers. The first bin
is [0, 0.3), the last one [0.99, 1]."""

_SCALE = 10_000
"""Confidence is summed as whole ten-thousandths: sums come out the same in any order."""

Probabilities = Mapping[str, float]
"""One task's answer to one text: label → probability; they sum to 1."""


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What a model said of many texts, for one task."""

    labels: Mapping[str, int]
    """Label → how often it was the most probable one; every label the task has."""
    confidence: tuple[int, ...]
    """How often the greatest probability fell into each bin, shape (len(CONFIDENCE_EDGES) + 1,)."""
    confidence_sum: int
    """Of the greatest probabilities, in ten-thousandths."""

    @property
    def documents(self) -> int:
        """How many texts."""
        return sum(self.confidence)

    @property
    def shares(self) -> dict[str, float]:
        """Each label's share of the texts. Raises ZeroDivisionError when there are none."""
        return {label: count / self.documents for label, count in self.labels.items()}

    @property
    def mean_confidence(self) -> float:
        """Mean of the greatest probabilities. Raises ZeroDivisionError when there are no texts."""
        return self.confidence_sum / self.documents / _SCALE

    def __add__(self, other: Distribution) -> Distribution:
        """Both together."""
        return Distribution(
            labels={
                label: self.labels.get(label, 0) + other.labels.get(label, 0)
                for label in {**self.labels, **other.labels}
            },
            confidence=tuple(map(int.__add__, self.confidence, other.confidence)),
            confidence_sum=self.confidence_sum + other.confidence_sum,
        )

    @classmethod
    def count(cls, answers: Iterable[Probabilities]) -> Self:
        """Of these answers."""
        labels: dict[str, int] = {}
        confidence = [0] * (len(CONFIDENCE_EDGES) + 1)
        total = 0
        for answer in answers:
            for label in answer:
                labels.setdefault(label, 0)
            label, bin_, scaled = _place(answer)
            labels[label] += 1
            confidence[bin_] += 1
            total += scaled
        return cls(labels=labels, confidence=tuple(confidence), confidence_sum=total)

    def as_json(self) -> dict[str, Any]:
        """As it stands in a model's figures."""
        return {"labels": dict(self.labels), "confidence": list(self.confidence), "confidence_sum": self.confidence_sum}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """The inverse of `as_json`. Raises InvalidInput (`bad_distribution`)."""
        try:
            made = cls(
                labels={str(label): int(count) for label, count in raw["labels"].items()},
                confidence=tuple(map(int, raw["confidence"])),
                confidence_sum=int(raw["confidence_sum"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput("bad_distribution", f"a distribution of answers is damaged: {error!r}") from error
        if len(made.confidence) != len(CONFIDENCE_EDGES) + 1:
            raise InvalidInput(
                "bad_distribution",
                f"a distribution of answers has {len(made.confidence)} bins of confidence, not "
                f"{len(CONFIDENCE_EDGES) + 1}: measure the model again",
            )
        return made


class Window:
    """The distribution of the newest answers, kept up to date. Not thread-safe."""

    def __init__(self, size: int) -> None:
        """`size`: how many answers it holds at most."""
        self._size = size
        self._held: deque[tuple[str, int, int]] = deque()
        self._labels: dict[str, int] = {}
        self._confidence = [0] * (len(CONFIDENCE_EDGES) + 1)
        self._sum = 0

    def __len__(self) -> int:
        return len(self._held)

    def add(self, answer: Probabilities) -> None:
        """Take an answer in; the oldest one makes room."""
        for label in answer:
            self._labels.setdefault(label, 0)
        place = _place(answer)
        self._held.append(place)
        self._move(place, 1)
        if len(self._held) > self._size:
            self._move(self._held.popleft(), -1)

    @property
    def distribution(self) -> Distribution:
        """Of what it holds."""
        return Distribution(labels=dict(self._labels), confidence=tuple(self._confidence), confidence_sum=self._sum)

    def _move(self, place: tuple[str, int, int], by: int) -> None:
        label, bin_, scaled = place
        self._labels[label] += by
        self._confidence[bin_] += by
        self._sum += by * scaled


def psi(actual: Sequence[int], expected: Sequence[int]) -> float:
    """Population stability index of two histograms over the same bins: Σ (aᵢ − eᵢ) · ln(aᵢ / eᵢ) with their shares aᵢ
    and eᵢ (Siddiqi 2006), at least 0, and the same either way around.

    Shares are taken after adding half a count to each bin (the Jeffreys prior): an empty bin would make it infinite.
    Two samples of n and m texts of one distribution over k bins give about (k − 1)(1/n + 1/m) (Yurdakul, Statistical
    Properties of the Population Stability Index, 2018). Raises ValueError when the bins don't match.
    """
    a_total, e_total = sum(actual) + len(actual) / 2, sum(expected) + len(expected) / 2
    total = 0.0
    for a_count, e_count in zip(actual, expected, strict=True):
        a, e = (a_count + 0.5) / a_total, (e_count + 0.5) / e_total
        total += (a - e) * math.log(a / e)
    return total


def psi_of_labels(actual: Distribution, expected: Distribution) -> float:
    """How far the shares of the labels moved; a label that one of them doesn't have counts as never given."""
    labels = sorted({**actual.labels, **expected.labels})
    return psi([actual.labels.get(label, 0) for label in labels], [expected.labels.get(label, 0) for label in labels])


def psi_of_confidence(actual: Distribution, expected: Distribution) -> float:
    """How far the greatest probabilities moved."""
    return psi(actual.confidence, expected.confidence)


def _place(answer: Probabilities) -> tuple[str, int, int]:
    label = max(answer, key=answer.__getitem__)
    confidence = answer[label]
    return label, bisect_right(CONFIDENCE_EDGES, confidence), round(confidence * _SCALE)
