"""Taking attention heads out of an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel, RobertaConfig, RobertaModel

from domain.errors import PermanentError
from models.attention import heads_of, layers, pruned_heads, remove_heads
from models.compression.heads import head_masks
from models.first_token import FirstTokenEncoder
from models.folder import Kind, ModelSettings, Pooling
from models.network import MultiTaskNetwork, load_network, save_network

TASKS = {"sentiment": ("negative", "neutral", "positive"), "entity_sentiment": ("negative", "positive")}
KINDS = {"entity_sentiment": Kind.ENTITY}
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 50,
    "initializer_range": 0.4,
}
GONE = {0: (1, 3), 2: (0,)}


def network_of(family: str) -> MultiTaskNetwork:
    torch.manual_seed(0)
    encoder = (
        BertModel(BertConfig(**SHAPE), add_pooling_layer=False)
        if family == "bert"
        else RobertaModel(RobertaConfig(**SHAPE), add_pooling_layer=False)
    )
    return MultiTaskNetwork(encoder, TASKS, kinds=KINDS, pooling=Pooling.MEAN).eval()


def batch() -> tuple[Tensor, Tensor]:
    ids = torch.randint(3, 50, (2, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    return ids, mask


def answers(network: MultiTaskNetwork, masked: Mapping[int, Sequence[int]] | None = None) -> dict[str, Tensor]:
    ids, mask = batch()
    with torch.no_grad(), head_masks(network.encoder, texts=len(ids)) as masks:
        for layer, heads in (masked or {}).items():
            masks[layer][:, list(heads)] = 0
        logits = network(ids, mask)
    # What stands on padding is read by nobody.
    return {task: one * mask.unsqueeze(-1) if one.dim() == 3 else one for task, one in logits.items()}


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return all(torch.allclose(one[task], other[task], atol=1e-5) for task in one)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_pruned_network_answers_as_the_whole_one_with_these_heads_masked(family: str) -> None:
    network = network_of(family)
    whole, masked = answers(network), answers(network, GONE)
    assert not same(whole, masked)
    remove_heads(network.encoder, GONE)
    assert heads_of(network.encoder) == [2, 4, 3]
    assert same(answers(network), masked)


def test_its_matrices_are_smaller() -> None:
    network = network_of("bert")
    before = sum(weight.numel() for weight in network.parameters())
    remove_heads(network.encoder, GONE)
    attention = layers(network.encoder)[0].attention
    assert attention.self.query.weight.shape == (16, 32)
    assert attention.output.dense.weight.shape == (32, 16)
    # Of each head: three times 8 rows of 32 with their biases, and 8 columns of 32.
    assert before - sum(weight.numel() for weight in network.parameters()) == 3 * (3 * 8 * 33 + 8 * 32)


def test_what_has_fewer_heads_is_written_and_loaded_as_it_is(tmp_path: Path) -> None:
    network = network_of("bert").half().float()
    remove_heads(network.encoder, GONE)
    save_network(network, tmp_path)
    settings = ModelSettings(
        name="pruned", tasks=TASKS, kinds=KINDS, languages=("en",), normaliser="1", window_tokens=16
    )
    loaded = load_network(tmp_path, settings)
    assert heads_of(loaded.encoder) == [2, 4, 3]
    assert same(answers(loaded), answers(network))


def test_heads_keep_their_first_numbers_however_often_some_are_taken_out() -> None:
    once, twice = network_of("bert"), network_of("bert")
    remove_heads(once.encoder, {0: (0, 1, 3), 1: (2,)})
    remove_heads(twice.encoder, {0: (1,)})
    # Of the heads 0, 2, 3 that are left, the first and the last.
    remove_heads(twice.encoder, {0: (0, 2), 1: (2,)})
    assert pruned_heads(twice.encoder.config) == pruned_heads(once.encoder.config) == {0: [0, 1, 3], 1: [2]}
    assert same(answers(once), answers(twice))


def test_the_last_layer_for_the_first_token_alone_may_have_fewer_heads() -> None:
    network = network_of("bert")
    network.pooling = Pooling.CLS
    remove_heads(network.encoder, GONE)
    ids, mask = batch()
    with torch.no_grad():
        whole = network.encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
        alone = FirstTokenEncoder(network.encoder)(ids, mask).last_hidden_state[:, 0]
    assert torch.allclose(whole, alone, atol=1e-5)


def test_an_architecture_that_is_not_known_is_named() -> None:
    encoder = DistilBertModel(DistilBertConfig(dim=32, n_layers=2, n_heads=2, hidden_dim=48, vocab_size=50))
    with pytest.raises(PermanentError, match="type 'distilbert'; known are bert, roberta"):
        heads_of(encoder)
