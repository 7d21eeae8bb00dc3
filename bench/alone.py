"""The classifier alone: texts from a file, in the batches that the classify stage makes, the next batch being prepared
while the model works on one, and nothing else. Started by bench.throughput; prints documents per second, and CPU
seconds per document."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from domain.ports import Classifier
from service import wiring
from service.settings import load


def measured(classifier: Classifier, texts: list[str], *, batch: int) -> tuple[float, float]:
    """Documents per second and CPU seconds per document, over all texts but the first tenth (at least one batch), which
    warms up."""
    batches = [texts[start : start + batch] for start in range(0, len(texts), batch)]
    warm = max(1, len(batches) // 10)
    done, began, began_cpu = 0, 0.0, 0.0
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(classifier.prepare, batches[0])
        for number in range(len(batches)):
            if number == warm:
                began, began_cpu = time.perf_counter(), time.process_time()
            prepared = coming.result()
            if number + 1 < len(batches):
                coming = thread.submit(classifier.prepare, batches[number + 1])
            scored = classifier.infer(prepared)
            done += len(scored) if number >= warm else 0
    return done / (time.perf_counter() - began), (time.process_time() - began_cpu) / done


if __name__ == "__main__":
    settings = load(find_running=False).settings
    documents = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(*measured(wiring.classifier(settings), documents, batch=settings.classify.batch_size))
