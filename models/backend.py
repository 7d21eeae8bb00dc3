"""What runs the network: the protocol that the OpenVINO and the torch backend share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.batches import Batch

Scores = Mapping[str, NDArray[np.float32]]
"""Task → probabilities of shape (windows, labels)."""


class Backend(Protocol):
    """Runs batches through the network. Thread-safe."""

    token_budget: int
    """How many tokens, with padding, a batch should have."""

    def run(self, batches: Sequence[Batch]) -> list[Scores]:
        """The scores of each batch, in order. Raises PermanentError when the network fails on one."""
        ...
