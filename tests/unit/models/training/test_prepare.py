"""What a run starts with, and what is refused before it does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from support.tiny_models import TREE, WORDS, tiny_config, tiny_data, tiny_encoder, tiny_model, write_rows
from transformers import RobertaConfig, RobertaModel

from domain.errors import InvalidInput, PermanentError
from models.folder import ADAPTER_FILES
from models.training.prepare import describe, prepare


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("prepare")
    tiny_encoder(place / "encoder")
    tiny_data(place / "data", rows=60)
    return place


def heads(folder: Path, place: Path, *changes: str, tree: dict[str, Any] = TREE) -> dict[str, torch.Tensor]:
    network = prepare(tiny_config(folder, *changes, tree=tree), place / "data").network
    return {name: weight.detach() for name, weight in network.heads.named_parameters()}


def test_a_model_of_ours_is_gone_on_with_together_with_its_heads_of_the_same_labels(
    place: Path, tmp_path: Path
) -> None:
    for part in ("encoder", "data"):
        (tmp_path / part).symlink_to(place / part)
    folder = tiny_model(tmp_path, "epochs=1").folder
    learnt = load_file(folder / "heads.safetensors")
    gone_on = heads(folder, place)
    assert gone_on.keys() == learnt.keys()
    assert all(torch.equal(weight, learnt[name].float()) for name, weight in gone_on.items())

    other = heads(folder, place, f"tasks.sentiment.labels={[*reversed(WORDS)]}")
    assert torch.equal(other["topic.weight"], gone_on["topic.weight"])
    assert not torch.equal(other["sentiment.weight"], gone_on["sentiment.weight"])


def test_a_model_with_prefixes_is_not_gone_on_with(place: Path, tmp_path: Path) -> None:
    for part in ("encoder", "data"):
        (tmp_path / part).symlink_to(place / part)
    folder = tiny_model(tmp_path, "method={name: prefix, prefix_tokens: 2}", "epochs=1").folder
    assert (folder / ADAPTER_FILES[0]).exists()
    with pytest.raises(PermanentError, match="learnt prefixes"):
        heads(folder, place)


def test_what_an_encoder_that_gives_padding_no_position_reads_at_once_is_found(place: Path, tmp_path: Path) -> None:
    config = RobertaConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=66,
    )
    RobertaModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
    shutil.copy(place / "encoder" / "tokenizer.json", tmp_path)
    assert heads(tmp_path, place, "window_tokens=64")
    with pytest.raises(InvalidInput, match="reads fewer than 65 tokens at once"):
        heads(tmp_path, place, "window_tokens=65")


def test_each_label_of_a_text_that_has_several_is_counted(place: Path, tmp_path: Path) -> None:
    rows = [{"text": f"text {number}", "label": label} for number, label in enumerate(("a;b", "b", "", "a;b;c"))]
    write_rows(tmp_path / "many.jsonl", rows)
    tree = {
        **TREE,
        "tasks": {"many": {"kind": "multi", "labels": ["a", "b", "c"]}},
        "data": [{"source": "many", "file": "many.jsonl", "task": "many"}],
        "held_out": {"share": 0},
    }
    config = tiny_config(place / "encoder", tree=tree)
    assert "many: a 2 (+0 held out), b 3 (+0 held out), c 1 (+0 held out)" in describe(
        config, prepare(config, tmp_path)
    )


def test_rates_by_layer_want_layers_with_numbers(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.rates._layers", lambda encoder: 0)
    with pytest.raises(InvalidInput, match=r"optimiser\.layer_decay: this encoder's layers are not numbered"):
        heads(place / "encoder", place, "optimiser.layer_decay=0.9")


@pytest.mark.parametrize(("task", "options"), [("type", ""), ("items", ""), ("get", "source_bias: true")])
def test_a_task_cannot_be_called_what_torch_calls_something_of_its_own(place: Path, task: str, options: str) -> None:
    tree = {
        **TREE,
        "tasks": {task: {"labels": [*WORDS], **yaml.safe_load(f"{{{options}}}")}},
        "data": [{"source": "moods", "file": "moods.jsonl", "task": task}],
    }
    with pytest.raises(InvalidInput, match=rf"tasks\.{task}: torch uses this name itself; choose another one"):
        heads(place / "encoder", place, tree=tree)
