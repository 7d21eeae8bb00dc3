"""Following the registry: what is taken up, what is not, and what goes on meanwhile."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from support.classifiers import HashClassifier
from support.fake_registry import FakeModelRegistry
from support.telemetry import RecordingTelemetry

from domain.classification import Classification, ModelRef
from domain.errors import PermanentError
from domain.ports import Classifier, Names
from domain.registry import RegisteredModel
from stream.live_model import LiveModel, RunningModel, prove
from stream.model_follower import FollowPolicy, Look, ModelFollower

SHIPS, A, B, BROKEN = (ModelRef(name="hash", version=version) for version in ("ships", "a", "b", "broken"))


@dataclass
class World:
    """A registry that knows three models, and a follower that starts with the one that ships."""

    registry: FakeModelRegistry = field(default_factory=FakeModelRegistry)
    telemetry: RecordingTelemetry = field(default_factory=RecordingTelemetry)
    now: float = 0.0
    loads: list[str] = field(default_factory=list)
    mended: bool = False

    def __post_init__(self) -> None:
        for ref in (A, B, BROKEN):
            self.registry.register(ref, location=f"/models/{ref.version}", figures={})
        self.live = LiveModel(self.load(None))
        self.loads.clear()
        self.follower = self.following()

    def following(self, following: ModelRef | None = None, **policy: float) -> ModelFollower:
        return ModelFollower(
            self.live,
            registry=self.registry,
            load=self.load,
            following=following,
            worker="host:1",
            policy=FollowPolicy(**policy),
            telemetry=self.telemetry,
            monotonic=lambda: self.now,
        )

    def load(self, model: RegisteredModel | None) -> RunningModel:
        self.loads.append(model.location if model else "ships")
        if model and model.ref == BROKEN and not self.mended:
            raise OSError("/models/broken/model.bin: No such file or directory")
        version = model.location.rpartition("/")[2] if model else "ships"
        return RunningModel(classifier=HashClassifier(version=version), config_hash=f"config of {version}")

    def promote(self, ref: ModelRef) -> None:
        now = self.registry.promoted()
        self.registry.promote(ref, replaces=now[0].ref if now else None, by="ann", reason="")

    @property
    def running(self) -> ModelRef:
        return self.live.get().classifier.model

    def swaps(self, outcome: str) -> float:
        return self.telemetry.counts.get(("model_swaps_total", outcome), 0)


@pytest.fixture
def world() -> World:
    return World()


def test_while_nothing_is_promoted_nothing_is_loaded(world: World) -> None:
    assert world.follower.look() is Look.UNCHANGED
    assert world.running == SHIPS
    assert world.loads == []


def test_a_promoted_model_takes_over_with_its_configuration_and_is_reported(world: World) -> None:
    before = world.live.get()
    world.promote(A)

    assert world.follower.look() is Look.SWAPPED
    assert world.follower.look() is Look.UNCHANGED
    assert world.loads == ["/models/a"]
    assert world.live.get().config_hash == "config of a"
    assert before.classifier.model == SHIPS, "who took a batch in before keeps the model that it took"
    assert world.telemetry.gauges["model_info", "hash", "a"] == 1
    assert world.telemetry.gauges["model_info", "hash", "ships"] == 0
    assert world.swaps("swapped") == 1
    assert [(up.model, up.worker, up.error) for up in world.registry.take_ups()] == [(A, "host:1", None)]


def test_a_rollback_leads_back_as_far_as_to_the_model_that_ships(world: World) -> None:
    for ref in (A, B):
        world.promote(ref)
        world.follower.look()
    world.registry.rollback(replaces=B, by="ann", reason="")
    assert world.follower.look() is Look.SWAPPED
    assert world.running == A
    world.registry.rollback(replaces=A, by="ann", reason="")
    assert world.follower.look() is Look.SWAPPED
    assert world.running == SHIPS


def test_a_model_that_does_not_load_leaves_the_old_one_in_its_place_and_is_reported_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.promote(A)
    world.follower.look()
    world.promote(BROKEN)

    assert world.follower.look() is Look.FAILED
    assert world.follower.look() is Look.WAITING
    assert world.running == A
    assert world.swaps("failed") == 1
    newest = world.registry.take_ups()[0]
    assert newest.model == BROKEN
    assert newest.error == "OSError: /models/broken/model.bin: No such file or directory"
    world.now += 30
    assert world.follower.look() is Look.FAILED
    world.now += 59
    assert world.follower.look() is Look.WAITING
    world.now += 1
    assert world.follower.look() is Look.FAILED
    assert len(world.registry.take_ups()) == 2
    said = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(said) == 1
    assert "hash@a goes on" in said[0].getMessage()


def test_a_model_that_failed_is_taken_up_once_it_is_mended(world: World) -> None:
    world.promote(BROKEN)
    world.follower.look()
    world.mended = True
    world.now += 30
    assert world.follower.look() is Look.SWAPPED
    assert world.running == BROKEN
    assert world.telemetry.gauges["model_info", "hash", "broken"] == 1


def test_another_promotion_or_another_place_does_not_wait_for_the_one_that_failed(world: World) -> None:
    world.promote(BROKEN)
    assert world.follower.look() is Look.FAILED
    world.registry.register(BROKEN, location="/elsewhere/broken", figures={})
    assert world.follower.look() is Look.FAILED
    assert world.loads[-1] == "/elsewhere/broken"
    world.promote(B)
    assert world.follower.look() is Look.SWAPPED
    assert world.running == B


def test_a_folder_that_holds_another_model_than_was_registered_is_refused(world: World) -> None:
    world.registry.register(A, location="/models/b", figures={})
    world.promote(A)
    assert world.follower.look() is Look.FAILED
    assert world.registry.take_ups()[0].error == (
        "/models/b holds hash@b, not hash@a: it was changed since it was registered"
    )
    assert world.running == SHIPS


def test_a_registry_that_is_away_is_said_once_and_changes_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.promote(A)
    world.follower.look()
    caplog.clear()
    with caplog.at_level(logging.INFO):
        world.registry.away = "Postgres can't be reached"
        for _ in range(5):
            assert world.follower.look() is Look.AWAY
        assert world.running == A
        world.registry.away = None
        world.promote(B)
        assert world.follower.look() is Look.SWAPPED
    assert sum("can't be asked" in message for message in caplog.messages) == 1
    assert sum("can be asked again" in message for message in caplog.messages) == 1


def test_it_follows_in_a_thread_until_it_is_stopped(world: World) -> None:
    threads = threading.active_count()
    follower = world.following(every=0.01)
    follower.start()
    world.promote(A)
    deadline = time.monotonic() + 5
    while world.running != A:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    follower.stop()
    while threading.active_count() > threads:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_a_worker_starts_with_is_told_too(world: World) -> None:
    world.promote(A)
    follower = world.following(A, every=0.01)
    follower.start()
    deadline = time.monotonic() + 5
    while not world.registry.take_ups():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    follower.stop()
    assert [(up.model, up.worker, up.error) for up in world.registry.take_ups()] == [(A, "host:1", None)]


def test_it_follows_on_after_an_error_that_nobody_foresaw(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    promoted, asked = world.registry.promoted, threading.Event()

    def failing() -> Sequence[RegisteredModel]:
        asked.set()
        monkeypatch.setattr(world.registry, "promoted", promoted)
        raise RuntimeError("a bug")

    world.promote(A)
    monkeypatch.setattr(world.registry, "promoted", failing)
    follower = world.following(every=0.01)
    follower.start()
    assert asked.wait(5)
    deadline = time.monotonic() + 5
    while world.running != A:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    follower.stop()
    assert "looking at the registry of models failed, hash@ships goes on" in caplog.text


# --- what a model must be able to do ---------------------------------------------------------------------------------


class Changed(HashClassifier):
    """Answers with these tasks instead."""

    def __init__(self, tasks: dict[str, dict[str, float]]) -> None:
        super().__init__()
        self._tasks = tasks

    def classify(self, texts: Sequence[str], names: object = None) -> list[Classification]:
        return [Classification(tasks=self._tasks, model=self.model, input_hash="") for _ in texts]


FAIR = {"negative": 0.3, "neutral": 0.3, "positive": 0.4}


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ({"sentiment": FAIR}, "has no task topic"),
        ({"intent": {"buy": 1.0}}, "has no task sentiment and topic"),
        ({"sentiment": {"bearish": 0.4, "bullish": 0.6}, "topic": {"Macro": 1.0}}, "calls its sentiments"),
        ({"sentiment": {**FAIR, "neutral": float("nan")}, "topic": {"Macro": 1.0}}, "gives no probabilities"),
    ],
)
def test_a_model_that_the_stream_can_not_use_is_told_what_it_lacks(
    tasks: dict[str, dict[str, float]], said: str
) -> None:
    with pytest.raises(PermanentError, match=said):
        prove(Changed(tasks))


def test_a_model_that_speaks_of_names_in_labels_of_its_own_is_told_so() -> None:
    class ByName(Changed):
        def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
            said = {"bad": 0.2, "mixed": 0.2, "good": 0.6}
            answers = super().classify(texts)
            for number, (text, given) in enumerate(zip(texts, names or (), strict=True)):
                found = {symbol: said for symbol, spelt in given.items() if any(name in text for name in spelt)}
                answers[number] = replace(answers[number], entities=found)
            return answers

    with pytest.raises(PermanentError, match="calls its sentiments about names bad, mixed, good"):
        prove(ByName({"sentiment": FAIR, "topic": {"Macro": 1.0}}))


def test_a_model_that_answers_with_the_tasks_of_the_stream_is_fit() -> None:
    classifier: Classifier = Changed({"sentiment": FAIR, "topic": {"Macro": 1.0}, "intent": {"buy": 1.0}})
    prove(classifier)
    prove(HashClassifier())


def test_a_model_that_leaves_texts_out_is_not_fit() -> None:
    class Short(HashClassifier):
        def classify(self, texts: Sequence[str], names: object = None) -> list[Classification]:
            return super().classify(texts[:-1])

    with pytest.raises(PermanentError, match="2 answers to 3 texts"):
        prove(Short())
