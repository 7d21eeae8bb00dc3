"""How long answers take."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.ports import Classifier

SINGLES = 100
_WARM_UP = 10


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Wall time on this machine, with whatever else runs on it."""

    singles: int
    p50_ms: float
    """Of one text alone, from string to answer."""
    p95_ms: float
    batch: int
    texts_per_second: float
    """Of the whole batch in one call."""


def latency(classifier: Classifier, texts: Sequence[str], *, batch: int = 2000, seed: int = 0) -> Latency:
    """Measured on a random choice of `texts`, the same for the same seed: up to SINGLES one by one, then up to `batch`
    in one call."""
    chosen = random.Random(seed).sample(list(texts), min(batch, len(texts)))  # noqa: S311 (not a secret)
    singles = chosen[:SINGLES]
    for text in singles[:_WARM_UP]:
        classifier.classify([text])
    seconds = []
    for text in singles:
        started = time.perf_counter()
        classifier.classify([text])
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    classifier.classify(chosen)
    took = time.perf_counter() - started
    p50, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    return Latency(
        singles=len(singles),
        p50_ms=float(p50),
        p95_ms=float(p95),
        batch=len(chosen),
        texts_per_second=len(chosen) / took,
    )
