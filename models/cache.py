"""Keeps what was said of the texts that were read last, so that what is repeated everywhere is read once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from domain.classification import Classification
from models.entities import Span


@dataclass(frozen=True)
class Reading:
    """All that an answer follows from."""

    version: str
    """The model's."""
    input_hash: str
    mentions: tuple[tuple[str, tuple[Span, ...]], ...] = ()
    """Where the text speaks of which of the symbols that were asked about."""


class ScoreCache:
    """The answers to the `entries` readings that were asked for last. Thread-safe."""

    def __init__(self, entries: int) -> None:
        """`entries`: 0 keeps nothing. An answer of 23 labels takes about 3 KB."""
        self._entries = entries
        self._answers: OrderedDict[Reading, Classification] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, reading: Reading) -> Classification | None:
        """What was said, if it is still kept."""
        with self._lock:
            answer = self._answers.get(reading)
            if answer is not None:
                self._answers.move_to_end(reading)
            return answer

    def put(self, reading: Reading, answer: Classification) -> None:
        """Keep an answer; the one that nobody asked for the longest goes."""
        with self._lock:
            self._answers[reading] = answer
            self._answers.move_to_end(reading)
            while len(self._answers) > self._entries:
                self._answers.popitem(last=False)
