"""Takes attention heads out of an encoder for good, so that its matrices get smaller. Needs torch.

Which heads are gone stands in `config.json` under `pruned_heads`, by layer and by the numbers that they had at first:
where transformers 4 wrote it and reads it. transformers 5 does neither, so that here is who does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from domain.errors import PermanentError
from models.first_token import BERT_LIKE, is_bert_like

PRUNED = "pruned_heads"


def layers(encoder: Any) -> Any:
    """The encoder's layers, a ModuleList. Raises PermanentError for an architecture that is not known here."""
    if not is_bert_like(encoder):
        raise PermanentError(
            f"neither layers nor heads can be taken out of an encoder of type {encoder.config.model_type!r}; "
            f"known are {', '.join(BERT_LIKE)}"
        )
    return encoder.encoder.layer


def heads_of(encoder: Any) -> list[int]:
    """How many heads each layer has left."""
    return [layer.attention.self.num_attention_heads for layer in layers(encoder)]


def remove_heads(encoder: Any, gone: Mapping[int, Collection[int]]) -> None:
    """Take out heads, by layer and by their numbers among those that the layer has left. At least one must stay."""
    pruned = pruned_heads(encoder.config)
    all_layers = layers(encoder)
    for number, heads in gone.items():
        before = [head for head in range(encoder.config.num_attention_heads) if head not in pruned.get(number, ())]
        _narrow(all_layers[number].attention, heads)
        pruned[number] = sorted({*pruned.get(number, ()), *(before[head] for head in heads)})
    setattr(encoder.config, PRUNED, {number: heads for number, heads in sorted(pruned.items()) if heads})


def pruned_heads(config: Any) -> dict[int, list[int]]:
    """What `config.json` says: layer → the heads that it lost, by their first numbers."""
    return {int(number): list(heads) for number, heads in (getattr(config, PRUNED, None) or {}).items()}


def shape_like(encoder: Any, config: Any) -> None:
    """Give a whole encoder the shape that `config` says, before weights of that shape are loaded into it."""
    for number, heads in pruned_heads(config).items():
        _narrow(layers(encoder)[number].attention, heads)


def _narrow(attention: Any, gone: Collection[int]) -> None:
    inner = attention.self
    kept = [head for head in range(inner.num_attention_heads) if head not in gone]
    size = inner.attention_head_size
    rows = torch.cat([torch.arange(head * size, (head + 1) * size) for head in kept])
    for name in ("query", "key", "value"):
        linear = getattr(inner, name)
        setattr(inner, name, _linear(linear.weight[rows], linear.bias[rows]))
    output = attention.output.dense
    attention.output.dense = _linear(output.weight[:, rows], output.bias)
    inner.num_attention_heads, inner.all_head_size = len(kept), len(rows)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(bias)
    return linear
