"""The classify stage with a classifier that costs nothing: `groundswell worker --stage classify` but for the model.

What is left is what the stage itself costs. Started by bench.throughput, with the settings in the environment.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from unittest.mock import patch

from domain.classification import SENTIMENT, TOPIC, Classification, ModelRef
from domain.ports import Names, Prepared
from service.processes import run_stage
from service.settings import load
from service.stream_models import ModelLoader

_TOPICS = tuple(f"Topic {number}" for number in range(20))


class Costless:
    """Scores that were made beforehand, chosen by a checksum of the text."""

    def __init__(self) -> None:
        sentiments = [
            {"negative": (255 - level) / 510, "neutral": 0.5, "positive": level / 510} for level in range(0, 256, 8)
        ]
        topics = [{name: 0.81 if name == topic else 0.01 for name in _TOPICS} for topic in _TOPICS]
        self._tasks = [{SENTIMENT: sentiment, TOPIC: topic} for sentiment in sentiments for topic in topics]

    model = ModelRef(name="costless", version="1")
    languages = frozenset({"en"})

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> Sequence[str]:
        """Nothing to prepare."""
        return texts

    def infer(self, prepared: Prepared) -> list[Classification]:
        """See domain.ports.Classifier."""
        assert isinstance(prepared, list)
        return self.classify(prepared)

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        """See domain.ports.Classifier."""
        sums = [zlib.crc32(text.encode()) for text in texts]
        return [
            Classification(
                tasks=self._tasks[checksum % len(self._tasks)], model=self.model, input_hash=f"{checksum:032x}"
            )
            for checksum in sums
        ]


if __name__ == "__main__":
    with patch.object(ModelLoader, "classifier", lambda loader, location: Costless()):
        sys.exit(run_stage(load(find_running=False).settings, "classify"))
