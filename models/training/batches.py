"""What a training step reads: tokenised examples, in random batches of similar length, as tensors."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from models.training.data import mentions
from models.training.examples import Example, Label
from models.training.hooks import Augmentation

POOL = 50
"""Batches that are sorted by length together."""

Draw = tuple[int, int]
"""Which example, and the number of this draw among all of the run."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A label, and the tokens that it is about: none for the whole text."""

    label: Label
    tokens: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokenised:
    """An example as the network reads it."""

    ids: list[int]
    labels: tuple[Mark, ...]
    teachers: tuple[Mark, ...]


class TrainingSet(Dataset[Tokenised]):
    """Examples by draw; tokenised once, or at each draw where texts are augmented."""

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: Tokenizer,
        *,
        max_tokens: int,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        self._examples = examples
        self._tokenizer = tokenizer
        self._tokenizer.enable_truncation(max_tokens)
        self._augmentation = augmentation
        self._seed = seed
        self._tokenised = tokenise(tokenizer, examples)

    def __len__(self) -> int:
        return len(self._examples)

    def length(self, draw: Draw) -> int:
        """How many tokens `draw` has."""
        return len(self[draw].ids)

    def cut_off(self) -> dict[str, tuple[int, int]]:
        """Task of names → how many of them lie beyond `max_tokens`, and of how many."""
        asked = Counter(label.task for one in self._examples for label in one.labels if label.entity is not None)
        kept = Counter(mark.label.task for one in self._tokenised for mark in one.labels)
        return {task: (count - kept[task], count) for task, count in asked.items()}

    def __getitem__(self, draw: Draw) -> Tokenised:
        index, number = draw
        if self._augmentation is None:
            return self._tokenised[index]
        # Seeded by the draw: a run that is resumed changes each text as an unbroken one does.
        rng = random.Random(f"{self._seed}:{number}")  # noqa: S311 (not a secret)
        return tokenise(self._tokenizer, [self._augmentation(self._examples[index], rng)])[0]


class BatchOrder(Sampler[Draw]):
    """Draws whose every `batch_size` make a batch of texts of similar length: sorted within pools of fifty batches,
    the batches shuffled. An example of weight w is drawn ⌊w⌋ or ⌈w⌉ times an epoch, w on average (systematic
    sampling, Madow 1949). Follows from seed and epoch alone.

    `length` gives a draw's tokens as they are read: a few texts that augmentation makes twice as long, among texts as
    long as they were before, would pad whole batches to their length."""

    def __init__(self, length: Callable[[Draw], int], weights: Sequence[float], *, batch_size: int, seed: int) -> None:
        self._length = length
        self._weights = weights
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = 0
        self._draws = max(1, round(sum(weights)))

    def __len__(self) -> int:
        return self._draws

    def set_epoch(self, epoch: int) -> None:
        """The Trainer calls this before each epoch, counted from 0."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Draw]:
        rng = random.Random(f"{self._seed}:{self._epoch}")  # noqa: S311 (not a secret)
        drawn = list(zip(self._drawn(rng), itertools.count(self._epoch * self._draws), strict=False))
        size, pool = self._batch_size, self._batch_size * POOL
        batches: list[list[Draw]] = []
        for start in range(0, len(drawn), pool):
            alike = sorted(drawn[start : start + pool], key=self._length)
            batches += [alike[first : first + size] for first in range(0, len(alike), size)]
        # What isn't a whole batch must come last: the loader cuts the draws every `size`.
        last = [batches.pop()] if len(batches[-1]) < size else []
        rng.shuffle(batches)
        yield from itertools.chain.from_iterable((*batches, *last))

    def _drawn(self, rng: random.Random) -> list[int]:
        order = list(range(len(self._weights)))
        rng.shuffle(order)
        scale = self._draws / sum(self._weights)
        out: list[int] = []
        offset, reached = rng.random(), 0.0
        for index in order:
            reached += self._weights[index] * scale
            while len(out) < self._draws and offset + len(out) < reached:
                out.append(index)
        out += order[len(out) - self._draws :] if len(out) < self._draws else []  # what rounding left out
        return out


def tokenise(tokenizer: Tokenizer, examples: Sequence[Example]) -> list[Tokenised]:
    """Token ids of each example, cut where the tokenizer cuts, with the tokens of the names in it. A label of a name
    that the cut text does not hold is dropped."""
    encodings = tokenizer.encode_batch([example.text for example in examples])
    return [
        Tokenised(
            encoding.ids,
            tuple(_marks(example.text, example.labels, encoding)),
            tuple(_marks(example.text, example.teachers, encoding)),
        )
        for example, encoding in zip(examples, encodings, strict=True)
    ]


def collate(batch: Sequence[Tokenised], *, padding_id: int, sources: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`input_ids` and `attention_mask`, int64 of shape (texts, longest), and by task the `labels` and the `teachers`:
    `rows` (which text), `target`, `weight`, `source` (its place in `sources` of the task), and for names `span`, of
    shape (labels, longest): the share of each token in the name's mean."""
    longest = max(len(one.ids) for one in batch)
    ids = torch.full((len(batch), longest), padding_id, dtype=torch.int64)
    mask = torch.zeros((len(batch), longest), dtype=torch.int64)
    for number, one in enumerate(batch):
        ids[number, : len(one.ids)] = torch.tensor(one.ids)
        mask[number, : len(one.ids)] = 1
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "labels": _by_task([one.labels for one in batch], longest, sources),
        "teachers": _by_task([one.teachers for one in batch], longest, {}),
    }


def _by_task(
    marks: Sequence[Sequence[Mark]], longest: int, sources: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Tensor]]:
    grouped: dict[str, list[tuple[int, Mark]]] = {}
    for row, of_row in enumerate(marks):
        for mark in of_row:
            grouped.setdefault(mark.label.task, []).append((row, mark))
    out = {}
    for task, group in grouped.items():
        names = sources.get(task, ())
        tensors = {
            "rows": torch.tensor([row for row, _ in group]),
            "target": torch.tensor([mark.label.target for _, mark in group]),
            "weight": torch.tensor([mark.label.weight for _, mark in group]),
            "source": torch.tensor([names.index(mark.label.source) if names else 0 for _, mark in group]),
        }
        if group[0][1].tokens:
            span = torch.zeros((len(group), longest))
            for number, (_, mark) in enumerate(group):
                span[number, list(mark.tokens)] = 1 / len(mark.tokens)
            tensors["span"] = span
        out[task] = tensors
    return out


def _marks(text: str, labels: Sequence[Label], encoding: Any) -> Iterator[Mark]:
    for label in labels:
        if label.entity is None:
            yield Mark(label)
            continue
        spans = mentions(text, label.entity)
        tokens = tuple(
            number
            for number, (start, end) in enumerate(encoding.offsets)
            if any(start < last and end > first for first, last in spans)
        )
        if tokens:
            yield Mark(label, tokens)
