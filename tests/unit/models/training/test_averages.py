"""Averages of weights against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.training.averages import Averages
from models.training.policies import Averaging


def module(value: float) -> nn.Module:
    made = nn.Linear(1, 1, bias=False)
    made.weight.data.fill_(value)
    return made


def value(made: nn.Module) -> float:
    return next(made.parameters()).item()


def test_the_moving_average_follows_its_definition() -> None:
    averages, made = Averages(Averaging(ema=0.5)), module(0.0)
    averages.after_step(made)
    expected = 0.0
    for step, new in enumerate((4.0, 8.0, 2.0), start=2):
        made.weight.data.fill_(new)  # type: ignore[union-attr]
        averages.after_step(made)
        share = min(0.5, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * new
    with averages.applied(made):
        assert value(made) == pytest.approx(expected)
    assert value(made) == 2.0, "training goes on from its own weights"


def test_the_mean_is_over_the_last_epochs_only() -> None:
    averages, made = Averages(Averaging(last=2)), module(0.0)
    for new in (100.0, 4.0, 8.0):
        made.weight.data.fill_(new)  # type: ignore[union-attr]
        averages.after_epoch(made)
    averages.keep(made)
    assert value(made) == 6.0


def test_without_averages_the_weights_stay_as_they_are() -> None:
    averages, made = Averages(Averaging()), module(3.0)
    averages.after_step(made)
    averages.after_epoch(made)
    with averages.applied(made):
        assert value(made) == 3.0
    assert set(averages.state()) == {"steps"}


def test_weights_that_do_not_learn_are_left_alone() -> None:
    frozen, learns = module(3.0).requires_grad_(False), module(1.0)
    averages = Averages(Averaging(ema=0.5))
    averages.after_step(nn.Sequential(frozen, learns))
    assert set(averages.state()) == {"steps", "moving.1.weight"}


def test_a_state_goes_on_as_if_nothing_had_happened() -> None:
    policy = Averaging(ema=0.9, last=2)
    straight, made = Averages(policy), module(1.0)
    straight.after_step(made)
    straight.after_epoch(made)
    resumed = Averages(policy)
    resumed.restore({name: weight.clone() for name, weight in straight.state().items()}, torch.device("cpu"))
    other = module(5.0)
    for averages in (straight, resumed):
        averages.after_step(other)
        averages.after_epoch(other)
    assert {name: weight.tolist() for name, weight in straight.state().items()} == {
        name: weight.tolist() for name, weight in resumed.state().items()
    }
    assert len(straight.state()) == 4
