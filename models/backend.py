"""What runs the network: the protocol that the OpenVINO and the torch backend share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.batches import Batch

Logits = Mapping[str, NDArray[np.float32]]
"""Task → what its head gives, before softmax or sigmoid: (windows, labels); for a task of kind ENTITY (windows, tokens,
labels), of which the mean over a span's tokens is the span's."""


class Backend(Protocol):
    """Runs batches through the network. Thread-safe."""

    token_budget: int
    """How many tokens, with padding, a batch should have."""

    def run(self, batches: Sequence[Batch]) -> list[Logits]:
        """The logits of each batch, in order. Raises PermanentError when the network fails on one."""
        ...
