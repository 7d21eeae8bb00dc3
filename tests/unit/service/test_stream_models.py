"""Which model is in force, what a worker starts with, and who looks on."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest
from support.classifiers import HashClassifier
from support.fake_registry import FakeModelRegistry
from support.model_folders import variant

from domain.classification import ModelRef
from domain.ports import NoTelemetry
from models.load import DEFAULT_MODEL
from models.monitor import Monitor
from models.shadow import Shadow
from service import stream_models
from service.model_in_force import Why, in_force
from service.settings import Settings, load
from service.stream_models import ModelLoader, config_hash, live_model, observers

GONE = ModelRef(name="gone", version="1")


def settings(**values: object) -> Settings:
    """Settings with these values, `model__ref` for `model.ref`."""
    overrides = {"model.device": "cpu", **{key.replace("__", "."): value for key, value in values.items()}}
    return load(environment={}, overrides=overrides, find_running=False).settings


@pytest.fixture
def registry() -> FakeModelRegistry:
    return FakeModelRegistry()


def promote(registry: FakeModelRegistry, ref: ModelRef, location: Path | str) -> None:
    promoted = registry.promoted()
    registry.register(ref, location=str(location), figures={})
    registry.promote(ref, replaces=promoted[0].ref if promoted else None, by="ann", reason="")


def test_the_setting_goes_before_the_registry_and_that_before_what_ships(registry: FakeModelRegistry) -> None:
    assert (in_force(settings(), []).why, in_force(settings(), []).location) == (Why.SHIPPED, None)
    promote(registry, GONE, "/models/gone")
    held = in_force(settings(), registry.promoted())
    assert (held.why, held.location) == (Why.PROMOTED, "/models/gone")
    held = in_force(settings(model__ref="/mine"), registry.promoted())
    assert (held.why, held.location) == (Why.PINNED, "/mine")


def start(registry: FakeModelRegistry | None, made: Settings) -> tuple[str, bool]:
    """The name of the model that a worker starts with, and whether it follows a registry."""
    live, follower = live_model(made, registry, ModelLoader(made), NoTelemetry())
    return live.get().classifier.model.name, follower is not None


def test_a_worker_starts_with_what_is_promoted_and_follows(registry: FakeModelRegistry, tmp_path: Path) -> None:
    promote(registry, variant(tmp_path).ref, tmp_path)
    assert start(registry, settings()) == ("variant", True)


def test_a_worker_without_a_registry_to_follow_runs_what_the_settings_say(tmp_path: Path) -> None:
    variant(tmp_path)
    assert start(None, settings()) == (DEFAULT_MODEL, False)
    assert start(None, settings(model__ref=str(tmp_path))) == ("variant", False)


def test_a_worker_that_can_not_load_the_promoted_model_starts_with_what_a_rollback_leads_to(
    registry: FakeModelRegistry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    promote(registry, GONE, tmp_path / "gone")
    assert start(registry, settings()) == (DEFAULT_MODEL, True)

    promote(registry, variant(tmp_path / "tone").ref, tmp_path / "tone")
    promote(registry, ModelRef(name="gone", version="2"), tmp_path / "gone")
    assert start(registry, settings()) == ("variant", True)
    assert "gone@2 is promoted and can't be taken up" in caplog.text


def test_a_worker_waits_for_a_registry_that_is_away(
    registry: FakeModelRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream_models, "_ASK_AGAIN", 0.01)
    registry.away = "Postgres can't be reached"
    threading.Timer(0.2, lambda: setattr(registry, "away", None)).start()
    began = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert start(registry, settings()) == (DEFAULT_MODEL, True)
    assert time.monotonic() - began >= 0.2
    assert caplog.text.count("waiting for the registry of models") == 1


def test_a_challenger_runs_only_where_one_is_named() -> None:
    loader = ModelLoader(settings())
    assert [type(one) for one in observers(settings(), loader, NoTelemetry())] == [Monitor]
    shadowed = settings(shadow__ref=DEFAULT_MODEL)
    assert [type(one) for one in observers(shadowed, loader, NoTelemetry())] == [Monitor, Shadow]


def test_scores_of_another_model_or_device_have_another_configuration() -> None:
    first, second = HashClassifier(version="1"), HashClassifier(version="2")
    on_cpu, on_gpu = settings(model__device="cpu"), settings(model__device="cuda")
    hashes = {config_hash(model, made, {}) for model in (first, second) for made in (on_cpu, on_gpu)}
    assert len(hashes) == 4
    assert config_hash(first, on_cpu, {}) == config_hash(HashClassifier(version="1"), settings(model__device="cpu"), {})
    named = [config_hash(first, on_cpu, {"ACME": names}) for names in (("Acme",), ("Acme", "Acme Inc"))]
    assert len({*hashes, *named}) == 6
