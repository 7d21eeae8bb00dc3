"""From corrections to a promoted model, in miniature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.builders import make_document, make_scored
from support.fake_corrections import FakeCorrections
from support.fake_registry import FakeModelRegistry
from support.fake_store import FakeDocuments
from support.tiny_models import TREE, tiny_model

from domain.correction import Correction
from domain.errors import InvalidInput
from models.convert import calibration_sentences
from models.export import export
from models.folder import OPENVINO_FILES, read_settings
from models.training.command import Request
from service.retraining import SOURCE, Retrained, RetrainingPolicy, retrain
from service.settings import load
from service.stream_models import ModelLoader

WEAK = ("epochs=1", "optimiser.learning_rate=1e-6")
TEXTS = {"a": "crude plunges firma", "b": "profit soars firmb", "c": "payrolls meets firmc"}
LABELS = {"a": "negative", "b": "positive", "c": "neutral"}
LOADER = ModelLoader(load(environment={}, overrides={"model.device": "cpu"}, find_running=False).settings)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoder, data and a champion that has learnt next to nothing, served in int8."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(folder, *WEAK)
    export(folder / "model", calibration_sentences())
    return folder


@pytest.fixture
def corrections() -> FakeCorrections:
    documents = FakeDocuments()
    for name, text in TEXTS.items():
        documents.add(make_scored(make_document(name, text=text)))
    found = FakeCorrections(documents)
    found.add([Correction(document_id=name, task="sentiment", label=LABELS[name], by="ann") for name in TEXTS])
    found.add([Correction(document_id="a", task="mood", label="bad", by="ann")])
    return found


@pytest.fixture
def registry() -> FakeModelRegistry:
    return FakeModelRegistry()


Retrain = Callable[..., Retrained]


@pytest.fixture
def retrained(place: Path, tmp_path: Path, corrections: FakeCorrections, registry: FakeModelRegistry) -> Retrain:
    """Retrain into tmp_path/`out`."""
    config = tmp_path / "train.yml"
    config.write_text(yaml.safe_dump({**TREE, "encoder": str(place / "encoder")}))
    said: list[str] = []

    def call(*changes: str, champion: Path = place / "model", out: str = "challenger", **policy: Any) -> Retrained:
        request = Request(
            config=str(config), out=tmp_path / out, data_dir=place / "data", changes=changes, device="cpu"
        )
        return retrain(
            request,
            champion=champion,
            corrections=corrections,
            registry=registry,
            loader=LOADER,
            policy=RetrainingPolicy(by="ann", **policy),
            say=said.append,
        )

    return call


def test_a_challenger_that_beats_the_champion_is_in_force_and_has_learnt_the_corrections(
    retrained: Retrain, registry: FakeModelRegistry, tmp_path: Path
) -> None:
    done = retrained(weight=3)

    settings = read_settings(tmp_path / "challenger")
    (model,) = registry.promoted()
    assert (done.promotion.model, model.ref, model.location) == (
        settings.ref,
        settings.ref,
        str(tmp_path / "challenger"),
    )
    assert (done.promotion.by, done.promotion.reason) == ("ann", "learnt corrections (sentiment)")
    assert {one.task: one.challenger > one.champion for one in done.compared} == {"sentiment": True, "topic": True}
    assert set(OPENVINO_FILES) <= settings.files.keys(), "served like the champion"
    assert settings.temperatures.keys() == {"sentiment", "topic"}
    learnt = {one["source"]: one["rows"] for one in settings.training["files"]}
    assert learnt == {"moods": 250, "themes": 250, SOURCE: 3}, "the earlier data is replayed"
    assert settings.training["config"]["added"][0]["weight"] == 3
    assert settings.training["evaluation"].keys() == {"sentiment/moods", "topic/themes"}

    with pytest.raises(InvalidInput, match="has learnt all that stands corrected"):
        retrained(champion=tmp_path / "challenger", out="again")


def test_a_challenger_that_does_not_beat_the_champion_is_not_put_in_force(
    retrained: Retrain, registry: FakeModelRegistry, place: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"not promoted: the challenger in .* does not beat the champion"):
        # What it goes on from is the champion itself, and it hardly moves.
        retrained("epochs=1", "optimiser.learning_rate=1e-9", from_champion=True)
    assert (registry.models(), registry.promotions()) == ([], [])


def test_without_corrections_nothing_is_trained(
    retrained: Retrain, corrections: FakeCorrections, tmp_path: Path
) -> None:
    corrections.add([Correction(document_id=name, task="sentiment", label=None, by="ann") for name in TEXTS])
    with pytest.raises(InvalidInput, match="there is no correction to learn"):
        retrained()
    assert not (tmp_path / "challenger").exists()
