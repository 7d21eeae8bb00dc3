"""The optimiser: AdamW with a rate for each layer."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from domain.errors import InvalidInput
from models.training.learner import Learner
from models.training.policies import Optimiser

_LAYER = re.compile(r"(?:^|\.)(?:layers?|h|blocks?)\.(\d+)\.")
"""A layer's number in the name of a weight, as the encoders of transformers name theirs."""


def adamw(learner: Learner, policy: Optimiser) -> torch.optim.AdamW:
    """Layer ℓ of L learns at rate · layer_decay^(L − ℓ), the embeddings below all, the heads (and what stands beside
    the layers) at the full rate. Biases, norms and the sources' biases don't decay. For encoders that `check_layers`
    lets pass."""
    layers = _layers(learner.network.encoder)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, weight in learner.named_parameters():
        if not weight.requires_grad:
            continue
        rate = _rate(name, layers, policy)
        decay = policy.weight_decay if weight.ndim > 1 and not name.startswith("source_bias.") else 0.0
        group = groups.setdefault((rate, decay), {"params": [], "lr": rate, "weight_decay": decay})
        group["params"].append(weight)
    return torch.optim.AdamW(list(groups.values()), fused=True)


def check_layers(encoder: nn.Module, policy: Optimiser) -> None:
    """Raise InvalidInput when the rates are to differ by layer and the encoder's layers are not numbered."""
    if policy.layer_decay < 1 and not _layers(encoder):
        raise InvalidInput("training_config", "optimiser.layer_decay: this encoder's layers are not numbered")


def _rate(name: str, layers: int, policy: Optimiser) -> float:
    if not name.startswith("network.encoder."):
        return policy.head_learning_rate or policy.learning_rate
    found = _LAYER.search(name)
    if found:
        return policy.learning_rate * policy.layer_decay ** (layers - 1 - int(found[1]))
    below = layers if "embeddings" in name else 0
    return policy.learning_rate * policy.layer_decay**below


def _layers(encoder: nn.Module) -> int:
    numbers = [int(found[1]) for name, _ in encoder.named_parameters() if (found := _LAYER.search(name))]
    return max(numbers, default=-1) + 1
