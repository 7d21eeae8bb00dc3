"""One task as a plain sequence classifier."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_models import SUBJECTS, WORDS, tiny_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

from domain.errors import InvalidInput
from models.attention import remove_heads
from models.folder import ModelSettings, Pooling, read_settings, seal, write_settings
from models.network import MultiTaskNetwork, load_network, save_network
from models.training.single import export_single

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "vocab_size": 99}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("cls"), "pooling=cls", "epochs=1").folder


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    ids, mask = torch.randint(1, 99, (16, 20)), torch.ones((16, 20), dtype=torch.int64)
    mask[::2, 11:] = 0
    return ids, mask


def difference(folder: Path, out: Path, task: str) -> float:
    ids, mask = texts()
    with torch.inference_mode():
        ours = load_network(folder, read_settings(folder))(ids, mask)[task]
        theirs = AutoModelForSequenceClassification.from_pretrained(out)(input_ids=ids, attention_mask=mask).logits
    assert ours.std() > 0.01, "nothing is compared"
    return float((ours - theirs).abs().max())


@pytest.mark.parametrize("task", ["sentiment", "topic"])
def test_the_plain_classifier_gives_the_models_logits(folder: Path, tmp_path: Path, task: str) -> None:
    export_single(folder, task, tmp_path / "plain")
    assert difference(folder, tmp_path / "plain", task) < 1e-5


def test_its_labels_and_its_tokenizer_come_along(folder: Path, tmp_path: Path) -> None:
    export_single(folder, "topic", tmp_path / "plain")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "plain")
    assert tuple(model.config.id2label.values()) == tuple(SUBJECTS)
    assert AutoTokenizer.from_pretrained(tmp_path / "plain")("crude plunges").input_ids


@pytest.mark.parametrize(
    "encoder",
    [
        RobertaModel(RobertaConfig(**SMALL, max_position_embeddings=64), add_pooling_layer=False),
        DistilBertModel(DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, vocab_size=99)),
    ],
    ids=["roberta", "distilbert"],
)
def test_other_families_of_encoders_agree_too(encoder: Any, tmp_path: Path) -> None:
    network = MultiTaskNetwork(encoder, {"sentiment": tuple(WORDS)}, kinds={}, pooling=Pooling.CLS)
    network.heads["sentiment"].weight.data.mul_(20)
    settings = ModelSettings(
        name="other",
        tasks={"sentiment": tuple(WORDS)},
        languages=("en",),
        normaliser="1",
        window_tokens=32,
        pooling=Pooling.CLS,
    )
    ours = tmp_path / "ours"
    ours.mkdir()
    save_network(network, ours)
    write_settings(ours, settings)
    seal(ours)
    export_single(ours, "sentiment", tmp_path / "plain")
    assert difference(ours, tmp_path / "plain", "sentiment") < 1e-4


def test_a_model_that_pools_the_mean_is_refused_with_the_way_out(folder: Path, tmp_path: Path) -> None:
    mean = tmp_path / "mean"
    mean.mkdir()
    write_settings(mean, replace(read_settings(folder), pooling=Pooling.MEAN))
    with pytest.raises(InvalidInput, match="pooling: cls"):
        export_single(mean, "sentiment", tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_a_model_without_some_of_its_heads_is_refused(folder: Path, tmp_path: Path) -> None:
    settings = read_settings(folder)
    network = load_network(folder, settings)
    remove_heads(network.encoder, {0: [1]})
    pruned = shutil.copytree(folder, tmp_path / "pruned")
    save_network(network, pruned)
    seal(pruned)
    with pytest.raises(InvalidInput, match="heads were taken out of"):
        export_single(pruned, "sentiment", tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_what_is_there_is_not_written_over(folder: Path, tmp_path: Path) -> None:
    model = shutil.copytree(folder, tmp_path / "model")
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    with pytest.raises(InvalidInput, match="is there and is no empty folder"):
        export_single(model, "sentiment", model)
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    (tmp_path / "empty").mkdir()
    export_single(model, "sentiment", tmp_path / "empty")
    assert difference(model, tmp_path / "empty", "sentiment") < 1e-5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "model"]


def test_an_unknown_task_is_named_with_the_known_ones(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no task 'mood'; it has sentiment, topic"):
        export_single(folder, "mood", tmp_path / "plain")
