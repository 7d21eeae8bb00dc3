"""Which attention heads matter least."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from domain.errors import InvalidInput
from models.attention import heads_of, layers
from models.training.batches import Tokenised, collate
from models.training.learner import Learner

BATCH = 32

Importance = list[NDArray[np.float64]]
"""By layer, shape (heads,)."""


def importance(
    learner: Learner,
    examples: Sequence[Tokenised],
    *,
    padding_id: int,
    sources: dict[str, list[str]],
    progress: Callable[[int, int], None],
) -> Importance:
    """The mean over texts of |∂L/∂ξ| for a mask ξ = 1 on each head's output (Michel, Levy and Neubig 2019, Are Sixteen
    Heads Really Better than One?, section 4.1), divided by the layer's Euclidean norm as they do (after Molchanov et
    al. 2017). `progress` is called with how many texts are done, and of how many."""
    encoder = learner.network.encoder
    sums = [np.zeros(count) for count in heads_of(encoder)]
    learner.eval()
    for start in range(0, len(examples), BATCH):
        batch = collate(examples[start : start + BATCH], padding_id=padding_id, sources=sources)
        size = len(batch["input_ids"])
        with head_masks(encoder, texts=size) as masks:
            # The loss is a mean over texts, and no text's mask moves another's: a gradient for each in one pass.
            loss = learner(**batch)["loss"] * size
            gradients = torch.autograd.grad(loss, masks)
        for total, gradient in zip(sums, gradients, strict=True):
            total += gradient.abs().sum(0).numpy()
        progress(min(start + BATCH, len(examples)), len(examples))
    return [total / max(float(np.linalg.norm(total)), 1e-12) for total in sums]


def least(importance: Importance, share: float) -> dict[int, list[int]]:
    """By layer, the `share` of all heads that matter least; each layer keeps the one that matters most. Raises
    InvalidInput when that is fewer than asked for."""
    total = sum(map(len, importance))
    wanted = round(total * share)
    if wanted > total - len(importance):
        raise InvalidInput(
            "compression_policy",
            f"prune_heads {share}: at most {total - len(importance)} of {total} heads can go, one must stay in a layer",
        )
    dispensable = sorted(
        (float(value), layer, head)
        for layer, values in enumerate(importance)
        for head, value in enumerate(values)
        if head != int(values.argmax())
    )
    gone: dict[int, list[int]] = {}
    for _, layer, head in dispensable[:wanted]:
        gone.setdefault(layer, []).append(head)
    return gone


@contextmanager
def head_masks(encoder: Any, *, texts: int) -> Iterator[list[Tensor]]:
    """Within it, each head's output is multiplied by an entry of a mask, which is 1 at first: one of shape
    (texts, heads) for each layer."""
    masks = [torch.ones((texts, count), requires_grad=True) for count in heads_of(encoder)]
    with ExitStack() as hooks:
        for layer, mask in zip(layers(encoder), masks, strict=True):
            hook = layer.attention.output.dense.register_forward_pre_hook(partial(_masked, mask))
            hooks.callback(hook.remove)
        yield masks


def _masked(mask: Tensor, _: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    (context,) = inputs
    by_head = context.view(*context.shape[:-1], mask.shape[1], -1)
    return ((by_head * mask[:, None, :, None]).flatten(-2),)
