"""A classify worker as a process of its own; its one argument says in JSON what it works on."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence

from support.classifiers import HashClassifier
from support.kafka_world import QUICK, ClassifyWorld

from domain.classification import Classification
from domain.ports import Prepared
from stream.classify import ClassifyTopics
from stream.runner import run


class SlowClassifier(HashClassifier):
    """Takes its time, so that there is always something in flight."""

    def __init__(self, seconds_per_batch: float) -> None:
        super().__init__()
        self._seconds = seconds_per_batch

    def infer(self, prepared: Prepared) -> list[Classification]:
        time.sleep(self._seconds)
        return super().infer(prepared)

    def classify(self, texts: Sequence[str]) -> list[Classification]:
        return self.infer(self.prepare(texts))


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    order = json.loads(sys.argv[1])
    world = ClassifyWorld(
        bootstrap=order["bootstrap"],
        topics=ClassifyTopics(**order["topics"]),
        group=order["group"],
        partitions=order["partitions"],
    )
    sys.exit(run(world.intake(classifier=SlowClassifier(order["seconds_per_batch"]), policy=QUICK), grace=10))
