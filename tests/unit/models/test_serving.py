"""A model for many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from unittest.mock import Mock

import pytest
from support.classifiers import POISON, HashClassifier

from domain.classification import Classification
from domain.errors import Overloaded, TemporaryError
from domain.ports import Names
from models import AdmissionPolicy, Classifier


class Gated(HashClassifier):
    """Notes what it is asked, and answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()
        self.passes: list[list[str]] = []
        self.names: list[Sequence[Names] | None] = []
        self.begun = threading.Semaphore(0)

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        self.passes.append(list(texts))
        self.names.append(names)
        self.begun.release()
        assert self.let.wait(20)
        return super().classify(texts, names)


class Waiting:
    """Threads that wait for a classifier of which both passes are taken."""

    def __init__(self, model: Gated, classifier: Classifier, threads: ThreadPoolExecutor) -> None:
        self.model, self.classifier, self.threads = model, classifier, threads
        self.calls = []
        for text in ("first", "second"):
            self.add([text])
            assert model.begun.acquire(timeout=20)

    def add(self, texts: list[str], names: list[Names] | None = None) -> None:
        before = self.classifier.waiting
        self.calls.append(self.threads.submit(self.classifier.classify, texts, names))
        if len(self.calls) > 2:
            while self.classifier.waiting == before:
                threading.Event().wait(0.001)


def test_calls_that_wait_share_a_pass_and_each_gets_its_own_answers() -> None:
    model = Gated()
    with ThreadPoolExecutor(20) as threads:
        waiting = Waiting(model, Classifier(model, AdmissionPolicy(pass_size=4)), threads)
        asked = [["a"], ["b", "c"], ["d"], ["e", "f", "g", "h", "i", "j"], ["k"]]
        for texts in asked:
            waiting.add(texts)
        model.let.set()
        answers = [call.result(20) for call in waiting.calls[2:]]
    assert answers == [HashClassifier().classify(texts) for texts in asked]
    assert model.passes[2:] == [["a", "b", "c", "d"], ["e", "f", "g", "h", "i", "j"], ["k"]]


def test_names_go_with_their_texts_into_a_shared_pass() -> None:
    model = Gated()
    with ThreadPoolExecutor(20) as threads:
        waiting = Waiting(model, Classifier(model), threads)
        waiting.add(["a", "b"])
        waiting.add(["c"], [{"AAPL": ("Apple",)}])
        model.let.set()
        wait(waiting.calls)
    assert model.names == [None, None, [{}, {}, {"AAPL": ("Apple",)}]]


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    model = Gated()
    with ThreadPoolExecutor(20) as threads:
        policy = AdmissionPolicy(max_waiting=5, retry_after=2.5)
        waiting = Waiting(model, Classifier(model, policy), threads)
        waiting.add(["a"] * 7)
        with pytest.raises(Overloaded, match="7 texts are waiting") as refused:
            waiting.classifier.classify(["b"])
        assert refused.value.delay == 2.5
        model.let.set()
        wait(waiting.calls)
    assert len(waiting.classifier.classify(["b"])) == 1, "there is room again"


def test_a_text_that_the_model_fails_on_fails_its_own_call_alone() -> None:
    model = Gated()
    with ThreadPoolExecutor(20) as threads:
        waiting = Waiting(model, Classifier(model), threads)
        for text in ("a", POISON, "b"):
            waiting.add([text])
        model.let.set()
        good, bad, also_good = waiting.calls[2:]
        assert good.result(20) == HashClassifier().classify(["a"])
        assert also_good.result(20) == HashClassifier().classify(["b"])
        with pytest.raises(RuntimeError, match="poisonous"):
            bad.result(20)


def test_when_the_thread_of_a_pass_is_ended_the_others_in_it_are_told() -> None:
    class Ended(Gated):
        def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
            if list(texts) == ["b"]:
                raise KeyboardInterrupt
            return super().classify(texts, names)

    model = Ended()
    with ThreadPoolExecutor(20) as threads:
        waiting = Waiting(model, Classifier(model), threads)
        for text in (POISON, "b", "c", "d"):
            waiting.add([text])
        model.let.set()
        outcomes = [call.exception(20) for call in waiting.calls[2:]]
    # Of the last two, which never had their turn, one at most is the thread that ran the pass.
    assert all(isinstance(outcome, (TemporaryError, KeyboardInterrupt)) for outcome in outcomes[2:])
    assert sum(isinstance(outcome, KeyboardInterrupt) for outcome in outcomes) <= 1
    assert waiting.classifier.waiting == 0
    assert len(waiting.classifier.classify(["d"])) == 1, "the next pass is free"


def test_a_call_whose_thread_is_ended_while_it_waits_keeps_no_place_in_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Gated()
    with ThreadPoolExecutor(20) as threads:
        waiting = Waiting(model, Classifier(model, AdmissionPolicy(max_waiting=5)), threads)
        waiting.add(["a"])
        condition = waiting.classifier._changed
        with monkeypatch.context() as patched:
            patched.setattr(condition, "wait_for", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                waiting.classifier.classify(["b"] * 4)
        assert waiting.classifier.waiting == 1
        waiting.add(["c"] * 4)
        model.let.set()
        wait(waiting.calls)
    assert len(waiting.classifier.classify(["d"])) == 1


def test_names_that_do_not_match_the_texts_are_refused_before_they_reach_a_shared_pass() -> None:
    with pytest.raises(ValueError, match="1 entries of names are given for 2 texts"):
        Classifier(HashClassifier()).classify(["a", "b"], [{"AAPL": ("Apple",)}])


def test_many_threads_get_the_answers_of_one() -> None:
    classifier = Classifier(HashClassifier(), AdmissionPolicy(pass_size=8))
    calls = [[f"text {number} of {call}" for number in range(call % 5)] for call in range(400)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(classifier.classify, calls))
    assert answers == [HashClassifier().classify(texts) for texts in calls]
    assert classifier.waiting == 0
