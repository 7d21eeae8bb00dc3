"""From a network's logits to probabilities: the one home of softmax, sigmoid and temperatures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.folder import Kind


def probabilities(logits: NDArray[np.float32], *, kind: Kind, temperature: float = 1.0) -> NDArray[np.float64]:
    """Of the last axis's labels, in the shape of `logits`, after division by `temperature` (Guo et al. 2017): softmax
    (they sum to 1), for kind MULTI the logistic function of each."""
    scaled = logits.astype(np.float64) / temperature
    if kind is Kind.MULTI:
        # Past ±700 exp overflows float64; the outcome is 0 or 1 long before.
        return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -700, 700))))
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
