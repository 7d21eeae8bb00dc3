"""A model for many threads at once: small calls share a pass, and what can't be served soon is refused at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from domain import ports
from domain.classification import Classification, ModelRef
from domain.errors import Overloaded, TemporaryError
from domain.ports import Names, Prepared


@dataclass(frozen=True, kw_only=True)
class AdmissionPolicy:
    """How much is taken in, and how it is put together."""

    max_waiting: int = 4096
    """Texts that may wait; a call that would make them more is refused, unless nothing waits."""
    pass_size: int = 256
    """Waiting calls are put together until they have this many texts."""
    retry_after: float = 1.0
    """Seconds after which a refused caller is told to come back."""


@dataclass(frozen=True)
class _Call:
    texts: Sequence[str]
    names: Sequence[Names] | None
    answers: Future[list[Classification]] = field(default_factory=Future)


@dataclass
class _Queue:
    calls: deque[_Call] = field(default_factory=deque)
    texts: int = 0


class Classifier:
    """A loaded model. Thread-safe; calls from many threads are faster than from one.

    There is no thread of its own: of the threads that wait, the one that finds the model free takes all that wait into
    one pass. Two passes are under way at a time, so that one is tokenised while the other runs.
    """

    def __init__(self, classifier: ports.Classifier, policy: AdmissionPolicy | None = None) -> None:
        self._classifier = classifier
        self._policy = policy or AdmissionPolicy()
        self._queue = _Queue()
        self._changed = threading.Condition()
        self._free = 2

    @classmethod
    def load(
        cls,
        ref: str | Path | None = None,
        device: str = "auto",
        *,
        streams: int | None = None,
        cache_size: int = 0,
        policy: AdmissionPolicy | None = None,
    ) -> Classifier:
        """`models.load_classifier(ref, device=…)`, for many threads. Raises PermanentError as that does."""
        from models.load import load_classifier

        return cls(load_classifier(ref, device=device, streams=streams, cache_size=cache_size), policy)

    @property
    def model(self) -> ModelRef:
        return self._classifier.model

    @property
    def languages(self) -> frozenset[str]:
        return self._classifier.languages

    @property
    def waiting(self) -> int:
        """Texts that wait for a pass."""
        return self._queue.texts

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> Prepared:
        return self._classifier.prepare(texts, names)

    def infer(self, prepared: Prepared) -> list[Classification]:
        """For callers that make batches of their own: goes to the model past the queue."""
        return self._classifier.infer(prepared)

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        """Raises Overloaded, at once, when more texts wait than the policy allows; PermanentError when the model
        fails; ValueError when there are names, but not for each text."""
        if not texts:
            return []
        if names and len(names) != len(texts):
            # They would be taken for those of the next call's texts.
            raise ValueError(f"{len(names)} entries of names are given for {len(texts)} texts")
        call = _Call(texts, names)
        with self._changed:
            if self._queue.texts and self._queue.texts + len(texts) > self._policy.max_waiting:
                raise Overloaded(
                    f"{self._queue.texts} texts are waiting for the model, {len(texts)} more are too many",
                    delay=self._policy.retry_after,
                )
            self._queue.calls.append(call)
            self._queue.texts += len(texts)
        try:
            self._serve_until_answered(call)
        except BaseException:
            # This thread is being ended: what it asked must not keep its place among those that wait.
            self._withdraw(call)
            raise
        return call.answers.result()

    def _serve_until_answered(self, call: _Call) -> None:
        while not call.answers.done():
            with self._changed:
                self._changed.wait_for(lambda: call.answers.done() or (self._free and self._queue.calls))
                if call.answers.done():
                    break
                calls = self._take()
                self._free -= 1
            try:
                self._answer(calls)
            except BaseException:
                # This thread is being ended; the others must not wait for it for ever.
                for one in calls:
                    if not one.answers.done():
                        one.answers.set_exception(TemporaryError("the pass was interrupted", delay=0))
                raise
            finally:
                with self._changed:
                    self._free += 1
                    self._changed.notify_all()

    def _withdraw(self, call: _Call) -> None:
        with self._changed:
            if call in self._queue.calls:
                self._queue.calls.remove(call)
                self._queue.texts -= len(call.texts)
                self._changed.notify_all()

    def _take(self) -> list[_Call]:
        """The calls of one pass, the oldest first, at least one."""
        calls = [self._queue.calls.popleft()]
        size = len(calls[0].texts)
        while self._queue.calls and size + len(self._queue.calls[0].texts) <= self._policy.pass_size:
            calls.append(self._queue.calls.popleft())
            size += len(calls[-1].texts)
        self._queue.texts -= size
        return calls

    def _answer(self, calls: Sequence[_Call]) -> None:
        texts = [text for call in calls for text in call.texts]
        names: list[Names] | None = None
        if any(call.names for call in calls):
            names = [one for call in calls for one in call.names or [{}] * len(call.texts)]
        try:
            answers = self._classifier.classify(texts, names)
        except Exception as error:
            if len(calls) == 1:
                calls[0].answers.set_exception(error)
                return
            # One call's text may be to blame: it must not fail the others.
            for call in calls:
                self._answer([call])
            return
        start = 0
        for call in calls:
            call.answers.set_result(answers[start : start + len(call.texts)])
            start += len(call.texts)
