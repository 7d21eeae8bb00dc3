"""Adversarial training on the word embeddings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.tiny_models import tiny_encoder
from torch import Tensor

from models.network import MultiTaskNetwork, from_encoder
from models.training.adversarial import FastGradient, FreeLb, attack_from
from models.training.policies import Adversarial, AttackName

IDS = torch.tensor([[2, 50, 60, 70, 3, 0], [2, 55, 65, 3, 0, 0]])
MASK = (IDS != 0).long()


@pytest.fixture
def network(tmp_path: Path) -> MultiTaskNetwork:
    torch.manual_seed(1)
    return from_encoder(tiny_encoder(tmp_path / "encoder"), {"sentiment": ("bad", "so-so", "good")})


def test_the_second_pass_of_fgm_is_moved_by_epsilon_to_where_the_loss_is_higher(network: MultiTaskNetwork) -> None:
    network.eval()
    seen, losses = _watch(network), []
    loss = FastGradient(epsilon=0.5)(network, _backward(network, losses))
    plain, moved = seen
    away = moved - plain
    assert away.flatten(1).norm(dim=1) == pytest.approx(0.5, rel=1e-4)
    assert away[MASK == 0].abs().max() == 0
    assert losses[1] > losses[0]
    assert loss == losses[0]


def test_fgm_adds_the_gradients_of_both_passes(network: MultiTaskNetwork) -> None:
    network.eval()
    backward = _backward(network, [])
    backward()
    plain = _gradients(network)
    network.zero_grad()
    FastGradient(epsilon=0.0)(network, backward)
    torch.testing.assert_close(_gradients(network), [2 * gradient for gradient in plain])


def test_freelb_climbs_within_epsilon_and_learns_from_the_mean_of_its_passes(network: MultiTaskNetwork) -> None:
    network.eval()
    seen, losses = _watch(network), []
    plain = network.encoder.get_input_embeddings()(IDS).detach()
    seen.clear()
    loss = FreeLb(epsilon=0.3, steps=4, step_size=0.2)(network, _backward(network, losses))
    lengths = [(one - plain).flatten(1).norm(dim=1).max().item() for one in seen]
    assert len(lengths) == 4
    assert 0 < lengths[0] <= max(lengths) <= 0.3 + 1e-5
    assert losses[-1] > losses[0]
    assert loss == pytest.approx(sum(losses) / 4, rel=1e-5)
    assert (seen[1] - plain)[MASK == 0].abs().max() == 0


def test_freelb_leaves_gradients_that_were_there_before_whole(network: MultiTaskNetwork) -> None:
    network.eval()
    backward = _backward(network, [])
    backward()
    once = _gradients(network)
    FreeLb(epsilon=0.0, steps=3, step_size=0.1)(network, backward)
    torch.testing.assert_close(_gradients(network), [2 * gradient for gradient in once])


def test_the_passes_of_freelb_share_their_dropout_and_two_steps_do_not(network: MultiTaskNetwork) -> None:
    network.train()
    attack = FreeLb(epsilon=0.0, steps=3, step_size=0.1)
    losses: list[float] = []
    torch.manual_seed(0)
    attack(network, _backward(network, losses))
    attack(network, _backward(network, losses))
    assert len(set(losses[:3])) == 1
    assert len(set(losses[3:])) == 1
    assert losses[0] != losses[3]


@pytest.mark.parametrize("attack", AttackName)
def test_the_embeddings_are_left_as_they_were_and_a_frozen_encoder_is_no_obstacle(
    network: MultiTaskNetwork, attack: AttackName
) -> None:
    network.eval()
    for weight in network.encoder.parameters():
        weight.requires_grad_(False)
    before = network(IDS, MASK)["sentiment"]
    attack_from(Adversarial(attack=attack))(network, _backward(network, []))
    assert torch.equal(network(IDS, MASK)["sentiment"], before)
    assert network.heads["sentiment"].weight.grad.abs().sum() > 0  # type: ignore[union-attr]


def _backward(network: MultiTaskNetwork, losses: list[float]) -> Callable[[], Tensor]:
    def backward() -> Tensor:
        loss = torch.nn.functional.cross_entropy(network(IDS, MASK)["sentiment"], torch.tensor([0, 2]))
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.item())
        return loss.detach()

    return backward


def _watch(network: MultiTaskNetwork) -> list[Tensor]:
    """The embeddings that the network's first norm reads, pass by pass, less the positions' and segments' part."""
    seen: list[Tensor] = []
    embeddings = network.encoder.embeddings
    fixed = embeddings.position_embeddings.weight[: IDS.shape[1]] + embeddings.token_type_embeddings.weight[0]
    embeddings.LayerNorm.register_forward_pre_hook(lambda _module, inputs: seen.append((inputs[0] - fixed).detach()))
    return seen


def _gradients(network: MultiTaskNetwork) -> list[Tensor]:
    return [weight.grad.clone() for weight in network.parameters() if weight.grad is not None]
