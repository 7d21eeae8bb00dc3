"""A BERT-like network run on the tokens of many texts in one row, without padding. Needs torch."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention

from models.checkpoint import OFFSET_POSITIONS
from models.folder import Pooling
from models.network import EntityHead, MultiTaskNetwork


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
        after_padding = encoder.config.model_type in OFFSET_POSITIONS
        self._first_position = encoder.config.pad_token_id + 1 if after_padding else 0
        self.longest = longest
        self.heads = network.heads
        self._pooling = network.pooling
        by_entity = any(isinstance(head, EntityHead) for head in network.heads.values())
        self._first_alone = network.pooling is Pooling.CLS and not by_entity
        *layers, last = encoder.encoder.layer
        self.layers = nn.ModuleList(_PackedLayer(layer, longest) for layer in layers)
        self.last: nn.Module = (_LastLayer if self._first_alone else _PackedLayer)(last, longest)

    def forward(self, ids: Tensor, positions: Tensor, edges: Tensor, owners: Tensor) -> dict[str, Tensor]:
        hidden = self._embedded(ids, positions)
        for layer in self.layers:
            hidden = layer(hidden, edges)
        # An empty text at the end begins after the last token; what it gets is nobody's.
        starts = edges[:-1].long().clamp(max=len(ids) - 1)
        if self._first_alone:
            pooled = self.last(hidden, edges, hidden[starts])
        else:
            hidden = self.last(hidden, edges)
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
        inner = layer.attention.self
        self.rest = nn.ModuleList([layer.attention.output, layer.intermediate, layer.output])
        # One multiplication instead of three.
        self.project = _side_by_side(inner.query, inner.key, inner.value)
        self._heads = inner.num_attention_heads
        self._longest = longest

    def forward(self, hidden: Tensor, edges: Tensor) -> Tensor:
        query, key, value = self.project(hidden).view(len(hidden), 3, self._heads, -1).unbind(1)
        context = _attention(query, key, value, edges, edges, self._longest, self._longest)
        return _finished(self.rest, context, hidden)


class _LastLayer(nn.Module):
    """A layer at the first token of each text alone: `first`, of shape (texts, hidden), in and out."""

    def __init__(self, layer: Any, longest: int) -> None:
        super().__init__()
        inner = layer.attention.self
        self.rest = nn.ModuleList([layer.attention.output, layer.intermediate, layer.output])
        self.ask = inner.query
        self.project = _side_by_side(inner.key, inner.value)
        self._heads = inner.num_attention_heads
        self._longest = longest

    def forward(self, hidden: Tensor, edges: Tensor, first: Tensor) -> Tensor:
        query = self.ask(first).view(len(first), self._heads, -1)
        key, value = self.project(hidden).view(len(hidden), 2, self._heads, -1).unbind(1)
        each = torch.arange(len(edges), device=edges.device, dtype=edges.dtype)
        return _finished(self.rest, _attention(query, key, value, each, edges, 1, self._longest), first)


def _side_by_side(*parts: nn.Linear) -> nn.Linear:
    """What all of them give, one after another. A copy: what the network has stays as it is."""
    out = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts))
    with torch.no_grad():
        out.weight.copy_(torch.cat([part.weight for part in parts]))
        out.bias.copy_(torch.cat([part.bias for part in parts]))
    return out


def _finished(rest: nn.ModuleList, context: Tensor, hidden: Tensor) -> Tensor:
    output, widen, narrow = rest
    attended = output(context.flatten(1), hidden)
    out: Tensor = narrow(widen(attended), attended)
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
