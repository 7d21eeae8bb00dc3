"""Which texts to have labelled next: read from the history or a file, chosen by models.labelling."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from domain.classification import Classification, ScoredDocument
from domain.errors import InvalidInput
from domain.ports import Classifier, Corrections, DocumentQuery, HistoryReader
from domain.subject import subjects_of
from models.labelling import Measure, choose, uncertainty
from service.label_studio import Question

_PAGE = 500
_AT_ONCE = 256

Progress = Callable[[int, int], None]
"""Told how many texts are scored, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A text that could be asked about, and what a model said of it."""

    text: str
    said: Classification
    scored: ScoredDocument | None = None
    """Of the history; None for a row of a file."""
    labelled: bool = False
    """A person said already what is right."""


@dataclass(frozen=True, kw_only=True)
class LabellingPolicy:
    """What is asked about."""

    tasks: Sequence[str]
    """Of several the least sure one counts."""
    measure: Measure = Measure.ENTROPY
    limit: int = 100


def from_history(
    reader: HistoryReader,
    corrections: Corrections,
    *,
    start: datetime | None,
    end: datetime | None,
    tasks: Sequence[str],
    most: int,
) -> list[Candidate]:
    """The newest scored documents published in [start, end), at most `most`."""
    found: list[ScoredDocument] = []
    query = DocumentQuery(start=start, end=end, limit=_PAGE)
    while len(found) < most:
        page = reader.documents(query)
        found += [one.scored for one in page.documents if one.scored.classification is not None]
        if page.cursor is None:
            break
        query = replace(query, cursor=page.cursor)
    found = found[:most]
    known = corrections.corrected([one.document.id for one in found], tasks)
    return [
        Candidate(text=one.document.content, said=one.classification, scored=one, labelled=one.document.id in known)
        for one in found
        if one.classification is not None
    ]


def from_file(
    path: Path, classifier: Classifier, *, text_column: str, most: int, progress: Progress
) -> list[Candidate]:
    """The first texts of a JSONL or CSV file, at most `most`, scored here. Raises InvalidInput, naming file and line,
    for what `models.training.data.read_file` refuses."""
    from models.training.data import read_file

    texts = list(dict.fromkeys(row.text for row in read_file(path, text=text_column, label=None)))[:most]
    said: list[Classification] = []
    for start in range(0, len(texts), _AT_ONCE):
        said += classifier.classify(texts[start : start + _AT_ONCE])
        progress(len(said), len(texts))
    return [Candidate(text=text, said=one) for text, one in zip(texts, said, strict=True)]


def questions(candidates: Sequence[Candidate], policy: LabellingPolicy) -> list[Question]:
    """What to ask, the most useful first. Raises InvalidInput (`labelling_task`) when a model has no such task, or one
    that gives a text several labels."""
    unsure = [max(uncertainty(_scores(one.said, task), policy.measure) for task in policy.tasks) for one in candidates]
    places = choose(
        [one.text for one in candidates],
        unsure,
        limit=policy.limit,
        labelled=[place for place, one in enumerate(candidates) if one.labelled],
    )
    return [_question(candidates[place], unsure[place], policy.tasks) for place in places]


def _scores(said: Classification, task: str) -> Mapping[str, float]:
    if task not in said.tasks:
        raise InvalidInput(
            "labelling_task",
            f"{said.model} has no task {task!r} that texts have a label of; it has {', '.join(said.tasks)}",
        )
    return said.tasks[task]


def _question(candidate: Candidate, unsure: float, tasks: Sequence[str]) -> Question:
    meta: dict[str, object] = {"uncertainty": round(unsure, 4)}
    if candidate.scored is not None:
        meta["published_at"] = candidate.scored.document.published_at.isoformat()
        meta["source"] = candidate.scored.document.source
        meta["subjects"] = [str(subject) for subject in subjects_of(candidate.scored)]
    return Question(
        text=candidate.text,
        id=None if candidate.scored is None else candidate.scored.document.id,
        meta=meta,
        model=str(candidate.said.model),
        tasks={task: _scores(candidate.said, task) for task in tasks},
    )
