"""What the classifier says of a document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Self

from domain.document import Document

POLARITY_SCALE = 10_000
"""Polarity is summed as whole ten-thousandths, so that sums agree exactly in any order and in every store."""

SENTIMENT = "sentiment"
TOPIC = "topic"


class Label(StrEnum):
    """The three sentiments, in the order in which ties are broken: the worse one wins."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"


@dataclass(frozen=True, kw_only=True)
class Sentiment:
    """Probabilities of the three sentiments; they sum to 1 within 1e-3."""

    negative: float
    neutral: float
    positive: float

    def __post_init__(self) -> None:
        total = self.negative + self.neutral + self.positive
        if not math.isfinite(total) or abs(total - 1) > 1e-3 or min(self.negative, self.neutral, self.positive) < 0:
            raise ValueError(f"sentiment probabilities must be at least 0 and sum to 1, got {self!r}")

    @classmethod
    def of(cls, scores: Mapping[str, float]) -> Self:
        """From probabilities by label; a label that isn't there has probability 0."""
        return cls(**{label.value: scores.get(label.value, 0.0) for label in Label})

    @property
    def polarity(self) -> float:
        """positive − negative, in [−1, 1]."""
        return self.positive - self.negative

    @property
    def scaled_polarity(self) -> int:
        """Polarity in whole ten-thousandths (POLARITY_SCALE), in [−10000, 10000]."""
        return round(self.polarity * POLARITY_SCALE)

    @property
    def label(self) -> Label:
        """The most probable sentiment; among equals the first of negative, neutral, positive."""
        best = max(self.negative, self.neutral, self.positive)
        if self.negative == best:
            return Label.NEGATIVE
        return Label.NEUTRAL if self.neutral == best else Label.POSITIVE


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Which model spoke: its name and its version (a hash of its weights and settings)."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class Classification:
    """One forward pass's answer: for each task, the probability of each label. Sentiment and topic are views of it."""

    tasks: Mapping[str, Mapping[str, float]]
    model: ModelRef
    input_hash: str
    """Hex BLAKE2b-128 of the normalised text that the model read."""
    entities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Symbol → probabilities of its sentiment's labels, for those of the symbols asked about that the text names;
    empty when the model has no task for entities."""

    @cached_property
    def sentiment(self) -> Sentiment:
        """The sentiment task; a label that the model doesn't know has probability 0. Raises KeyError when the model
        has no such task."""
        return Sentiment.of(self.tasks[SENTIMENT])

    def sentiment_of(self, symbol: str) -> Sentiment:
        """What is said of `symbol` where the text names it, else the document's sentiment."""
        scores = self.entities.get(symbol)
        return self.sentiment if scores is None else Sentiment.of(scores)

    @cached_property
    def topic(self) -> str:
        """The most probable topic; among equals the first by name. Raises KeyError when the model has none."""
        topics = self.tasks[TOPIC]
        best = max(topics.values())
        return min(name for name, probability in topics.items() if probability == best)


class Unscored(StrEnum):
    """Why a document was stored without a score."""

    LANGUAGE = "language_not_supported"


@dataclass(frozen=True, kw_only=True)
class ScoredDocument:
    """A document with its classification, or with the reason why it has none (exactly one of the two)."""

    document: Document
    classification: Classification | None = None
    unscored: Unscored | None = None
    config_hash: str = ""
    """Hex hash of the settings that shaped the score, so that it can be explained later."""

    def __post_init__(self) -> None:
        if (self.classification is None) == (self.unscored is None):
            raise ValueError("a scored document has either a classification or a reason for having none")
