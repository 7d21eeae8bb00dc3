"""Asks a classifier the questions, as it is served, and collects its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.classification import SENTIMENT, Classification
from domain.ports import Classifier
from models.classifier import MAX_WINDOWS, PreparedTexts
from models.evaluation.perturb import Mention
from models.folder import Kind

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many texts are done, and of how many."""
_AT_ONCE = 512


def silent(what: str, done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How much of the texts the model read."""

    one_window: int
    """Texts that fitted into one pass."""
    several_windows: int
    most_windows: int
    cut_off: int
    """Texts of so many windows that the last ones may not have been read."""


class Asker:
    """One classifier's answers for one task."""

    def __init__(
        self,
        classifier: Classifier,
        *,
        task: str,
        kind: Kind,
        labels: Sequence[str],
        progress: Progress = silent,
        doing: str = "classifying",
    ) -> None:
        self._classifier = classifier
        self._task = task
        self._entities = kind is Kind.ENTITY
        self._labels = tuple(labels)
        self._progress = progress
        self._doing = doing
        self.not_named = 0
        """Mentions so far whose name the model did not find in the text: they got the document's sentiment."""

    def __call__(self, mentions: Sequence[Mention]) -> NDArray[np.float64]:
        """Probabilities of the labels, in their order, of shape (mentions, labels). A text is asked once for all the
        names in it, as it is where it is served."""
        asked: dict[str, dict[str, tuple[str]]] = {}
        for mention in mentions:
            names = asked.setdefault(mention.text, {})
            if mention.entity is not None:
                names[mention.entity] = (mention.entity,)
        answers = self._answers(asked)
        return np.array([self._scores(answers[mention.text], mention) for mention in mentions])

    def _answers(self, asked: dict[str, dict[str, tuple[str]]]) -> dict[str, Classification]:
        texts = list(asked)
        out: dict[str, Classification] = {}
        for start in range(0, len(texts), _AT_ONCE):
            self._progress(self._doing, start, len(texts))
            part = texts[start : start + _AT_ONCE]
            names = [asked[text] for text in part] if self._entities else None
            out.update(zip(part, self._classifier.classify(part, names), strict=True))
        self._progress(self._doing, len(texts), len(texts))
        return out

    def _scores(self, answer: Classification, mention: Mention) -> list[float]:
        if mention.entity is None:
            return [answer.tasks[self._task][label] for label in self._labels]
        if mention.entity in answer.entities:
            return [answer.entities[mention.entity][label] for label in self._labels]
        self.not_named += 1
        document = answer.tasks.get(SENTIMENT, {})
        # Of a label that the document's sentiment doesn't have, and by a model without one, nothing is known.
        return [document.get(label, 1 / len(self._labels)) for label in self._labels]


def reading(classifier: Classifier, texts: Sequence[str]) -> Reading | None:
    """How much of the texts is read; None for a classifier that doesn't read in windows."""
    prepared = classifier.prepare(list(dict.fromkeys(texts)))
    if not isinstance(prepared, PreparedTexts):
        return None
    windows = np.diff(np.append(prepared.starts, len(prepared.weights)))
    return Reading(
        one_window=int((windows == 1).sum()),
        several_windows=int((windows > 1).sum()),
        most_windows=int(windows.max(initial=0)),
        cut_off=int((windows >= MAX_WINDOWS).sum()),
    )
