"""The monitor of the champion, and the challenger in the shadow."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest
from support.builders import make_document
from support.classifiers import HashClassifier
from support.telemetry import RecordingTelemetry

from domain.classification import Classification, ModelRef
from domain.document import Document
from domain.ports import Classifier, Prepared
from models.drift import Distribution
from models.monitor import FEWEST, Monitor
from models.shadow import Shadow, ShadowPolicy, is_chosen

Pairs = list[tuple[Document, Classification]]


def pairs(number: int, classifier: Classifier | None = None, mark: str = "", start: int = 0) -> Pairs:
    documents = [make_document(f"d{start + n}", text=f"text {start + n} {mark}") for n in range(number)]
    answers = (classifier or HashClassifier()).classify([document.content for document in documents])
    return list(zip(documents, answers, strict=True))


def reference(scored: Pairs) -> dict[str, Distribution]:
    return {task: Distribution.count([c.tasks[task] for _, c in scored]) for task in ("sentiment", "topic")}


def test_the_champion_is_compared_with_its_evaluation() -> None:
    expected = reference(pairs(2000, start=10_000))
    telemetry = RecordingTelemetry()
    monitor = Monitor(lambda _: expected, window=1000, telemetry=telemetry)

    monitor.observe(pairs(FEWEST - 1))
    assert math.isnan(telemetry.gauges["model_psi", "labels", "champion", "sentiment"])
    monitor.observe(pairs(1000))
    assert telemetry.gauges["model_psi", "labels", "champion", "sentiment"] < 0.1
    monitor.observe(pairs(1000, mark="#negative"))
    assert telemetry.gauges["model_psi", "labels", "champion", "sentiment"] > 1
    assert telemetry.gauges["model_psi", "confidence", "champion", "sentiment"] > 0.25
    assert telemetry.gauges["model_label_share", "negative", "champion", "sentiment"] == 1
    assert telemetry.gauges["model_confidence", "champion", "sentiment"] == pytest.approx(0.9)


def test_without_figures_the_champion_is_compared_with_what_it_said_first() -> None:
    telemetry = RecordingTelemetry()
    monitor = Monitor(lambda _: {}, window=600, telemetry=telemetry)

    monitor.observe(pairs(599))
    assert math.isnan(telemetry.gauges["model_psi", "labels", "champion", "topic"])
    monitor.observe(pairs(1, start=599))
    assert telemetry.gauges["model_psi", "labels", "champion", "topic"] == 0
    monitor.observe(pairs(600, mark="#positive", start=600))
    assert telemetry.gauges["model_psi", "labels", "champion", "sentiment"] > 1


def test_another_champion_is_watched_from_its_own_start() -> None:
    telemetry = RecordingTelemetry()
    asked: list[ModelRef] = []

    def references(model: ModelRef) -> dict[str, Distribution]:
        asked.append(model)
        return {}

    monitor = Monitor(references, window=600, telemetry=telemetry)
    monitor.observe(pairs(600, mark="#negative"))
    second = HashClassifier(version="2")
    monitor.observe(pairs(10, second, mark="#positive"))

    assert asked == [HashClassifier().model, second.model]
    assert telemetry.gauges["model_label_share", "negative", "champion", "sentiment"] == 0
    assert math.isnan(telemetry.gauges["model_psi", "labels", "champion", "sentiment"])


def test_a_label_that_the_new_champion_does_not_have_keeps_no_share() -> None:
    class Narrow(HashClassifier):
        def infer(self, prepared: Prepared) -> list[Classification]:
            return [replace(one, tasks={**one.tasks, "topic": {"Oil": 1.0}}) for one in super().infer(prepared)]

    telemetry = RecordingTelemetry()
    monitor = Monitor(lambda _: {}, window=600, telemetry=telemetry)
    monitor.observe(pairs(600))
    monitor.observe(pairs(10, Narrow(version="2")))
    shares = {key: share for key, share in telemetry.gauges.items() if key[0] == "model_label_share" and "topic" in key}
    assert len(shares) > 20
    assert sum(shares.values()) == 1


# --- the challenger --------------------------------------------------------------------------------------------------


class Contrary(HashClassifier):
    """Reads every text as if it were good news."""

    def classify(self, texts: Sequence[str], names: object = None) -> list[Classification]:
        return super().classify([f"#positive {text.replace('#', '')}" for text in texts])


@contextmanager
def shadowed(load: Callable[[], Classifier], **policy: float) -> Iterator[tuple[Shadow, RecordingTelemetry]]:
    telemetry = RecordingTelemetry()
    shadow = Shadow(load, policy=ShadowPolicy(**{"share": 1.0, **policy}), telemetry=telemetry)  # type: ignore[arg-type]
    shadow.start()
    try:
        yield shadow, telemetry
    finally:
        shadow.stop()
        shadow.join(10)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def seen(telemetry: RecordingTelemetry, outcome: str) -> float:
    return telemetry.counts.get(("shadow_documents_total", outcome), 0)


def test_a_challenger_that_says_the_same_agrees_and_has_not_drifted() -> None:
    with shadowed(lambda: HashClassifier(version="2")) as (shadow, telemetry):
        shadow.observe(pairs(1000))
        until(lambda: seen(telemetry, "compared") == 1000)
    assert telemetry.gauges["shadow_agreement", "sentiment"] == 1
    assert telemetry.gauges["shadow_agreement", "topic"] == 1
    assert telemetry.gauges["model_psi", "labels", "challenger", "sentiment"] == 0


def test_a_challenger_that_disagrees_is_seen_to() -> None:
    with shadowed(Contrary) as (shadow, telemetry):
        shadow.observe(pairs(500, mark="#negative") + pairs(500, mark="#positive", start=500))
        until(lambda: seen(telemetry, "compared") == 1000)
    assert telemetry.gauges["shadow_agreement", "sentiment"] == 0.5
    assert telemetry.gauges["model_psi", "labels", "challenger", "sentiment"] > 0.25
    assert telemetry.gauges["model_label_share", "positive", "challenger", "sentiment"] == 1


def test_a_busy_challenger_holds_nobody_up_and_what_it_misses_is_counted() -> None:
    free = threading.Event()

    class Stuck(HashClassifier):
        def classify(self, texts: Sequence[str], names: object = None) -> list[Classification]:
            free.wait(10)
            return super().classify(texts)

    with shadowed(Stuck, max_queued=250) as (shadow, telemetry):
        began = time.monotonic()
        for start in range(0, 1000, 100):
            shadow.observe(pairs(100, start=start))
        assert time.monotonic() - began < 2
        assert seen(telemetry, "skipped") == 750
        free.set()
        until(lambda: seen(telemetry, "compared") == 250)
        shadow.observe(pairs(100))
        until(lambda: seen(telemetry, "compared") == 350)


def test_of_a_batch_larger_than_the_queue_what_fits_is_compared() -> None:
    with shadowed(HashClassifier, max_queued=30) as (shadow, telemetry):
        shadow.observe(pairs(100))
        until(lambda: seen(telemetry, "compared") == 30)
    assert seen(telemetry, "skipped") == 70


def test_the_share_is_the_same_documents_everywhere_and_more_of_them_with_a_larger_share() -> None:
    documents = [make_document(f"d{number}") for number in range(5000)]
    chosen = {share: {d.id for d in documents if is_chosen(d, share)} for share in (0.0, 0.1, 0.5, 1.0)}
    assert len(chosen[0.0]) == 0
    assert len(chosen[0.1]) == pytest.approx(500, rel=0.15)
    assert chosen[0.1] < chosen[0.5] < chosen[1.0]
    assert len(chosen[1.0]) == 5000

    with shadowed(HashClassifier, share=0.5) as (shadow, telemetry):
        scored = pairs(200)
        shadow.observe(scored)
        until(lambda: seen(telemetry, "compared") == sum(is_chosen(document, 0.5) for document, _ in scored))


def test_a_challenger_that_can_not_be_loaded_or_fails_is_counted_and_nothing_else() -> None:
    def missing() -> Classifier:
        raise OSError("no such folder")

    with shadowed(missing) as (shadow, telemetry):
        shadow.observe(pairs(10))
        until(lambda: seen(telemetry, "failed") == 10)

    class Broken(HashClassifier):
        def classify(self, texts: Sequence[str], names: object = None) -> list[Classification]:
            raise RuntimeError("the weights are gone")

    with shadowed(Broken) as (shadow, telemetry):
        shadow.observe(pairs(10))
        shadow.observe(pairs(10))
        until(lambda: seen(telemetry, "failed") == 20)
    assert not telemetry.gauges


def test_with_another_champion_the_comparison_begins_anew() -> None:
    with shadowed(Contrary) as (shadow, telemetry):
        shadow.observe(pairs(100, mark="#negative"))
        until(lambda: seen(telemetry, "compared") == 100)
        assert telemetry.gauges["shadow_agreement", "sentiment"] == 0
        shadow.observe(pairs(100, HashClassifier(version="2"), mark="#positive"))
        until(lambda: seen(telemetry, "compared") == 200)
        until(lambda: telemetry.gauges["shadow_agreement", "sentiment"] == 1)
