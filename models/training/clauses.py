"""Short clauses about one name, cut from training texts: what terse lines of two names are made of.

A model that is right on "Apple beats" and on "Samsung warns" may be wrong on "Apple beats, Samsung warns": what it says
of each clause by itself is what it has to learn of the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from models.folder import Kind
from models.training.augment import CASHTAG, STOPS, first_clause
from models.training.config import Config
from models.training.data import mentions
from models.training.examples import UNLABELLED, Example, Label
from models.training.hooks import SoftLabels

MOST_WORDS = 6
"""Behind the name."""
SURE = 0.7
"""Probability of the likeliest label from which on a teacher's word on a clause counts: cut off where it happens to be,
many a clause says nothing yet."""

_WORDS = re.compile(r"\w{2,}\S*")


def clauses(config: Config, examples: Iterable[Example]) -> tuple[tuple[Example, ...], ...]:
    """The first clauses of texts that begin with a labelled name, or with their only cashtag where none is labelled:
    each whole, and then cut off behind each of its words. Their labels say only what is to be asked about: tasks of
    kind entity, and names."""
    tasks = [task for task, policy in config.tasks.items() if policy.kind is Kind.ENTITY]
    found = {clause: (name, behind) for example in examples for clause, name, behind in _of(example)}

    def about(text: str, name: str) -> Example:
        return Example(text=text, labels=tuple(Label(task=task, source="", target=(), entity=name) for task in tasks))

    return tuple(
        (about(clause, name), *(about(clause[:at], name) for at in _word_ends(clause, behind)))
        for clause, (name, behind) in found.items()
    )


def told(asked: Iterable[Sequence[Example]], soft_labels: SoftLabels) -> tuple[Example, ...]:
    """Those of which teachers are sure, with what they say; of those cut off only what says the same as the whole."""
    out = {}
    for whole, *parts in asked:
        said = _sure(whole, soft_labels)
        if said.teachers:
            out[said.text] = said
            for part in parts:
                of_part = _sure(part, soft_labels)
                if [_likeliest(label) for label in of_part.teachers] == [_likeliest(label) for label in said.teachers]:
                    out[part.text] = of_part
    return tuple(out.values())


def _sure(example: Example, soft_labels: SoftLabels) -> Example:
    said = [(label, soft_labels.get(example.text, label.task, label.entity)) for label in example.labels]
    sure = tuple(
        Label(task=label.task, source=UNLABELLED, target=tuple(target), entity=label.entity)
        for label, target in said
        if target is not None and max(target) >= SURE
    )
    return Example(text=example.text, labels=(), teachers=sure)


def _likeliest(label: Label) -> tuple[str, int]:
    return label.task, label.target.index(max(label.target))


def _word_ends(clause: str, behind: int) -> list[int]:
    """Where the words end that follow the place `behind`, without the last one and what is no word."""
    return [match.end() for match in _WORDS.finditer(clause, behind)][:-1]


def _of(example: Example) -> Iterator[tuple[str, str, int]]:
    """Clause, name, and where that ends."""
    names = {label.entity for label in example.labels if label.entity is not None}
    if not names:
        tags = set(CASHTAG.findall(example.text))
        names = tags if len(tags) == 1 else set()
    for name in sorted(names):
        for start, end in mentions(example.text, name)[:1]:
            clause = first_clause(example.text, end).rstrip(f"{STOPS}:-")
            others = names - {name}
            if (
                start == 0
                and 1 <= len(clause[end:].split()) <= MOST_WORDS
                and not any(mentions(clause, other) for other in others)
            ):
                yield clause, name, end
