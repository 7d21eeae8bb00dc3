"""Running the model on a batch: what makes it fail is found by halving, and a model that always fails is told apart."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from domain.classification import Classification
from domain.errors import InvalidInput, PermanentError
from domain.ports import Classifier, Names, Prepared

log = logging.getLogger(__name__)

MODEL_FAILED: Final = "model_failed"

_KNOWN_GOOD: Final = "Oil prices rose on Monday."


class Scorer:
    """A classifier that answers for every text, with a classification or with why it has none. Blocking."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def prepare(self, texts: Sequence[str], names: Sequence[Names]) -> Prepared | None:
        """What can be done before the model is free; None when it failed, so that `score` finds out on what. `names`
        says for each text whom to look for."""
        try:
            return self._classifier.prepare(texts, names)
        except Exception:
            log.warning("preparing %d texts failed: trying them in parts", len(texts), exc_info=True)
            return None

    def score(
        self, texts: Sequence[str], names: Sequence[Names], prepared: Prepared | None
    ) -> list[Classification | InvalidInput]:
        """One answer per text, in order. Raises PermanentError when the model fails on a harmless text too."""
        if prepared is not None:
            try:
                return list(self._checked(texts, self._classifier.infer(prepared)))
            except Exception as error:
                if len(texts) == 1:
                    return [self._refused(texts[0], error)]
                log.warning("the model failed on a batch of %d: halving it", len(texts), exc_info=True)
        if len(texts) <= 1:
            return [self._alone(*one) for one in zip(texts, names, strict=True)]
        half = len(texts) // 2
        parts = (texts[:half], names[:half]), (texts[half:], names[half:])
        return [answer for part in parts for answer in self.score(*part, self._quietly(*part))]

    def _quietly(self, texts: Sequence[str], names: Sequence[Names]) -> Prepared | None:
        try:
            return self._classifier.prepare(texts, names)
        except Exception:
            return None

    def _alone(self, text: str, names: Names) -> Classification | InvalidInput:
        try:
            return self._checked([text], self._classifier.classify([text], [names]))[0]
        except Exception as error:
            return self._refused(text, error)

    def _refused(self, text: str, error: Exception) -> InvalidInput:
        self._probe()
        reason = f"the model failed on this text of {len(text)} characters: {type(error).__name__}: {error}"
        return InvalidInput(MODEL_FAILED, reason)

    def _probe(self) -> None:
        try:
            self._checked([_KNOWN_GOOD], self._classifier.classify([_KNOWN_GOOD]))
        except Exception as error:
            raise PermanentError(
                f"the model {self._classifier.model} fails on a harmless text too ({type(error).__name__}: {error}): "
                "it must be loaded anew, or replaced"
            ) from error

    def _checked(self, texts: Sequence[str], answers: list[Classification]) -> list[Classification]:
        if len(answers) != len(texts):
            raise ValueError(f"the model gave {len(answers)} answers for {len(texts)} texts")
        for answer in answers:
            # Views that the record stage will take: whatever can't be viewed must not get that far.
            _ = answer.sentiment, answer.topic, [answer.sentiment_of(symbol) for symbol in answer.entities]
        return answers
