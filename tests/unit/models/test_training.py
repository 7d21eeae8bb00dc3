"""From labelled rows to a served model, in miniature."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_models import RECIPE, tiny_corpus, tiny_model
from transformers import AutoModel, AutoTokenizer

from domain.errors import PermanentError
from models import fit, load_classifier
from models.evaluate import compare
from models.export import export
from models.folder import seal

TEXTS = ["firma crude plunges", "profit soars firmb", "inflation holds"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tiny")
    accuracy = tiny_model(place)
    assert set(accuracy) == {"tiny-sentiment", "tiny-topic"}
    assert min(accuracy.values()) > 0.95, f"the rule was not learnt: {accuracy}"
    export(place / "model", [example.text for example in tiny_corpus().examples[:100]])
    return place / "model"


def test_the_trained_model_is_served_and_knows_the_rule(folder: Path) -> None:
    served = load_classifier(folder, device="cpu").classify(TEXTS)
    assert [one.sentiment.label for one in served] == ["negative", "positive", "neutral"]
    assert [one.topic for one in served] == ["Energy | Oil", "Earnings", "Macro"]


def test_a_folder_without_an_openvino_file_is_served_with_torch(folder: Path, tmp_path: Path) -> None:
    plain = shutil.copytree(folder, tmp_path / "plain")
    shutil.rmtree(plain / "openvino")
    seal(plain)
    ours = load_classifier(plain, device="cpu").classify(TEXTS)
    theirs = load_classifier(folder, device="cpu").classify(TEXTS)
    for one, other in zip(ours, theirs, strict=True):
        assert one.input_hash == other.input_hash
        for task, scores in one.tasks.items():
            assert scores == pytest.approx(other.tasks[task], abs=0.03)


def test_quantising_keeps_the_answers(folder: Path) -> None:
    for source, row in compare(folder, tiny_corpus()).items():
        assert row["agreement"] > 0.97, (source, row)
        assert row["accuracy"] > 0.95, (source, row)


def test_the_folder_is_one_that_transformers_reads(folder: Path) -> None:
    encoder = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    assert encoder.config.hidden_size == 32
    assert AutoTokenizer.from_pretrained(folder)("crude plunges").input_ids


def test_training_that_was_killed_goes_on_from_the_last_epoch_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(RECIPE, epochs=2)
    tiny_model(tmp_path / "straight", recipe)
    checkpoint = tmp_path / "killed" / "checkpoints" / fit.STATE_FILE
    with monkeypatch.context() as patch:
        patch.setattr(fit, "batches", _killed_when(checkpoint.exists, fit.batches))
        with pytest.raises(KeyboardInterrupt):
            tiny_model(tmp_path / "killed", recipe)
    assert checkpoint.exists()
    tiny_model(tmp_path / "killed", recipe)
    for name in ("model.safetensors", "heads.safetensors"):
        straight, resumed = (load_file(tmp_path / run / "model" / name) for run in ("straight", "killed"))
        assert all(torch.equal(straight[key], resumed[key]) for key in straight)


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path: Path) -> None:
    tiny_model(tmp_path, replace(RECIPE, epochs=1))
    with pytest.raises(PermanentError, match="another recipe"):
        tiny_model(tmp_path, replace(RECIPE, epochs=1, seed=1))


def _killed_when(due: Callable[[], bool], batches: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def killed(*arguments: Any) -> Iterator[Any]:
        if due():
            raise KeyboardInterrupt
        return batches(*arguments)

    return killed
