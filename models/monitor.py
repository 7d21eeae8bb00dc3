"""Watches whether the model in force still sees what it was measured on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from domain.classification import SENTIMENT, TOPIC, Classification, ModelRef
from domain.document import Document
from domain.ports import Telemetry
from models.drift import Distribution, Window, psi_of_confidence, psi_of_labels

TASKS = (SENTIMENT, TOPIC)
"""What the stream's windows are made of: of these the drift is watched."""

FEWEST = 500
"""With fewer documents there is no index: of two samples of 500 texts over 20 topics it is about 0.08 by chance alone
(see models.drift.psi), of two of 250 it would be 0.15."""

Role = Literal["champion", "challenger"]


class Monitor:
    """domain.ports.ScoreObserver: labels and confidence of the newest documents as metrics, and how far they are from
    the reference: what the model said on its evaluation sets, or, where nobody kept that, the first `window` documents
    that it scored here. When another model takes over, all of it begins anew. For one thread."""

    def __init__(
        self, references: Callable[[ModelRef], Mapping[str, Distribution]], *, window: int, telemetry: Telemetry
    ) -> None:
        """`references`: what a model said on its evaluation sets, by task. `window`: documents, at least FEWEST."""
        self._references = references
        self._size = window
        self._telemetry = telemetry
        self._model: ModelRef | None = None
        self._windows: dict[str, Window] = {}
        self._expected: dict[str, Distribution] = {}

    def start(self) -> None:
        """Nothing to be started."""

    def stop(self) -> None:
        """Nothing to be stopped."""

    def observe(self, scored: Sequence[tuple[Document, Classification]]) -> None:
        for _, classification in scored:
            if classification.model != self._model:
                self._begin(classification.model)
            for task, window in self._windows.items():
                window.add(classification.tasks[task])
        for task, window in self._windows.items():
            if task not in self._expected and len(window) == self._size:
                self._expected[task] = window.distribution
            show(self._telemetry, "champion", task, window.distribution, self._expected.get(task))

    def _begin(self, model: ModelRef) -> None:
        # A label that the new model doesn't have would stay at its last share for ever.
        for task, window in self._windows.items():
            for label in window.distribution.labels:
                self._telemetry.gauge("model_label_share", 0, role="champion", task=task, label=label)
        self._model = model
        self._windows = {task: Window(self._size) for task in TASKS}
        self._expected = dict(self._references(model))


def show(telemetry: Telemetry, role: Role, task: str, found: Distribution, expected: Distribution | None) -> None:
    """Set the metrics of one task; the index is not a number while there is too little to tell."""
    for label, share in found.shares.items():
        telemetry.gauge("model_label_share", share, role=role, task=task, label=label)
    telemetry.gauge("model_confidence", found.mean_confidence, role=role, task=task)
    enough = expected is not None and min(found.documents, expected.documents) >= FEWEST
    for of, index in (("labels", psi_of_labels), ("confidence", psi_of_confidence)):
        value = index(found, expected) if enough and expected is not None else math.nan
        telemetry.gauge("model_psi", value, role=role, task=task, of=of)
