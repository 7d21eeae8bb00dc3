"""A classifier that costs nothing: its scores are a function of a hash of the text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.classification import SENTIMENT, TOPIC, Classification, ModelRef
from domain.ports import Names, Prepared

POISON = "#poison"
"""A batch with a text that contains this makes `infer` raise, as a document does that the model fails on."""

MARKS = {"#negative": (0.90, 0.07, 0.03), "#neutral": (0.05, 0.90, 0.05), "#positive": (0.03, 0.07, 0.90)}
"""A text that contains one of these gets these probabilities (negative, neutral, positive); the first one wins. A name
with one of these words behind it (`Acme:negative`) says that of its symbol."""

TOPICS = (
    "Analyst Update",
    "Company | Product News",
    "Currencies",
    "Dividend",
    "Earnings",
    "Energy | Oil",
    "Fed | Central Banks",
    "Financials",
    "General News | Opinion",
    "Gold | Metals | Materials",
    "IPO",
    "Legal | Regulation",
    "M&A | Investments",
    "Macro",
    "Markets",
    "Personnel Change",
    "Politics",
    "Stock Commentary",
    "Stock Movement",
    "Treasuries | Corporate Debt",
)


@dataclass(frozen=True)
class HashedTexts:
    """What `HashClassifier.prepare` makes of texts."""

    texts: tuple[str, ...]
    names: tuple[Names, ...]

    def __len__(self) -> int:
        return len(self.texts)


class HashClassifier:
    """Deterministic scores at some hundred thousand texts per second; the same in every process."""

    def __init__(
        self, *, name: str = "hash", version: str = "1", languages: frozenset[str] = frozenset({"en"})
    ) -> None:
        self._model = ModelRef(name=name, version=version)
        self._languages = languages
        self._sentiments = [_sentiment(level) for level in range(256)]
        self._topics = [_one_hot(topic) for topic in TOPICS]

    @property
    def model(self) -> ModelRef:
        return self._model

    @property
    def languages(self) -> frozenset[str]:
        return self._languages

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> HashedTexts:
        return HashedTexts(tuple(texts), tuple(names or [{}] * len(texts)))

    def infer(self, prepared: Prepared) -> list[Classification]:
        assert isinstance(prepared, HashedTexts)
        return [self._score(*one) for one in zip(prepared.texts, prepared.names, strict=True)]

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        return self.infer(self.prepare(texts, names))

    def _score(self, text: str, names: Names) -> Classification:
        if POISON in text:
            raise RuntimeError("the model failed on a poisonous text")
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        sentiment = self._sentiments[digest[0]]
        if "#" in text:
            marked = next((scores for mark, scores in MARKS.items() if mark in text), None)
            sentiment = _sentiment_of(*marked) if marked else sentiment
        tasks = {SENTIMENT: sentiment, TOPIC: self._topics[digest[1] % len(TOPICS)]}
        entities = {
            symbol: _sentiment_of(*scores)
            for symbol, given in names.items()
            for mark, scores in MARKS.items()
            if any(f"{name}:{mark.removeprefix('#')}" in text for name in given)
        }
        return Classification(tasks=tasks, model=self._model, input_hash=digest.hex(), entities=entities)


def _sentiment(level: int) -> Mapping[str, float]:
    """A triangle wave over the three labels: each wins about a third of the levels."""
    negative = max(0.0, 1 - level / 128)
    positive = max(0.0, level / 128 - 1)
    return _sentiment_of(negative, 1 - negative - positive, positive)


def _sentiment_of(negative: float, neutral: float, positive: float) -> Mapping[str, float]:
    return {"negative": negative, "neutral": neutral, "positive": positive}


def _one_hot(topic: str) -> Mapping[str, float]:
    """All but 1 % on one topic."""
    rest = 0.01 / (len(TOPICS) - 1)
    return {name: 0.99 if name == topic else rest for name in TOPICS}
