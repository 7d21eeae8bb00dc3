"""Several models that answer one task or more each, as one classifier."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from domain.classification import Classification, ModelRef
from domain.errors import PermanentError
from domain.ports import Classifier, Names, Prepared


@dataclass(frozen=True)
class PreparedForEach:
    """The same texts, as each of the models wants them."""

    parts: tuple[Prepared, ...]

    def __len__(self) -> int:
        return len(self.parts[0])


class CombinedClassifier:
    """Asks each of its models in turn. Thread-safe where they are."""

    def __init__(self, classifiers: Sequence[Classifier]) -> None:
        """At least one; no two answer the same task, and all share a text normaliser. Raises PermanentError when they
        have no language in common: there would be no text to score."""
        self._classifiers = tuple(classifiers)
        if not self.languages:
            said = ", ".join(f"{one.model.name} {' '.join(sorted(one.languages))}" for one in classifiers)
            raise PermanentError(f"these models have no language in common: {said}")
        refs = [one.model for one in classifiers]
        versions = " ".join(ref.version for ref in refs)
        self._ref = ModelRef(
            name="+".join(ref.name for ref in refs),
            version=hashlib.blake2b(versions.encode(), digest_size=8).hexdigest(),
        )

    @property
    def model(self) -> ModelRef:
        return self._ref

    @property
    def languages(self) -> frozenset[str]:
        """Those that all of them declare."""
        return frozenset.intersection(*(one.languages for one in self._classifiers))

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> PreparedForEach:
        return PreparedForEach(tuple(one.prepare(texts, names) for one in self._classifiers))

    def infer(self, prepared: Prepared) -> list[Classification]:
        if not isinstance(prepared, PreparedForEach):
            raise TypeError("infer takes what prepare of the same classifier returned")
        answers = [one.infer(part) for one, part in zip(self._classifiers, prepared.parts, strict=True)]
        return [self._merged(of_text) for of_text in zip(*answers, strict=True)]

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        return self.infer(self.prepare(texts, names))

    def _merged(self, answers: Sequence[Classification]) -> Classification:
        return Classification(
            tasks={task: scores for answer in answers for task, scores in answer.tasks.items()},
            model=self._ref,
            input_hash=answers[0].input_hash,
            entities={symbol: scores for answer in answers for symbol, scores in answer.entities.items()},
        )
