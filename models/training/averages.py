"""Averages of the weights over a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from models.training.policies import Averaging

Weights = dict[str, Tensor]


class Averages:
    """An exponential moving average over steps, and the mean over the last epochs' ends (of that average, where there
    are both). Only of weights that learn."""

    def __init__(self, policy: Averaging) -> None:
        self._policy = policy
        self._steps = 0
        self._moving: Weights = {}
        self._ends: deque[Weights] = deque(maxlen=policy.last)

    def after_step(self, module: nn.Module) -> None:
        """Take an optimiser's step in. Early ones count more, so that the start is soon forgotten: the share that
        stays after step t is at most (1 + t) ÷ (10 + t), as in TensorFlow's ExponentialMovingAverage."""
        if self._policy.ema is None:
            return
        weights = _learnt(module)
        if not self._moving:
            self._moving = {name: weight.detach().clone() for name, weight in weights.items()}
        self._steps += 1
        share = 1 - min(self._policy.ema, (1 + self._steps) / (10 + self._steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self._moving.values()), [weights[name].data for name in self._moving], share)

    def after_epoch(self, module: nn.Module) -> None:
        """Take an epoch's end in."""
        if self._policy.last > 1:
            self._ends.append({name: weight.detach().clone() for name, weight in self._current(module).items()})

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Within it, the module has the averages for weights."""
        kept = snapshot(module) if self._moving or self._ends else {}
        self.keep(module)
        try:
            yield
        finally:
            load(module, kept)

    def keep(self, module: nn.Module) -> None:
        """Give the module the averages for weights, where there are any."""
        load(module, self._mean() if self._ends else self._moving)

    def state(self) -> Weights:
        """Everything that `restore` needs, as named tensors."""
        out = {f"moving.{name}": weight for name, weight in self._moving.items()}
        for number, end in enumerate(self._ends):
            out |= {f"end.{number}.{name}": weight for name, weight in end.items()}
        return {**out, "steps": torch.tensor(self._steps)}

    def restore(self, state: Mapping[str, Tensor], device: torch.device) -> None:
        """Go on from a state."""
        self._steps = int(state["steps"])
        self._moving = {name[7:]: weight.to(device) for name, weight in state.items() if name.startswith("moving.")}
        ends: dict[int, Weights] = {}
        for name, weight in state.items():
            if name.startswith("end."):
                _, number, rest = name.split(".", 2)
                ends.setdefault(int(number), {})[rest] = weight.to(device)
        self._ends = deque((ends[number] for number in sorted(ends)), maxlen=self._policy.last)

    def _current(self, module: nn.Module) -> Weights:
        return self._moving or _learnt(module)

    def _mean(self) -> Weights:
        return {name: torch.stack([end[name] for end in self._ends]).mean(0) for name in self._ends[0]}


def load(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy `weights` over the module's of the same names."""
    own = _learnt(module)
    with torch.no_grad():
        for name, weight in weights.items():
            own[name].copy_(weight)


def snapshot(module: nn.Module) -> Weights:
    """A copy of the weights that learn."""
    return {name: weight.detach().clone() for name, weight in _learnt(module).items()}


def _learnt(module: nn.Module) -> Weights:
    return {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
