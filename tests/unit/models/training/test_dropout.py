"""Dropout on a processor, from cheap random numbers."""

import math

import pytest
import torch
from torch.nn import functional
from transformers import BertConfig, BertModel

from models.training.dropout import QuickDropout


def dropped(values: torch.Tensor, p: float, *, training: bool = True) -> torch.Tensor:
    with QuickDropout():
        return functional.dropout(values, p, training)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_its_share_of_the_elements_goes_and_the_others_grow_so_that_the_mean_stays(p: float) -> None:
    out = dropped(torch.ones(400, 500), p)
    gone = (out == 0).double().mean().item()
    # p is rounded to 256ths; five standard errors of 200,000 draws.
    assert abs(gone - p) <= 1 / 512 + 5 * math.sqrt(p * (1 - p) / 200_000)
    kept = out[out != 0]
    assert torch.equal(kept, kept[0].expand_as(kept))
    assert kept[0].item() == pytest.approx(1 / (1 - round(256 * p) / 256))


def test_nothing_goes_when_evaluating_and_all_of_it_at_one() -> None:
    values = torch.randn(30, 7)
    assert torch.equal(dropped(values, 0.5, training=False), values)
    assert torch.equal(dropped(values, 0.0), values)
    assert torch.equal(dropped(values, 1.0), torch.zeros(30, 7))


def test_the_gradient_goes_where_the_values_went() -> None:
    values = torch.randn(30, 7, requires_grad=True)
    out = dropped(values, 0.5)
    out.sum().backward()
    assert values.grad is not None
    assert torch.allclose(values.grad * values, out)


def test_torchs_seed_repeats_it_and_two_calls_differ() -> None:
    values = torch.ones(64, 64)
    torch.manual_seed(3)
    first, second = dropped(values, 0.5), dropped(values, 0.5)
    torch.manual_seed(3)
    assert torch.equal(dropped(values, 0.5), first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_an_encoder_draws_a_seed_for_each_dropout_and_torch_draws_nothing_by_element(attention: str) -> None:
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        attn_implementation=attention,
    )
    encoder = BertModel(config).train()
    ids = torch.arange(15).view(3, 5)
    torch.manual_seed(0)
    with QuickDropout():
        out = encoder(input_ids=ids).last_hidden_state
        drawn = torch.get_rng_state()
        again = encoder(input_ids=ids).last_hidden_state
    torch.manual_seed(0)
    for _ in range(1 + 2 * 3):  # after the embeddings; of each layer within attention, after it and after the products
        torch.randint(2**62, ())
    assert torch.equal(torch.get_rng_state(), drawn)
    assert not torch.equal(again, out)


@pytest.mark.parametrize("boolean", [True, False])
def test_attention_that_drops_is_that_of_torch_but_for_what_it_drops(boolean: bool) -> None:
    query, key = torch.randn(2, 3, 4, 5, 8).unbind(0)
    there = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool()[:, None, None, :]
    mask = there if boolean else torch.zeros(3, 1, 1, 5).masked_fill(~there, -math.inf)
    value = torch.ones(3, 4, 5, 8)
    whole = functional.scaled_dot_product_attention(query, key, value, mask)
    with QuickDropout():
        assert torch.equal(functional.scaled_dot_product_attention(query, key, value, mask), whole)
        drops = [functional.scaled_dot_product_attention(query, key, value, mask, 0.25) for _ in range(2000)]
    mean = torch.stack(drops).mean(0)
    assert torch.allclose(mean, whole, atol=0.1)
    # The last text sees its first token alone: what is not dropped is exactly 4/3.
    assert {round(one, 5) for one in torch.stack(drops)[:, 2].flatten().tolist()} == {0.0, round(4 / 3, 5)}
