"""Which layers and heads go, and what is left without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import BertConfig, BertModel

from domain.errors import InvalidInput
from models.attention import heads_of, layers, pruned_heads, remove_heads
from models.compression.heads import importance, least
from models.compression.policy import Keep, Policy
from models.compression.take_out import keep_layers
from models.folder import Pooling
from models.network import MultiTaskNetwork
from models.training.batches import Mark, Tokenised
from models.training.examples import Label
from models.training.learner import Learner
from models.training.policies import Task

LABELS = ("bad", "good")


def encoder_of(layers: int = 4, heads: int = 4) -> Any:
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=48,
        vocab_size=50,
        initializer_range=0.4,
    )
    return BertModel(config, add_pooling_layer=False).eval()


@pytest.mark.parametrize(
    ("policy", "count", "kept"),
    [
        (Policy(drop_layers=2), 6, [0, 1, 2, 3]),
        (Policy(drop_layers=6, keep=Keep.SPREAD), 12, [0, 2, 4, 7, 9, 11]),  # as DistilBERT took them
        (Policy(drop_layers=3, keep=Keep.SPREAD), 4, [0]),
        (Policy(layers=(5, 1, 1)), 6, [1, 5]),
        (Policy(prune_heads=0.5), 3, [0, 1, 2]),
    ],
)
def test_the_layers_that_stay(policy: Policy, count: int, kept: list[int]) -> None:
    assert policy.kept_layers(count) == kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drop_layers": 6}, "the model has 6 layers; at most 5 can be dropped, not 6"),
        ({"layers": (0, 6)}, "layers must name some of 0 to 5: 0, 6"),
        ({"layers": ()}, "layers must name some of 0 to 5"),
        ({"layers": (0,), "drop_layers": 1}, "which layers stay or how many go, not both"),
        ({"drop_layers": -1}, "must be at least 0"),
        ({"prune_heads": 1.0}, "prune_heads must be at least 0 and below 1"),
        ({"max_loss": -0.1}, "max_loss must be from 0 to 1"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Policy(**options).kept_layers(6)


def test_dropping_layers_leaves_the_network_of_the_others() -> None:
    encoder = encoder_of()
    remove_heads(encoder, {1: (0,), 3: (2, 3)})
    ids = torch.randint(3, 50, (2, 7), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hidden = encoder.embeddings(input_ids=ids)
        for number in (0, 3):
            hidden = layers(encoder)[number](hidden)
        keep_layers(encoder, [0, 3])
        left = encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    assert torch.allclose(left, hidden, atol=1e-5)
    assert encoder.config.num_hidden_layers == 2
    assert (heads_of(encoder), pruned_heads(encoder.config)) == ([4, 2], {1: [2, 3]})


def test_a_heads_importance_is_the_mean_gradient_of_its_mask() -> None:
    network = MultiTaskNetwork(encoder_of(layers=2), {"mood": LABELS}, kinds={}, pooling=Pooling.MEAN)
    learner = Learner(network, {"mood": Task(labels=LABELS)}, sources={"mood": ["file"]}, class_weights={})
    examples = [
        Tokenised(ids, (Mark(Label(task="mood", source="file", target=target)),), ())
        for ids, target in (([3, 9, 11], (1.0, 0.0)), ([7, 5, 30, 2, 8], (0.0, 1.0)), ([4, 4], (1.0, 0.0)))
    ]
    found = importance(learner, examples, padding_id=0, sources={"mood": ["file"]}, progress=lambda done, of: None)
    expected = np.zeros((2, 4))
    for one in examples:
        for layer in range(2):
            for head in range(4):
                expected[layer, head] += abs(slope(network, one, layer, head))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.array(found) == pytest.approx(expected, abs=2e-3)


def slope(network: MultiTaskNetwork, example: Tokenised, layer: int, head: int) -> float:
    """Of one text's loss in a head's mask, by differences."""
    ids = torch.tensor([example.ids])
    target = torch.tensor([example.labels[0].label.target])
    dense = layers(network.encoder)[layer].attention.output.dense

    def loss(factor: float) -> float:
        def masked(_: Any, inputs: tuple[Tensor]) -> Tensor:
            changed = inputs[0].clone()
            changed[..., head * 8 : (head + 1) * 8] *= factor
            return changed

        hook = dense.register_forward_pre_hook(masked)
        with torch.no_grad():
            logits = network.eval()(ids, torch.ones_like(ids))["mood"]
        hook.remove()
        return torch.nn.functional.cross_entropy(logits.double(), target.double()).item()

    return (loss(1.01) - loss(0.99)) / 0.02


scores = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=5)


@given(scores, st.floats(0, 0.99))
def test_the_least_heads_go_and_every_layer_keeps_its_best(values: list[list[float]], share: float) -> None:
    by_layer = [np.array(one) for one in values]
    total, wanted = sum(map(len, values)), round(sum(map(len, values)) * share)
    if wanted > total - len(values):
        with pytest.raises(InvalidInput, match="one must stay in a layer"):
            least(by_layer, share)
        return
    gone = least(by_layer, share)
    assert sum(map(len, gone.values())) == wanted
    kept = [
        value for layer, one in enumerate(values) for head, value in enumerate(one) if head not in gone.get(layer, ())
    ]
    best = [max(one) for one in values]
    taken = [values[layer][head] for layer, heads in gone.items() for head in heads]
    for one in best:
        kept.remove(one)
    assert not taken or not kept or max(taken) <= min(kept)
