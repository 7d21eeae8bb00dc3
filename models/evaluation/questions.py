"""A labelled set as the questions that a model is asked, and what is right."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from domain.errors import InvalidInput
from models.evaluation.metrics import one_hot
from models.evaluation.perturb import Mention
from models.folder import Kind
from models.training.data import Row
from models.training.splits import stories

if TYPE_CHECKING:
    from models.training.examples import Example  # needs torch, which a file of rows does not

_HAS = 0.5
"""A label with at least this share of a multi-label row is one of its labels; where one label is asked for, the one
with a larger share is the answer."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Rows labelled for one task."""

    task: str
    kind: Kind
    labels: tuple[str, ...]
    mentions: tuple[Mention, ...]
    sources: tuple[str, ...]
    truth: NDArray[np.bool_]
    """Shape (rows, labels)."""
    stories: tuple[int, ...]
    """A number for each row: texts that nearly repeat each other have the same."""

    def __len__(self) -> int:
        return len(self.mentions)

    @property
    def multi(self) -> bool:
        return self.kind is Kind.MULTI

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(mention.text for mention in self.mentions)

    def digest(self, rows: NDArray[np.bool_]) -> str:
        """Hex BLAKE2b-128 of what these rows ask and what is right, whatever their order: names a frozen set."""
        lines = sorted(
            # In the order of their names: two models may have the same labels in another one.
            json.dumps([mention.text, mention.entity, sorted(self.labels[number] for number in np.flatnonzero(truth))])
            for mention, truth, inside in zip(self.mentions, self.truth, rows.tolist(), strict=True)
            if inside
        )
        return hashlib.blake2b("\n".join([self.task, *lines]).encode(), digest_size=16).hexdigest()

    @property
    def conflicting(self) -> NDArray[np.bool_]:
        """Which rows' texts say different things of different names; shape (rows,)."""
        by_text: dict[str, set[int]] = defaultdict(set)
        numbers = self.truth.argmax(axis=1).tolist()
        for text, number in zip(self.texts, numbers, strict=True):
            by_text[text].add(number)
        return np.array([len(by_text[text]) > 1 for text in self.texts])


def from_rows(rows: Sequence[Row], *, task: str, kind: Kind, labels: Sequence[str]) -> Questions:
    """The rows of files as questions about `task`, whose labels are `labels`. Raises InvalidInput when there are none,
    or when all have one label: nothing could be said of how well labels are told apart."""
    asked = [
        (row.text, row.entity, row.source, [row.shares.get(label, 0.0) for label in labels])
        for row in rows
        if row.shares or kind is Kind.MULTI
    ]
    return _questions(asked, task=task, kind=kind, labels=labels)


def from_examples(examples: Sequence[Example], *, task: str, kind: Kind, labels: Sequence[str]) -> Questions:
    """What the examples of a training run say for `task`; raises as `from_rows`."""
    asked = [
        (example.text, label.entity, label.source, label.target)
        for example in examples
        for label in example.labels
        if label.task == task
    ]
    return _questions(asked, task=task, kind=kind, labels=labels)


def _questions(
    asked: Sequence[tuple[str, str | None, str, Sequence[float]]], *, task: str, kind: Kind, labels: Sequence[str]
) -> Questions:
    """Of text, name in it, source and each label's share. Where one label is asked for, a row of which none has more
    than half has no answer, and is left out."""
    multi = kind is Kind.MULTI
    kept = [row for row in asked if multi or max(row[3]) > _HAS]
    shares = np.array([row[3] for row in kept]).reshape(len(kept), len(labels))
    truth = np.asarray(shares >= _HAS) if multi else one_hot(shares.argmax(axis=1), len(labels))
    if not kept or (not multi and truth.any(axis=0).sum() < 2):
        what = f"every row has the label {labels[int(truth[0].argmax())]!r}" if kept else "there is no row"
        raise InvalidInput("evaluation_data", f"{what} to measure task {task!r} on; give rows of two labels or more")
    return Questions(
        task=task,
        kind=kind,
        labels=tuple(labels),
        mentions=tuple(Mention(text=text, entity=name if kind is Kind.ENTITY else None) for text, name, _, _ in kept),
        sources=tuple(source for _, _, source, _ in kept),
        truth=truth,
        stories=tuple(stories([text for text, _, _, _ in kept])),
    )
