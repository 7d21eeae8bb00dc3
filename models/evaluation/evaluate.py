"""Measures a classifier on rows labelled for one task."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from domain.ports import Classifier
from models.evaluation.answers import Asker, Progress, reading, silent
from models.evaluation.latency import Latency, latency
from models.evaluation.metrics import by_label, confusion, decide
from models.evaluation.parts import Answered, Parts
from models.evaluation.questions import Questions
from models.evaluation.report import Report
from models.evaluation.robustness import flips, polarity_gaps, told_apart
from models.evaluation.selective import selective_accuracy
from models.folder import Kind

FULL_PRECISION = "the same weights in full precision"


class Unit(StrEnum):
    """What a bootstrap draws."""

    STORY = "story"
    ROW = "row"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is measured beside quality, and how."""

    unit: Unit = Unit.STORY
    seed: int = 0
    """Of resamples, folds and the choice of texts for latency."""
    latency: bool = True
    robustness: bool = False


def evaluate(
    classifier: Classifier,
    questions: Questions,
    *,
    temperature: float = 1.0,
    full_precision: Classifier | None = None,
    against: Classifier | None = None,
    policy: Policy = Policy(),
    progress: Progress = silent,
) -> Report:
    """`temperature` is what the classifier divides the task's logits by. `full_precision` has the same weights as
    `classifier`, `against` is another model with the task. None of them should keep a cache of scores, which would
    answer in place of the model.

    Raises PermanentError when a network fails.
    """

    def asker(asked: Classifier, doing: str) -> Asker:
        return Asker(
            asked, task=questions.task, kind=questions.kind, labels=questions.labels, progress=progress, doing=doing
        )

    def answered(asked: Classifier | None, name: str = "") -> Answered | None:
        if asked is None:
            return None
        name = name or str(asked.model)
        return Answered(name=name, scores=asker(asked, f"asking {name}")(questions.mentions))

    def timed(asked: Classifier | None) -> Latency | None:
        if asked is None or not policy.latency:
            return None
        return latency(asked, sorted(set(questions.texts)), seed=policy.seed)

    name = str(classifier.model)
    main = asker(classifier, f"asking {name}")
    scores, truth, multi = main(questions.mentions), questions.truth, questions.multi
    answers, entities = decide(scores, multi=multi), questions.kind is Kind.ENTITY
    parts = Parts(
        questions,
        Answered(name=name, scores=scores),
        temperature=temperature,
        units=questions.stories if policy.unit is Unit.STORY else range(len(questions)),
        seed=policy.seed,
        full_precision=answered(full_precision, FULL_PRECISION),
        against=answered(against),
    )
    checks = (
        (
            *flips(asker(classifier, "changing texts"), questions.mentions, scores, multi=multi),
            *(told_apart(asker(classifier, "telling names apart"), questions.labels) if entities else ()),
            *polarity_gaps(asker(classifier, "changing names"), questions.labels, entities=entities),
        )
        if policy.robustness
        else ()
    )
    return Report(
        model=name,
        task=questions.task,
        kind=questions.kind,
        labels=questions.labels,
        stories=len(set(questions.stories)),
        resampled=policy.unit.value,
        whole=parts.whole(),
        sources=parts.by_source(),
        by_label=by_label(questions.labels, truth, answers, scores if multi else None),
        confusion=() if multi else tuple(map(tuple, confusion(truth, answers).tolist())),
        temperature_served=temperature,
        temperature_fitted=parts.temperature_fitted,
        selective=() if multi else selective_accuracy(scores.max(axis=1), np.asarray((answers == truth).all(axis=1))),
        slices=parts.by_slice(),
        names_not_found=main.not_named,
        reading=reading(classifier, questions.texts),
        latency=timed(classifier),
        latency_full_precision=timed(full_precision),
        robustness=checks,
    )
