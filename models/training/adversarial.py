"""Adversarial training: the texts' embeddings are moved where it hurts most, and the network learns from that too."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.training.hooks import Attack
from models.training.policies import Adversarial, AttackName


def attack_from(config: Adversarial) -> Attack:
    """The attack that a configuration names."""
    if config.attack is AttackName.FGM:
        return FastGradient(epsilon=config.epsilon)
    return FreeLb(epsilon=config.epsilon, steps=config.steps, step_size=config.step_size)


@dataclass(frozen=True, kw_only=True)
class FastGradient:
    """One more pass with each text's embeddings moved by `epsilon` along their gradient; its gradients are added to
    those of the plain pass (Miyato et al. 2017, Adversarial Training Methods for Semi-Supervised Text Classification,
    equations 5 and 6). Twice the work."""

    epsilon: float

    def __call__(self, network: nn.Module, backward: Callable[[], Tensor]) -> Tensor:
        """Returns the plain pass's loss."""
        with _moved(network) as place:
            loss = backward()
            place.move_to(self.epsilon * _direction(place.gradient()))
            backward()
        return loss


@dataclass(frozen=True, kw_only=True)
class FreeLb:
    """`steps` passes, the embeddings moved from a random start by `step_size` along their gradient after each, at most
    `epsilon` away; the weights learn from the mean of all passes (Zhu et al. 2020, FreeLB, algorithm 1), which share
    their dropout (section 3.3). `steps` times the work."""

    epsilon: float
    steps: int
    step_size: float

    def __call__(self, network: nn.Module, backward: Callable[[], Tensor]) -> Tensor:
        """Returns the mean loss of the passes."""
        weights = list(network.parameters())
        # Of earlier passes, where gradients are accumulated: these are no part of the mean.
        before = {weight: weight.grad.clone() for weight in weights if weight.grad is not None}
        devices = sorted({weight.device.index for weight in weights if weight.device.type == "cuda"})
        seed = int(torch.randint(2**62, ()))
        losses = []
        with _moved(network, start=lambda embeddings: self._start(embeddings, seed + 1)) as place:
            for step in range(self.steps):
                if step > 0:
                    place.move_to(self._climbed(place.delta, place.gradient()))
                with torch.random.fork_rng(devices):
                    torch.manual_seed(seed)
                    losses.append(backward())
        for weight in weights:
            if weight.grad is not None:
                earlier = before.get(weight, torch.zeros_like(weight.grad))
                weight.grad.sub_(earlier).div_(self.steps).add_(earlier)
        return torch.stack(losses).mean()

    def _start(self, embeddings: Tensor, seed: int) -> Tensor:
        rng = torch.Generator(embeddings.device).manual_seed(seed)
        noise = torch.empty_like(embeddings).uniform_(-self.epsilon, self.epsilon, generator=rng)
        return noise / math.sqrt(embeddings[0].numel())

    def _climbed(self, delta: Tensor, gradient: Tensor) -> Tensor:
        # Padding has no gradient; what it was moved by at random must not count.
        moved = torch.where(gradient.abs().sum(-1, keepdim=True) > 0, delta, 0.0)
        moved = moved + self.step_size * _direction(gradient)
        within: Tensor = moved * (self.epsilon / _lengths(moved)).clamp(max=1.0)
        return within


class _Place:
    """Where the word embeddings of one batch are moved to."""

    def __init__(self, start: Callable[[Tensor], Tensor]) -> None:
        self._start = start
        self._delta: Tensor | None = None

    @property
    def delta(self) -> Tensor:
        """(texts, tokens, hidden)."""
        if self._delta is None:
            raise RuntimeError("the passes did not read the network's word embeddings")
        return self._delta

    def gradient(self) -> Tensor:
        """Of the loss by `delta`."""
        gradient = self.delta.grad
        if gradient is None:
            raise RuntimeError("the passes gave the word embeddings no gradient")
        return gradient

    def move_to(self, delta: Tensor) -> None:
        self._delta = delta.detach().requires_grad_()

    def add(self, _module: nn.Module, _inputs: object, embeddings: Tensor) -> Tensor:
        # Once for all passes of a step, also where one reads the batch twice (R-Drop).
        if self._delta is None:
            self.move_to(self._start(embeddings.detach()))
        return embeddings + self.delta


@contextmanager
def _moved(network: nn.Module, *, start: Callable[[Tensor], Tensor] = torch.zeros_like) -> Iterator[_Place]:
    encoder: Any = next(module for module in network.modules() if hasattr(module, "get_input_embeddings"))
    place = _Place(start)
    hook = encoder.get_input_embeddings().register_forward_hook(place.add)
    try:
        yield place
    finally:
        hook.remove()


def _direction(gradient: Tensor) -> Tensor:
    """Each text's gradient at length 1, or 0 where it has none."""
    return gradient / _lengths(gradient)


def _lengths(vectors: Tensor) -> Tensor:
    """Length of each text's (tokens, hidden), shape (texts, 1, 1); never 0."""
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=(1, 2), keepdim=True)
    return lengths.clamp(min=torch.finfo(vectors.dtype).tiny)
