"""bench.cascade: the parts of a cut model, the choice of a threshold, and the order of the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.testing import assert_close
from transformers import BertConfig, BertModel

from bench.cascade import TOGETHER, cascade_answers, choose, cut_in_two, fitted, grouped, repack, sureness
from models.backend import Logits
from models.folder import Pooling
from models.network import MultiTaskNetwork

TASKS = {"sentiment": ("negative", "neutral", "positive"), "topic": ("a", "b", "c", "d")}


@pytest.mark.parametrize("layers", [1, 3])
def test_the_two_parts_give_what_the_whole_gives(layers: int) -> None:
    torch.manual_seed(0)
    config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32)
    encoder = BertModel(config, add_pooling_layer=False)
    network = MultiTaskNetwork(encoder, TASKS, kinds={}, pooling=Pooling.MEAN).eval()
    ids = torch.randint(0, 50, (3, 8))
    mask = (torch.arange(8) < torch.tensor([[8], [5], [1]])).long()
    lower, upper = cut_in_two(network, layers)
    with torch.inference_mode():
        (hidden,) = lower(ids, mask)
        in_parts = dict(zip(TASKS, upper(hidden, mask), strict=True))
        assert_close(in_parts, network(ids, mask))
    assert hidden.shape == (3, 8, 16)
    assert len(network.encoder.encoder.layer) == 4, "the network itself is not cut"


def test_the_threshold_is_the_lowest_that_keeps_the_limit() -> None:
    sure = np.array([0.2, 0.4, 0.4, 0.6, 0.9])
    if_left = np.array([True, True, False, False, False])
    never = np.zeros(5, dtype=bool)
    assert choose(sure, if_left, never, 0.4) == 0.2
    assert choose(sure, if_left, never, 0.2) == 0.4
    assert choose(sure, if_left, never, 0.0) == 0.6, "both texts at 0.4 leave, or neither"


def test_what_the_upper_part_changes_counts_too() -> None:
    sure = np.array([0.2, 0.4, 0.6, 0.8])
    stays_wrong = np.array([True, False, False, False])
    never = np.zeros(4, dtype=bool)
    assert choose(sure, never, stays_wrong, 0.1) == 0.2
    assert choose(sure, stays_wrong, stays_wrong, 0.1) == math.inf


def test_an_exit_is_as_sure_as_its_least_sure_task() -> None:
    logits = {
        "sentiment": np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]], dtype=np.float32)),
        "topic": np.log(np.array([[0.9, 0.1], [0.3, 0.7]], dtype=np.float32)),
    }
    np.testing.assert_allclose(sureness(logits), [0.5, 0.7], rtol=1e-6)


def test_an_exit_is_fitted_to_probabilities() -> None:
    states = np.random.default_rng(0).normal(3, [0.1, 10], size=(500, 2)).astype(np.float32)
    logits = (states - 3) @ np.array([[10, 0, -10], [-0.1, 0.2, 0]], dtype=np.float32)
    targets = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    head = fitted(states, targets.astype(np.float64))
    with torch.inference_mode():
        given = torch.softmax(head(torch.from_numpy(states)), 1).numpy()
    np.testing.assert_allclose(given, targets, atol=0.02)


def test_what_stays_is_packed_by_width_under_the_budget() -> None:
    groups = grouped([[1] * length for length in (3, 8, 16, 2, 7)], padding_id=0)
    (batches,) = groups
    assert [batch.windows for batch in batches] == [(2,), (0, 1, 3, 4)]
    hidden = [batch.ids[..., None].astype(np.float32) for batch in batches]
    packed = repack(batches, hidden, [np.array([True]), np.array([True, False, True, True])], budget=16)
    assert [texts.tolist() for texts, _ in packed] == [[2], [0, 3], [4]]
    for _, inputs in packed:
        np.testing.assert_array_equal(inputs["hidden"][..., 0], inputs["attention_mask"])


def test_the_answers_are_in_the_order_of_the_texts() -> None:
    """Text n begins with token n + 1. The exit is sure of every third text, and says n; the upper part says -n."""

    def lower(inputs: Mapping[str, NDArray[Any]]) -> Logits:
        numbers = inputs["input_ids"][:, 0] - 1
        sure = np.where(numbers % 3 == 0, 1e6, 0)
        hidden = np.repeat(inputs["input_ids"][..., None], 2, axis=2).astype(np.float32)
        return {"hidden": hidden, "task": np.stack([numbers, numbers + sure], axis=1).astype(np.float32)}

    def upper(inputs: Mapping[str, NDArray[Any]]) -> Logits:
        numbers = inputs["hidden"][:, 0, 0] - 1
        return {"task": np.stack([-numbers, -numbers], axis=1)}

    count = 2 * TOGETHER + 30
    tokens = [[number + 1] * (1 + 7 * number % 40) for number in range(count)]
    with ThreadPoolExecutor(2) as pool:
        groups = grouped(tokens, padding_id=0)
        answers, share = cascade_answers((lower, upper), groups, ["task"], pool, 0.9)
    assert answers["task"][:, 0].tolist() == [number if number % 3 == 0 else -number for number in range(count)]
    assert share == sum(number % 3 == 0 for number in range(count)) / count
