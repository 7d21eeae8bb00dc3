"""What each method learns, and on which encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.tiny_models import tiny_encoder, tiny_model
from transformers import AutoModel, DistilBertConfig, DistilBertModel, ModernBertConfig, ModernBertModel

from domain.errors import InvalidInput, PermanentError
from models import load_classifier
from models.export import export
from models.folder import ADAPTER_FILES, Pooling, read_settings
from models.network import MultiTaskNetwork, from_encoder, load_network
from models.training.methods import finish, prepare, trainable
from models.training.policies import Method, MethodName

TASKS = {"mood": ("bad", "good")}
IDS = torch.arange(5, 29).reshape(2, 12)
MASK = torch.ones_like(IDS)
MASK[1, 7:] = 0


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


def changed(place: Path, before: Path) -> set[str]:
    """Names of the encoder's weights that differ by more than half precision."""
    old, new = load_file(before / "model.safetensors"), load_file(place / "model.safetensors")
    assert old.keys() == new.keys()
    return {name for name, weight in old.items() if not torch.allclose(weight, new[name].float(), atol=2e-3)}


@pytest.mark.parametrize(
    ("method", "learns"),
    [("full", "encoder.layer.0.output.dense"), ("lora", "attention.self.query"), ("ia3", "attention.self.key")],
)
def test_what_was_learnt_is_merged_into_a_plain_folder(method: str, learns: str, tmp_path: Path) -> None:
    result = tiny_model(tmp_path, f"method.name={method}", "epochs=2", "optimiser.learning_rate=0.02")
    names = changed(result.folder, tmp_path / "encoder")
    assert any(learns in name for name in names)
    assert not (result.folder / "adapter").exists()
    AutoModel.from_pretrained(result.folder, add_pooling_layer=False)
    if method != "full":
        weights = result.settings.training["weights"]
        assert weights["learnt"] < weights["all"] / 4
        assert not any("embeddings" in name for name in names)


def test_the_head_alone_leaves_the_encoder_as_it_was(tmp_path: Path) -> None:
    result = tiny_model(tmp_path, "method.name=head", "epochs=1")
    assert changed(result.folder, tmp_path / "encoder") == set()
    assert result.settings.training["weights"]["learnt"] == 2 * (32 * 3 + 3)


def test_frozen_weights_stay_as_they_are_and_the_others_learn(tmp_path: Path) -> None:
    result = tiny_model(
        tmp_path, "method.frozen=[word_embeddings, layer.0.]", "epochs=1", "optimiser.learning_rate=0.02"
    )
    old, new = (load_file(place / "model.safetensors") for place in (tmp_path / "encoder", result.folder))
    same = {name for name in old if torch.equal(old[name].half(), new[name].half())}
    frozen = {name for name in old if "word_embeddings" in name or "layer.0." in name}
    assert frozen
    assert frozen <= same
    assert any("layer.1." in name for name in old.keys() - same)
    weights = result.settings.training["weights"]
    assert weights["all"] - weights["learnt"] == sum(old[name].numel() for name in frozen)


def test_what_is_to_be_frozen_must_be_there(encoder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"method\.frozen: this encoder has no weight with 'wte' .*word_embeddings"):
        prepare(from_encoder(encoder, TASKS), Method(frozen=("wte",)))


@pytest.fixture(scope="module")
def prefixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("prefix")
    tiny_model(place, "method={name: prefix, prefix_tokens: 4}", "epochs=2", "optimiser.learning_rate=0.05")
    return place


def test_prefixes_are_kept_beside_the_untouched_encoder_and_change_the_logits(prefixed: Path) -> None:
    folder = prefixed / "model"
    assert changed(folder, prefixed / "encoder") == set()
    settings = read_settings(folder)
    assert set(ADAPTER_FILES) <= set(settings.files)
    network = load_network(folder, settings)
    with torch.inference_mode():
        with_prefixes = network(IDS, MASK)
        network.encoder = network.encoder.get_base_model()
        without = network(IDS, MASK)
    for task, logits in with_prefixes.items():
        assert (logits - without[task]).abs().max() > 0.01


def test_prefixes_are_served_through_torch_as_they_were_measured(prefixed: Path) -> None:
    answers = load_classifier(prefixed / "model", device="cpu").classify(["crude plunges", "profit soars"])
    settings = read_settings(prefixed / "model")
    assert [set(answer.tasks) for answer in answers] == [set(settings.tasks)] * 2
    assert answers[0].tasks != answers[1].tasks


def test_prefixes_cannot_be_exported(prefixed: Path) -> None:
    with pytest.raises(PermanentError, match=r"prefixes.*served through torch"):
        export(prefixed / "model", ["crude plunges"])


def test_a_damaged_prefix_is_refused(prefixed: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(prefixed / "model", tmp_path / "copy")
    with (copy / ADAPTER_FILES[1]).open("ab") as file:
        file.write(b"x")
    with pytest.raises(PermanentError, match="adapter_model"):
        load_classifier(copy, device="cpu")


@pytest.mark.parametrize("name", ["lora", "ia3"])
def test_merging_changes_no_logit(name: str, encoder: Path) -> None:
    network = from_encoder(encoder, TASKS).eval()
    method = Method(name=MethodName(name))
    prepare(network, method)
    torch.manual_seed(0)
    for weight in network.encoder.parameters():
        if weight.requires_grad:
            weight.data.add_(torch.randn_like(weight) * 0.3)
    learnt, every = trainable(network.encoder)
    assert 0 < learnt < every
    with torch.inference_mode():
        before = network(IDS, MASK)["mood"]
        finish(network, method)
        assert torch.allclose(network(IDS, MASK)["mood"], before, atol=1e-5)
    assert not hasattr(network.encoder, "get_base_model")


SMALL = {"vocab_size": 99, "pad_token_id": 0}
DISTILBERT = DistilBertModel(DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=64, **SMALL))
MODERN = ModernBertModel(
    ModernBertConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
        **SMALL,
    )
)


@pytest.mark.parametrize(
    ("model", "name", "words"),
    [
        (DISTILBERT, "lora", "distilbert.*method.target_modules"),
        (DISTILBERT, "ia3", "distilbert.*method.target_modules"),
        (DISTILBERT, "prefix", "prefix does not work with encoders of type distilbert"),
        (MODERN, "prefix", "prefix does not work with encoders of type modernbert"),
    ],
)
def test_a_method_that_an_encoder_does_not_take_is_refused_before_training(model: Any, name: str, words: str) -> None:
    network = MultiTaskNetwork(model, TASKS, kinds={}, pooling=Pooling.MEAN)
    with pytest.raises(InvalidInput, match=words):
        prepare(network, Method(name=MethodName(name)))


def test_target_modules_open_other_families_to_lora() -> None:
    network = MultiTaskNetwork(MODERN, TASKS, kinds={}, pooling=Pooling.MEAN)
    prepare(network, Method(name=MethodName.LORA, target_modules=("Wqkv",)))
    learnt, every = trainable(network.encoder)
    assert 0 < learnt < every


def test_an_encoder_that_overlooks_prefixes_is_refused(encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = from_encoder(encoder, TASKS)
    forward = network.encoder.forward

    def deaf(input_ids: Any, attention_mask: Any, past_key_values: Any = None, **options: Any) -> Any:
        return forward(input_ids=input_ids, attention_mask=attention_mask[:, -input_ids.shape[1] :].long())

    monkeypatch.setattr(network.encoder, "forward", deaf)
    with pytest.raises(InvalidInput, match="does not read the prefixes"):
        prepare(network, Method(name=MethodName.PREFIX))


def test_bottleneck_adapters_are_refused_with_the_reason(encoder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"`adapters`, which pins transformers below 4\.58.*use lora or ia3"):
        prepare(from_encoder(encoder, TASKS), Method(name=MethodName.ADAPTER))
