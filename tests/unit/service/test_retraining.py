"""From corrections to a promoted model, in miniature."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.builders import make_document, make_scored
from support.fake_corrections import FakeCorrections
from support.fake_registry import FakeModelRegistry
from support.fake_store import FakeDocuments
from support.tiny_models import TREE, WORDS, tiny_entities, tiny_model

from domain.correction import Correction
from domain.errors import InvalidInput
from models.convert import calibration_sentences
from models.evaluation.evaluate import Policy, evaluate
from models.evaluation.keep import keep_figures
from models.evaluation.opened import open_model, questions_held_out
from models.export import export
from models.folder import OPENVINO_FILES, read_settings
from models.training.command import Request, config_of, execute
from service import retraining as module
from service.retraining import SOURCE, Retrained, RetrainingPolicy, retrain
from service.settings import load
from service.stream_models import ModelLoader

WEAK = ("epochs=1", "optimiser.learning_rate=1e-6")
TEXTS = {"a": "crude plunges firma", "b": "profit soars firmb", "c": "payrolls meets firmc"}
LABELS = {"a": "negative", "b": "positive", "c": "neutral"}
NAMES = {"Q": ("firmq holds",)}
LOADER = ModelLoader(load(environment={}, overrides={"model.device": "cpu"}, find_running=False).settings)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Encoder, data and a champion that has learnt next to nothing, served in int8."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_model(folder, *WEAK)
    export(folder / "model", calibration_sentences())
    return folder


@pytest.fixture
def documents() -> FakeDocuments:
    documents = FakeDocuments()
    for name, text in TEXTS.items():
        documents.add(make_scored(make_document(name, text=text)))
    return documents


@pytest.fixture
def corrections(documents: FakeDocuments) -> FakeCorrections:
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

    def call(
        *changes: str,
        champion: Path = place / "model",
        out: str = "challenger",
        tree: Mapping[str, Any] = TREE,
        said: list[str] | None = None,
        **policy: Any,
    ) -> Retrained:
        config.write_text(yaml.safe_dump({**tree, "encoder": str(place / "encoder")}))
        request = Request(
            config=str(config), out=tmp_path / out, data_dir=place / "data", changes=changes, device="cpu"
        )
        return retrain(
            request,
            champion=champion,
            corrections=corrections,
            names=NAMES,
            registry=registry,
            loader=LOADER,
            policy=RetrainingPolicy(by="ann", **policy),
            say=[].append if said is None else said.append,
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


def test_a_champion_that_has_learnt_what_is_held_out_stands_by_the_figures_of_its_sister(
    retrained: Retrain, place: Path, tmp_path: Path, registry: FakeModelRegistry
) -> None:
    """It would be right on what it has learnt by heart, and no challenger ever better."""
    champion, said = tmp_path / "champion", list[str]()
    execute(
        Request(
            config=str(place / "model"),
            out=champion,
            data_dir=place / "data",
            device="cpu",
            # What --refit would do, but longer: it has to know them by heart.
            changes=[f"refit_of={place / 'model'}", "held_out.share=0", "epochs=6", "optimiser.learning_rate=5e-3"],
        ),
        said.append,
    )
    sister = open_model(str(place / "model"), device="cpu")
    for task, questions in questions_held_out(sister, place / "data", list(sister.settings.tasks)).items():
        keep_figures(champion, evaluate(sister.classifier, questions, policy=Policy(latency=False)))
        mine = open_model(str(champion), device="cpu")
        assert evaluate(mine.classifier, questions, policy=Policy(latency=False)).whole.headline.value == 1, task

    done = retrained(champion=champion, said=said)

    assert any(line.startswith("sentiment: the champion has learnt what is held out; its figures are") for line in said)
    assert {one.task: one.champion < 0.9 < one.challenger for one in done.compared} == {
        "sentiment": True,
        "topic": True,
    }

    # Gone on from its weights, the challenger has learnt the same: both are asked.
    said.clear()
    with pytest.raises(InvalidInput, match="does not beat the champion"):
        retrained(
            "epochs=1", "optimiser.learning_rate=1e-9", champion=champion, out="on", from_champion=True, said=said
        )
    assert not any("its figures are" in line for line in said)


def test_what_was_killed_once_it_was_trained_is_compared_and_promoted_by_the_same_call(
    retrained: Retrain, registry: FakeModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_compare", _killed)
        with pytest.raises(KeyboardInterrupt):
            retrained()
    with monkeypatch.context() as patch:
        patch.setattr(module, "execute", _killed)
        with pytest.raises(KeyboardInterrupt):
            retrained(weight=3)
        done = retrained()
    assert [done.promotion.model] == [model.ref for model in registry.promoted()]


def _killed(*_arguments: Any, **_options: Any) -> Any:
    raise KeyboardInterrupt


def test_corrections_are_learnt_beside_what_the_configuration_adds_itself(
    retrained: Retrain, documents: FakeDocuments, corrections: FakeCorrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Request] = []

    def killed(request: Request, _say: Any) -> None:
        asked.append(request)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "execute", killed)
    documents.add(make_scored(make_document("link", text="https://example.com/a")))
    corrections.add([Correction(document_id="link", task="sentiment", label="neutral", by="ann")])
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        retrained("added=[{source: mine, file: more.jsonl, task: topic}]", said=said)
    assert [(item.source, item.task) for item in config_of(asked[0]).added] == [
        ("mine", "topic"),
        (SOURCE, "sentiment"),
    ]
    assert said == ["3 of 5 corrections are learnt, 1 left out (task or label unknown), 1 left out (text empty)"]


ENTITIES: dict[str, Any] = {
    **TREE,
    "tasks": {**TREE["tasks"], "entity_sentiment": {"kind": "entity", "labels": list(WORDS)}},
    "data": [*TREE["data"], {"source": "names", "file": "names.jsonl", "task": "entity_sentiment", "entity": "name"}],
}


def test_what_was_said_of_a_symbol_is_learnt_of_the_name_that_the_text_has_for_it(
    retrained: Retrain,
    documents: FakeDocuments,
    corrections: FakeCorrections,
    registry: FakeModelRegistry,
    place: Path,
    tmp_path: Path,
) -> None:
    tiny_entities(place / "data")
    (tmp_path / "weak").mkdir()
    for part in ("encoder", "data"):
        (tmp_path / "weak" / part).symlink_to(place / part)
    champion = tiny_model(tmp_path / "weak", *WEAK, tree=ENTITIES).folder
    for name, text in {"d": "firmq holds , firmr soars", "e": "firmr soars"}.items():
        documents.add(make_scored(make_document(name, text=text, symbols=("Q",))))
    corrections.add(
        [
            Correction(document_id=name, task="entity_sentiment", entity="Q", label="neutral", by="ann")
            for name in ("d", "e")
        ]
    )
    said: list[str] = []
    done = retrained(champion=champion, tree=ENTITIES, said=said)

    left_out = "1 left out (task or label unknown), 1 left out (symbol not named)"
    assert said[0] == f"4 of 6 corrections are learnt, {left_out}"
    assert [model.ref for model in registry.promoted()] == [done.promotion.model]
    (row,) = (tmp_path / f"challenger.{SOURCE}" / "entity_sentiment.jsonl").read_text().splitlines()
    assert json.loads(row)["entity"] == "firmq holds"
    learnt = {(one["source"], one["task"]): one for one in read_settings(tmp_path / "challenger").training["files"]}
    assert [learnt[SOURCE, "entity_sentiment"][key] for key in ("rows", "left_out")] == [1, {}]
    assert learnt[SOURCE, "sentiment"]["rows"] == 3


def test_without_corrections_nothing_is_trained(
    retrained: Retrain, corrections: FakeCorrections, tmp_path: Path
) -> None:
    corrections.add([Correction(document_id=name, task="sentiment", label=None, by="ann") for name in TEXTS])
    with pytest.raises(InvalidInput, match="there is no correction to learn"):
        retrained()
    assert not (tmp_path / "challenger").exists()
