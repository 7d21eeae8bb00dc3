"""Groundswell's classifier, as the classify stage runs it: the next texts are prepared while the model works."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.rivals.turn import Job, Loaded, main
from domain.classification import Classification
from domain.ports import Classifier
from models.load import load_classifier

TOGETHER = 512
"""As many as the rivals get that sort by length, too. The classify stage has 256 by default, which was 6 % slower
(median of four turns): at the end of each batch one of two streams may have nothing to do."""


def int8(job: Job) -> Loaded:
    """The int8 file."""
    return loaded(job.model, job)


def loaded(folder: Path, job: Job) -> Loaded:
    """Of a model folder."""
    classifier = load_classifier(folder, device="cpu", streams=job.threads, cache_size=0)
    return Loaded(answer=lambda chunks: _overlapped(classifier, chunks), together=TOGETHER)


def _overlapped(classifier: Classifier, chunks: Iterator[Sequence[str]]) -> Iterator[Sequence[list[float]]]:
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(classifier.prepare, next(chunks))
        for chunk in chunks:
            prepared = coming.result()
            coming = thread.submit(classifier.prepare, chunk)
            yield _rows(classifier.infer(prepared))
        yield _rows(classifier.infer(coming.result()))


def _rows(answers: Sequence[Classification]) -> list[list[float]]:
    return [list(next(iter(answer.tasks.values())).values()) for answer in answers]


if __name__ == "__main__":
    main({"int8": int8})
