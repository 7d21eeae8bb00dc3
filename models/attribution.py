"""What each token adds to a label's logit: integrated gradients. Needs the `train` extra.

Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks: the gradient of the logit with respect to the
tokens' embeddings, averaged along the straight line from a text that says nothing, times the distance. By completeness
the attributions sum to the logit of the text less that of the text that says nothing, which is checked here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients
from numpy.typing import NDArray
from torch import Tensor, nn

from domain.errors import PermanentError
from models.classifier import PreparedTexts
from models.sequence_classifier import WholeNetwork
from models.torch_backend import Network

MAX_ERROR = 0.05
"""How far the attributions' sum may be from the difference of the logits, as a share of it."""
STEPS = (64, 128, 256, 512, 1024)
"""Points on the line, Gauss-Legendre, tried until the sum is within MAX_ERROR. On headlines 32 points leave 0.4 % at
most."""

_ROUNDING = 1e-4
"""Logits this near are equal: full precision sums to no more than this."""
_TOKENS_AT_ONCE = 4096

Progress = Callable[[int, int], None]
"""Called with how many windows are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """What is read in one pass."""

    ids: Tensor
    """Shape (1, tokens), special ones counted, no padding."""
    blank: Tensor
    """The text that says nothing, of the same shape."""
    content: slice
    """Which of the tokens are the text's."""
    weight: float
    """Its share in the answer; the shares of a text's windows sum to 1."""
    rows: tuple[int, ...] | None
    """The tokens that name the entity; None for tasks on texts."""


@dataclass(frozen=True, kw_only=True)
class Attributed:
    """What the tokens of some windows add to the logit, each window as its share in the answer."""

    tokens: NDArray[np.float64]
    """By token of the text, shape (tokens,)."""
    logit: float
    baseline_logit: float
    """Of the text that says nothing."""
    steps: int

    @property
    def delta(self) -> float:
        """Sum of the attributions less the difference of the logits."""
        return float(self.tokens.sum()) - (self.logit - self.baseline_logit)

    @property
    def is_complete(self) -> bool:
        """The attributions sum to the difference of the logits."""
        return abs(self.delta) <= MAX_ERROR * abs(self.logit - self.baseline_logit) + _ROUNDING


def windows_of(prepared: PreparedTexts, *, entity: bool, special: tuple[int, int], blank: int) -> list[Window]:
    """The windows of one text, weighted as they are in its answer: by tokens, or for the only `entity` that was asked
    about by the tokens that name it. `special`: how many tokens stand before the text's and after them."""
    ids: dict[int, Tensor] = {}
    for batch in prepared.batches:
        for row, window in enumerate(batch.windows):
            ids[window] = torch.from_numpy(batch.ids[row][batch.mask[row] == 1]).unsqueeze(0)
    rows: dict[int, list[int]] = defaultdict(list)
    for mention in prepared.mentions:
        rows[mention.window] += range(mention.rows.start, mention.rows.stop)
    named = sum(map(len, rows.values()))
    windows = []
    for number, tokens in sorted(ids.items()):
        content = slice(special[0], tokens.shape[1] - special[1])
        nothing = tokens.clone()
        nothing[:, content] = blank
        windows.append(
            Window(
                ids=tokens,
                blank=nothing,
                content=content,
                weight=len(rows[number]) / named if entity else float(prepared.weights[number]),
                rows=tuple(rows[number]) if entity else None,
            )
        )
    return windows


def attribute(
    network: Network,
    windows: Sequence[Window],
    *,
    task: str,
    label: int,
    temperature: float,
    progress: Progress,
) -> Attributed:
    """Of a text in its windows; logits are divided by `temperature`. Every window is complete, and the whole is.

    Raises PermanentError when no number of steps in STEPS makes them so.
    """
    for steps in STEPS:
        parts = []
        for number, window in enumerate(windows):
            progress(number, len(windows))
            parts.append(_part(network, window, task, label, window.weight / temperature, steps))
        progress(len(windows), len(windows))
        whole = Attributed(
            tokens=np.concatenate([part.tokens for part in parts]),
            logit=sum(part.logit for part in parts),
            baseline_logit=sum(part.baseline_logit for part in parts),
            steps=steps,
        )
        if whole.is_complete and all(part.is_complete for part in parts):
            return whole
    raise PermanentError(
        f"the attributions do not sum to the difference of the logits within {MAX_ERROR:.0%}, even in {steps} "
        "steps: no explanation is better than a wrong one; try a shorter text, or another label"
    )


def _part(network: Network, window: Window, task: str, label: int, scale: float, steps: int) -> Attributed:
    if not scale:
        count = len(range(*window.content.indices(window.ids.shape[1])))
        return Attributed(tokens=np.zeros(count), logit=0.0, baseline_logit=0.0, steps=steps)

    def logit(ids: Tensor) -> Tensor:
        """Shape (texts,); of the mean over the window's rows for an entity."""
        logits: Tensor = network(ids, torch.ones_like(ids))[task][..., label]
        return logits if window.rows is None else logits[:, window.rows].mean(1)

    by_token = LayerIntegratedGradients(logit, _embeddings(network)).attribute(
        window.ids,
        baselines=window.blank,
        n_steps=steps,
        internal_batch_size=max(1, _TOKENS_AT_ONCE // window.ids.shape[1]),
    )
    with torch.inference_mode():
        said, of_blank = (logit(ids).item() * scale for ids in (window.ids, window.blank))
    return Attributed(
        tokens=by_token.detach().double().sum(-1)[0, window.content].numpy() * scale,
        logit=said,
        baseline_logit=of_blank,
        steps=steps,
    )


def _embeddings(network: Network) -> nn.Module:
    encoder = network.model if isinstance(network, WholeNetwork) else network.encoder
    embeddings: nn.Module = encoder.get_input_embeddings()
    return embeddings
