"""Runs a challenger beside the model in force, on a share of the documents, and says how far the two agree."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from domain.classification import Classification, ModelRef
from domain.document import Document
from domain.ports import Classifier, Telemetry
from models.drift import Probabilities, Window
from models.monitor import TASKS, show

log = logging.getLogger(__name__)

Pair = tuple[Document, Classification]
"""A document, and what the champion said of it."""


class ShadowOutcome(StrEnum):
    """What became of a document that the challenger was to see."""

    COMPARED = "compared"
    SKIPPED = "skipped"
    """The challenger was busy."""
    FAILED = "failed"
    """The challenger could not be loaded, or failed on the batch."""


@dataclass(frozen=True, kw_only=True)
class ShadowPolicy:
    """How much the challenger sees."""

    share: float = 0.1
    """Of the documents, in [0, 1]."""
    max_queued: int = 1024
    """Documents that wait for the challenger; more are left out."""
    window: int = 5000
    """Documents over which agreement and drift are reported."""


class Shadow:
    """domain.ports.ScoreObserver. The challenger is loaded, and runs, in a thread of its own, behind a bounded queue;
    nothing waits for it, and nothing that becomes of it touches the flow."""

    def __init__(self, load: Callable[[], Classifier], *, policy: ShadowPolicy, telemetry: Telemetry) -> None:
        self._load = load
        self._policy = policy
        self._telemetry = telemetry
        self._comparison = Comparison(policy.window, telemetry)
        self._waiting: queue.SimpleQueue[list[Pair] | None] = queue.SimpleQueue()
        self._queued = 0
        self._count_lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._waiting.put(None)

    def observe(self, scored: Sequence[Pair]) -> None:
        chosen = [pair for pair in scored if is_chosen(pair[0], self._policy.share)]
        if not chosen:
            return
        with self._count_lock:
            fit = chosen[: max(0, self._policy.max_queued - self._queued)]
            self._queued += len(fit)
        if fit:
            self._waiting.put(fit)
        if left_out := len(chosen) - len(fit):
            self._count(ShadowOutcome.SKIPPED, left_out)

    def join(self, timeout: float) -> None:
        """Wait until its thread has ended."""
        self._thread.join(timeout)

    def _run(self) -> None:
        challenger: Classifier | None = None
        try:
            challenger = self._load()
            log.info("%s runs in the shadow, on %.0f %% of the documents", challenger.model, self._policy.share * 100)
        except Exception as error:  # whatever a damaged folder makes a library raise, the flow goes on
            log.error("the model in the shadow can't be loaded, nothing is compared: %s", error)
        while (pairs := self._waiting.get()) is not None and not self._stopped.is_set():
            self._count(self._try(challenger, pairs), len(pairs))
            with self._count_lock:
                self._queued -= len(pairs)

    def _try(self, challenger: Classifier | None, pairs: Sequence[Pair]) -> ShadowOutcome:
        if challenger is None:
            return ShadowOutcome.FAILED
        try:
            self._comparison.add(pairs, challenger.classify([document.content for document, _ in pairs]))
        except Exception as error:  # likewise
            log.warning("%s, in the shadow, failed on %d texts: %s", challenger.model, len(pairs), error)
            return ShadowOutcome.FAILED
        return ShadowOutcome.COMPARED

    def _count(self, outcome: ShadowOutcome, documents: int) -> None:
        self._telemetry.count("shadow_documents_total", documents, outcome=outcome.value)


class Comparison:
    """Champion and challenger on the same documents, over a window. It begins anew with another champion. Not
    thread-safe."""

    def __init__(self, window: int, telemetry: Telemetry) -> None:
        self._size = window
        self._telemetry = telemetry
        self._champion: ModelRef | None = None
        self._tasks: dict[str, _TaskComparison] = {}

    def add(self, pairs: Sequence[Pair], answers: Sequence[Classification]) -> None:
        """Compare a batch, and set the metrics. Raises KeyError when the challenger lacks a task of the stream,
        ValueError when it gave more or fewer answers than asked for."""
        for (_, champion), challenger in zip(pairs, answers, strict=True):
            if champion.model != self._champion:
                self._champion = champion.model
                self._tasks = {task: _TaskComparison(self._size) for task in TASKS}
            for task, comparison in self._tasks.items():
                comparison.add(champion.tasks[task], challenger.tasks[task])
        for task, comparison in self._tasks.items():
            theirs, ours = comparison.champion.distribution, comparison.challenger.distribution
            show(self._telemetry, "challenger", task, ours, theirs)
            self._telemetry.gauge("shadow_agreement", comparison.agreement, task=task)


class _TaskComparison:
    def __init__(self, size: int) -> None:
        self.champion, self.challenger = Window(size), Window(size)
        self._agreed: deque[bool] = deque(maxlen=size)

    def add(self, champion: Probabilities, challenger: Probabilities) -> None:
        self.champion.add(champion)
        self.challenger.add(challenger)
        self._agreed.append(max(champion, key=champion.__getitem__) == max(challenger, key=challenger.__getitem__))

    @property
    def agreement(self) -> float:
        return sum(self._agreed) / len(self._agreed)


def is_chosen(document: Document, share: float) -> bool:
    """Whether the challenger sees this document: the same ones in every process and at every repetition, and with a
    larger share all those of a smaller one too."""
    return int.from_bytes(document.key[:8]) < share * 2**64
