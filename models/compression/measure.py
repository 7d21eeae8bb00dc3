"""Size, speed and accuracy of a model beside those of the one that it was made from."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from domain.ports import Classifier, Prepared
from models.evaluation.answers import Asker, Progress
from models.evaluation.bootstrap import Interval, Resamples
from models.evaluation.compare import Comparison, compare
from models.evaluation.metrics import decide
from models.evaluation.questions import Questions
from models.folder import OPENVINO_FILES, TORCH_FILES

ROUNDS = 7
"""How often each model reads the texts, in turn with the other: what else the machine does in a round slows both."""
SPEED_TEXTS = 512


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of a model folder."""

    parameters: int
    served_bytes: int
    """Of the file that processors are served from: OpenVINO's, or torch's where there is none."""
    folder_bytes: int


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Of the network on this machine's processor, with whatever else runs there; texts were tokenised before."""

    texts_before: float
    """Texts per second: the median round."""
    texts_after: float
    ratio: float
    """The median over rounds of seconds before ÷ seconds after."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """Of one task, on the same rows."""

    rows: int
    before: Interval
    """Accuracy; a row of a multi-label task is right when all its labels are."""
    after: Interval
    comparison: Comparison
    """Its `difference` is the accuracy lost."""


def size(folder: Path) -> Size:
    """Of a model folder."""
    parameters = 0
    for name in TORCH_FILES:
        if name.endswith(".safetensors"):
            with safe_open(folder / name, framework="pt") as tensors:
                shapes = [tensors.get_slice(key).get_shape() for key in tensors.keys()]  # noqa: SIM118 (no mapping)
            parameters += sum(map(math.prod, shapes))
    served = [name for name in OPENVINO_FILES if (folder / name).exists()] or TORCH_FILES
    return Size(
        parameters=parameters,
        served_bytes=sum((folder / name).stat().st_size for name in served),
        folder_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def speed(before: Classifier, after: Classifier, texts: Sequence[str], progress: Progress) -> Speed:
    """Both models on the same texts (the first SPEED_TEXTS), one after the other in every round. Neither keeps a
    cache."""
    prepared = [(model, model.prepare(texts[:SPEED_TEXTS])) for model in (before, after)]
    for model, batches in prepared:
        model.infer(batches)
    seconds: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        progress("timing", number, ROUNDS)
        seconds.append((_seconds(*prepared[0]), _seconds(*prepared[1])))
    progress("timing", ROUNDS, ROUNDS)
    count = len(texts[:SPEED_TEXTS])
    return Speed(
        texts_before=count / statistics.median(first for first, _ in seconds),
        texts_after=count / statistics.median(second for _, second in seconds),
        ratio=statistics.median(first / second for first, second in seconds),
    )


def quality(
    before: Classifier, after: Classifier, by_task: Mapping[str, Questions], progress: Progress
) -> dict[str, Quality]:
    """By task, of both models on the same rows."""
    return {task: _quality(before, after, questions, progress) for task, questions in by_task.items()}


def _quality(before: Classifier, after: Classifier, questions: Questions, progress: Progress) -> Quality:
    scores = [
        Asker(
            model,
            task=questions.task,
            kind=questions.kind,
            labels=questions.labels,
            progress=progress,
            doing=f"measuring {questions.task} {when}",
        )(questions.mentions)
        for model, when in ((before, "before"), (after, "after"))
    ]
    answers = [decide(one, multi=questions.multi) for one in scores]
    resamples = Resamples(questions.stories)
    right = [(one == questions.truth).all(axis=1).astype(float) for one in answers]
    return Quality(
        rows=len(questions),
        before=resamples.mean(right[0]),
        after=resamples.mean(right[1]),
        comparison=compare(
            ("before", "after"), questions.truth, (scores[0], scores[1]), (answers[0], answers[1]), resamples
        ),
    )


def _seconds(model: Classifier, batches: Prepared) -> float:
    started = time.perf_counter()
    model.infer(batches)
    return time.perf_counter() - started
