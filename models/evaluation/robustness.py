"""How steady the answers are: flip rates under changes that say nothing, names that are told apart, and polarity gaps
between groups of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from domain.classification import Label
from models.evaluation import contrast, names
from models.evaluation.metrics import decide
from models.evaluation.perturb import (
    Mention,
    Perturbation,
    lower_case,
    make_typos,
    swap_companies,
    swap_tickers,
    upper_case,
)

Answer = Callable[[Sequence[Mention]], NDArray[np.float64]]
"""Probabilities of a task's labels, of shape (mentions, labels)."""

GAP_LIMIT = 0.05
SWAPS = 5
"""How often the names in a text are swapped: few texts of a set name a company of our list, and one swap in each would
tell a rate of 3 % to ±3."""
FLIPS: tuple[tuple[str, tuple[Perturbation, ...], float | None], ...] = (
    ("ticker swapped", tuple(partial(swap_tickers, turn=turn) for turn in range(SWAPS)), 0.03),
    ("company name swapped", tuple(partial(swap_companies, turn=turn) for turn in range(SWAPS)), 0.03),
    ("typos", (make_typos,), 0.08),
    ("upper case", (upper_case,), None),
    ("lower case", (lower_case,), None),
)
"""What is changed, how (each of these once), and which share of answers may flip (None: shown without a limit)."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One figure of robustness and its limit."""

    name: str
    texts: int
    """Those that it could be measured on."""
    value: float | None
    """Share of the changed texts whose answer flips, or a difference of mean polarities in [0, 2]; None without
    texts."""
    limit: float | None = None
    groups: Mapping[str, float] = field(default_factory=dict)
    """Mean polarity by group of names."""

    @property
    def holds(self) -> bool:
        """Whether it is within its limit. What could not be measured, or has no limit, is."""
        return self.value is None or self.limit is None or self.value <= self.limit


def flips(
    answer: Answer, mentions: Sequence[Mention], scores: NDArray[np.float64], *, multi: bool
) -> tuple[Check, ...]:
    """How often the answer to a text changes with it; `scores` are those of `mentions`, of shape (mentions, labels)."""
    out = []
    for name, perturbations, limit in FLIPS:
        changed = [
            (number, other)
            for number, one in enumerate(mentions)
            for perturb in perturbations
            if (other := perturb(one)) is not None
        ]
        value = None
        if changed:
            before = decide(scores[[number for number, _ in changed]], multi=multi)
            after = decide(answer([other for _, other in changed]), multi=multi)
            value = float((before != after).any(axis=1).mean())
        out.append(Check(name=name, texts=len({number for number, _ in changed}), value=value, limit=limit))
    return tuple(out)


def told_apart(answer: Answer, labels: Sequence[str]) -> tuple[Check, ...]:
    """In how many lines that are good for one name and bad for another (`contrast.lines`) either is told wrong; of a
    task of kind entity. None for tasks without these two labels."""
    if not _has_polarity(labels):
        return ()
    lines = contrast.lines()
    good, bad = (
        np.array([labels[number] for number in answer(mentions).argmax(axis=1)])
        for mentions in zip(*lines, strict=True)
    )
    wrong = (good != Label.POSITIVE) | (bad != Label.NEGATIVE)
    return (Check(name="two names in a line, one told wrong", texts=len(lines), value=float(wrong.mean())),)


def polarity_gaps(answer: Answer, labels: Sequence[str], *, entities: bool) -> tuple[Check, ...]:
    """The largest difference between two groups' mean polarity, positive − negative, over the same sentences, in the
    manner of the Equity Evaluation Corpus (Kiritchenko and Mohammad 2018). None for tasks without these two labels.

    `entities`: ask for the sentiment about the name.
    """
    if not _has_polarity(labels):
        return ()
    signs = np.array([float(label == Label.POSITIVE) - float(label == Label.NEGATIVE) for label in labels])

    def gap(name: str, groups: Mapping[str, Sequence[str]], sentences: Sequence[str]) -> Check:
        mentions = [
            (group, Mention(text=sentence.format(one), entity=one if entities else None))
            for group, members in groups.items()
            for one in members
            for sentence in sentences
        ]
        polarity = answer([mention for _, mention in mentions]) @ signs
        group_of = np.array([group for group, _ in mentions])
        means = {group: float(polarity[group_of == group].mean()) for group in groups}
        return Check(
            name=name,
            texts=len(mentions),
            value=max(means.values()) - min(means.values()),
            limit=GAP_LIMIT,
            groups=means,
        )

    origins = {origin: [*people["women"], *people["men"]] for origin, people in names.PEOPLE.items()}
    genders = {gender: [one for by in names.PEOPLE.values() for one in by[gender]] for gender in ("women", "men")}
    return (
        gap("polarity gap, company's region", names.COMPANIES_BY_REGION, names.COMPANY_SENTENCES),
        gap("polarity gap, person's origin", origins, names.PERSON_SENTENCES),
        gap("polarity gap, person's gender", genders, names.PERSON_SENTENCES),
    )


def _has_polarity(labels: Sequence[str]) -> bool:
    return {Label.POSITIVE, Label.NEGATIVE} <= set(labels)
