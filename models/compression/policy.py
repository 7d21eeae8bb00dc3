"""What is to be done to a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import InvalidInput


class Keep(StrEnum):
    """Which layers stay when some are dropped."""

    FIRST = "first"
    """The lowest ones: best of six ways in Sajjad et al. 2023 (On the effect of dropping layers of pre-trained
    transformer models), where the weights are only fine-tuned afterwards."""
    SPREAD = "spread"
    """Evenly spread ones, the first and the last among them, as DistilBERT starts (Sanh et al. 2019)."""


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is done, in this order, and what may be lost by it."""

    drop_layers: int = 0
    keep: Keep = Keep.FIRST
    layers: tuple[int, ...] | None = None
    """The layers that stay, by number from 0, instead of `drop_layers` and `keep`."""
    prune_heads: float = 0.0
    """Share of all heads (of the layers that stay) that goes."""
    recover_epochs: int = 3
    """How long what is left learns from the labels and from what the whole model says; where nothing was taken out,
    nothing is to be recovered."""
    learning_rate: float = 5e-5
    batch_size: int = 32
    bf16: bool = False
    """Mixed precision in recovery."""
    int8: bool = True
    """Quantise; otherwise OpenVINO's file is in full precision."""
    max_loss: float = 0.003
    """The most accuracy that any task may lose, as a share of the rows."""
    force: bool = False
    """Write the model whatever is lost."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.drop_layers and self.layers is not None:
            raise InvalidInput("compression_policy", "say which layers stay or how many go, not both")
        if self.drop_layers < 0 or self.recover_epochs < 0:
            raise InvalidInput("compression_policy", "layers to drop and epochs must be at least 0")
        if not 0 < self.learning_rate < math.inf:
            raise InvalidInput("compression_policy", f"learning_rate must be more than 0: {self.learning_rate}")
        if self.batch_size < 1:
            raise InvalidInput("compression_policy", f"batch_size must be at least 1: {self.batch_size}")
        if not 0 <= self.seed < 2**32:
            raise InvalidInput("compression_policy", f"seed must be at least 0 and below 2^32: {self.seed}")
        if not 0 <= self.prune_heads < 1:
            raise InvalidInput("compression_policy", f"prune_heads must be at least 0 and below 1: {self.prune_heads}")
        if not 0 <= self.max_loss <= 1:
            raise InvalidInput("compression_policy", f"max_loss must be from 0 to 1: {self.max_loss}")

    @property
    def takes_out(self) -> bool:
        """Whether weights go."""
        return bool(self.drop_layers or self.layers is not None or self.prune_heads)

    def kept_layers(self, count: int) -> list[int]:
        """Which of `count` layers stay, ascending. Raises InvalidInput when there are not so many."""
        if self.layers is not None:
            kept = sorted(set(self.layers))
            if not kept or kept[0] < 0 or kept[-1] >= count:
                raise InvalidInput(
                    "compression_policy",
                    f"layers must name some of 0 to {count - 1}: {', '.join(map(str, self.layers))}",
                )
            return kept
        left = count - self.drop_layers
        if left < 1:
            raise InvalidInput(
                "compression_policy",
                f"the model has {count} layers; at most {count - 1} can be dropped, not {self.drop_layers}",
            )
        if self.keep is Keep.FIRST or left == 1:
            return list(range(left))
        return [round(number * (count - 1) / (left - 1)) for number in range(left)]
