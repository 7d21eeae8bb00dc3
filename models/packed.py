"""A BERT-like network run on the tokens of many texts in one row, without padding. Needs torch."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import linear, scaled_dot_product_attention

from models.folder import Pooling
from models.network import EntityHead, MultiTaskNetwork

_POSITIONS_BEGIN_AFTER_PADDING = ("roberta", "xlm-roberta", "camembert")


class PackedNetwork(nn.Module):
    """What `MultiTaskNetwork` computes, of texts that stand one after another in one row of `tokens` tokens.

    Takes `ids` and `positions`, int64 of shape (tokens,), a token's position counted from 0 within its text; `edges`,
    int32 of shape (texts + 1,), where each text begins, and where the last one ends; `owners`, int64 of shape
    (tokens,), which text a token belongs to. Texts may be empty. Returns logits by task: (texts, labels), for a task of
    kind ENTITY (tokens, labels).
    """

    def __init__(self, network: MultiTaskNetwork, *, longest: int) -> None:
        """`network` has an encoder for which `models.first_token.is_bert_like` is true; no text has more than `longest`
        tokens."""
        super().__init__()
        encoder: Any = network.encoder
        self.embeddings = encoder.embeddings
        after_padding = encoder.config.model_type in _POSITIONS_BEGIN_AFTER_PADDING
        self._first_position = encoder.config.pad_token_id + 1 if after_padding else 0
        self.layers = nn.ModuleList(_PackedLayer(layer, longest) for layer in encoder.encoder.layer)
        self.heads = network.heads
        self._pooling = network.pooling
        self._tokens_matter = any(isinstance(head, EntityHead) for head in network.heads.values())

    def forward(self, ids: Tensor, positions: Tensor, edges: Tensor, owners: Tensor) -> dict[str, Tensor]:
        hidden = self._embedded(ids, positions)
        for layer in self.layers[:-1]:
            hidden = layer(hidden, edges)
        # An empty text at the end begins after the last token; what it gets is nobody's.
        starts = edges[:-1].long().clamp(max=len(ids) - 1)
        if self._pooling is Pooling.CLS and not self._tokens_matter:
            pooled = self.layers[-1](hidden, edges, hidden[starts])
        else:
            hidden = self.layers[-1](hidden, edges)
            pooled = hidden[starts] if self._pooling is Pooling.CLS else _means(hidden, edges)
        logits = {}
        for task, head in self.heads.items():
            if isinstance(head, EntityHead):
                logits[task] = head.token(hidden) + head.text(pooled)[owners]
            else:
                logits[task] = head(pooled)
        return logits

    def _embedded(self, ids: Tensor, positions: Tensor) -> Tensor:
        parts = self.embeddings
        words = parts.word_embeddings(ids) + parts.token_type_embeddings.weight[0]
        embedded: Tensor = parts.LayerNorm(words + parts.position_embeddings(positions + self._first_position))
        return embedded


class _PackedLayer(nn.Module):
    def __init__(self, layer: Any, longest: int) -> None:
        super().__init__()
        self.layer = layer
        inner = layer.attention.self
        parts = (inner.query, inner.key, inner.value)
        # One multiplication instead of three. A copy: what the network has stays as it is.
        self.weight = nn.Parameter(torch.cat([part.weight for part in parts]).detach(), requires_grad=False)
        self.bias = nn.Parameter(torch.cat([part.bias for part in parts]).detach(), requires_grad=False)
        self._heads = inner.num_attention_heads
        self._longest = longest

    def forward(self, hidden: Tensor, edges: Tensor, first: Tensor | None = None) -> Tensor:
        """`first`: the texts' first tokens, (texts, hidden), where they alone are wanted."""
        size = len(self.weight) // 3
        if first is None:
            whole = linear(hidden, self.weight, self.bias)
            query, key, value = whole.view(len(hidden), 3, self._heads, -1).unbind(1)
            query_edges, query_longest, first = edges, self._longest, hidden
        else:
            query = linear(first, self.weight[:size], self.bias[:size]).view(len(first), self._heads, -1)
            pairs = linear(hidden, self.weight[size:], self.bias[size:])
            key, value = pairs.view(len(hidden), 2, self._heads, -1).unbind(1)
            query_edges, query_longest = torch.arange(len(edges), device=edges.device, dtype=edges.dtype), 1
        context = _attention(query, key, value, query_edges, edges, query_longest, self._longest)
        attended = self.layer.attention.output(context.flatten(1), first)
        out: Tensor = self.layer.output(self.layer.intermediate(attended), attended)
        return out


def _attention(
    query: Tensor, key: Tensor, value: Tensor, query_edges: Tensor, edges: Tensor, query_longest: int, longest: int
) -> Tensor:
    """Each text attends to itself; (tokens, heads, size) in and out."""
    if query.is_cuda:
        # One split: a text's sums are taken in the same order in any company.
        out = varlen_attn(query, key, value, query_edges, edges, query_longest, longest, num_splits=1)
        assert isinstance(out, Tensor)  # noqa: S101 (it is a pair only when asked for)
        return out
    parts = []
    asked, seen = itertools.pairwise(query_edges.tolist()), itertools.pairwise(edges.tolist())
    for (first, last), (start, end) in zip(asked, seen, strict=True):
        one, keys, values = (part.transpose(0, 1) for part in (query[first:last], key[start:end], value[start:end]))
        parts.append(scaled_dot_product_attention(one, keys, values).transpose(0, 1))
    return torch.cat(parts)


def _means(hidden: Tensor, edges: Tensor) -> Tensor:
    """Of each text's tokens, summed in full precision and in order."""
    sums = torch.segment_reduce(hidden.float(), "sum", offsets=edges.long(), unsafe=True, initial=0)
    return (sums / edges.diff().clamp(min=1).unsqueeze(1)).to(hidden.dtype)
