"""The model that batches are scored with; it may be exchanged between two of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from domain.classification import SENTIMENT, TOPIC, Label, ModelRef, Sentiment
from domain.errors import PermanentError
from domain.ports import Classifier

PROBES: Final = (
    "Oil prices rose on Monday.",
    "Example Corp plunges after a fraud probe; the regulator is to review its books. " * 40,
    "",
)
"""A headline, a text of several windows, and none at all."""
PROBE_NAMES: Final = {"EXMP": ("Example Corp",)}
"""The second of them speaks of it."""


@dataclass(frozen=True, kw_only=True)
class RunningModel:
    """A model that is loaded, and what names how it is run."""

    classifier: Classifier
    config_hash: str


class LiveModel:
    """The model that the next batch is scored with. Thread-safe.

    Whoever takes a batch in asks once and keeps the answer with the batch: so one model prepares it, scores it and
    names its configuration, whatever is in force when that is done.
    """

    def __init__(self, model: RunningModel) -> None:
        self._model = model
        self._lock = threading.Lock()

    def get(self) -> RunningModel:
        """As of now."""
        with self._lock:
            return self._model

    def replace(self, model: RunningModel) -> RunningModel:
        """Let the batches from now on have this one; returns the one until now, which batches in flight still use."""
        with self._lock:
            replaced, self._model = self._model, model
            return replaced


def prove(classifier: Classifier) -> None:
    """Run a model on probe texts, which warms it up as well. Raises PermanentError, naming what it lacks, unless it
    answers all of them and has the tasks that the stream is made of; what the model itself raises passes through."""
    answers = classifier.classify(PROBES, [PROBE_NAMES] * len(PROBES))
    if len(answers) != len(PROBES):
        raise PermanentError(f"{classifier.model} gave {len(answers)} answers to {len(PROBES)} texts")
    for answer in answers:
        if missing := [task for task in (SENTIMENT, TOPIC) if task not in answer.tasks]:
            has = ", ".join(answer.tasks) or "none"
            raise PermanentError(f"{classifier.model} has no task {' and '.join(missing)}; the stream needs it ({has})")
        _check_sentiment(classifier.model, "sentiments", answer.tasks[SENTIMENT])
        for scores in answer.entities.values():
            _check_sentiment(classifier.model, "sentiments about names", scores)


def _check_sentiment(model: ModelRef, what: str, scores: Mapping[str, float]) -> None:
    if set(scores) != set(Label):
        raise PermanentError(
            f"{model} calls its {what} {', '.join(scores)}; the stream needs {', '.join(Label)}: map the labels when "
            "it is trained"
        )
    try:
        Sentiment.of(scores)
    except ValueError as error:
        raise PermanentError(f"{model} gives no probabilities: {error}") from error
