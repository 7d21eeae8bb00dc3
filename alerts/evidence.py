"""Evidence: who spoke, and what they said, read from the history when it is needed."""

from __future__ import annotations

from alerts.surge import Decision, SurgeRule
from domain.alert import Evidence
from domain.classification import ModelRef
from domain.ports import HistoryReader, WindowReader
from domain.subject import Subject
from domain.timeline import Minute, start_of

DOCUMENTS = 10
"""How many documents an alert quotes."""
PUBLISHERS = 20
"""How many publishers an alert names."""


class Witness:
    """Asks the history about a rule's window. All it says is of closed minutes, so it says the same whenever asked."""

    def __init__(self, history: HistoryReader, windows: WindowReader) -> None:
        self._history = history
        self._windows = windows

    def count_publishers(self, rule: SurgeRule, subject: Subject, boundary: Minute) -> int:
        """Distinct publishers of negative documents in the window that ends at `boundary`."""
        return self._windows.negative_publishers(subject, boundary - rule.window_minutes, boundary)

    def gather(self, rule: SurgeRule, subject: Subject, boundary: Minute, decision: Decision) -> Evidence:
        """The evidence for an alert that fires at `boundary` on `decision`."""
        start, end = start_of(boundary - rule.window_minutes), start_of(boundary)
        measured = decision.measured
        if measured.expected is None or measured.publishers is None:
            raise ValueError(f"an alert cannot fire on {decision.reason}: {measured!r}")
        documents = tuple(self._history.most_negative(subject, start, end, DOCUMENTS))
        models: dict[ModelRef, None] = dict.fromkeys(document.model for document in documents)
        return Evidence(
            window_start=start,
            window_end=end,
            count=measured.count,
            negative=measured.negative,
            negative_share=measured.negative_share,
            negative_publishers=measured.publishers,
            expected_negative=measured.expected,
            baseline_minutes=measured.baseline_minutes,
            documents=documents,
            publishers=tuple(self._history.publishers(subject, start, end, PUBLISHERS)),
            models=tuple(sorted(models, key=str)),
        )
