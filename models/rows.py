"""Tokenised examples, and the batches that training reads them in."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.data import Example

POOL = 50
"""Batches that are sorted by length together."""


@dataclass(frozen=True)
class Row:
    """One tokenised example."""

    ids: list[int]
    task: str
    label: int
    source: str


def tokenise(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Row]:
    """Token ids of each example, cut to the tokenizer's truncation length."""
    encodings = tokenizer.encode_batch_fast([example.text for example in examples])
    return [
        Row(encoding.ids, example.task, example.label, example.source)
        for encoding, example in zip(encodings, examples, strict=True)
    ]


def batches(rows: Sequence[Row], size: int, order: random.Random) -> Iterator[list[Row]]:
    """All rows once, in random batches of similar length: sorted by length within pools of fifty batches."""
    shuffled = list(rows)
    order.shuffle(shuffled)
    out = []
    for start in range(0, len(shuffled), size * POOL):
        pool = sorted(shuffled[start : start + size * POOL], key=lambda row: len(row.ids))
        out += [pool[first : first + size] for first in range(0, len(pool), size)]
    order.shuffle(out)
    return iter(out)


def pad(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Token ids and mask, int64, of shape (rows, longest). The padding id is 0."""
    longest = max(len(row.ids) for row in rows)
    tokens = torch.zeros((len(rows), longest), dtype=torch.int64)
    mask = torch.zeros((len(rows), longest), dtype=torch.int64)
    for number, row in enumerate(rows):
        tokens[number, : len(row.ids)] = torch.tensor(row.ids)
        mask[number, : len(row.ids)] = 1
    return tokens, mask
