"""Corrections, from where people write them to where they are learnt from."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.correction import Correction, StandingCorrection
from domain.errors import InvalidInput
from models.folder import Kind, ModelSettings
from service.label_studio import read_answers

LABEL_STUDIO = ".json"
"""What an export of Label Studio ends in; anything else is read as JSON lines."""
_FIELDS = {"id", "task", "label", "entity", "by", "note"}


def check(corrections: Iterable[Correction], model: ModelSettings) -> None:
    """Raise InvalidInput (`bad_correction`) unless the model could have said it."""
    tasks = model.tasks
    for one in corrections:
        if one.task not in tasks:
            raise _bad(f"{one.document_id}: the model has no task {one.task!r}; {_near(one.task, tasks)}")
        if one.label is not None and one.label not in tasks[one.task]:
            raise _bad(f"{one.document_id}: {one.task} has no label {one.label!r}; {_near(one.label, tasks[one.task])}")
        kind = model.kinds.get(one.task, Kind.SINGLE)
        if kind is Kind.MULTI:
            raise _bad(f"{one.document_id}: {one.task} may have several labels, and a correction holds one")
        if (kind is Kind.ENTITY) != (one.entity is not None):
            whom = "wants the symbol that it is about" if kind is Kind.ENTITY else "is about the document, not a symbol"
            raise _bad(f"{one.document_id}: {one.task} {whom}")


def read_corrections(path: Path, *, by: str) -> list[Correction]:
    """What a file says: Label Studio's export (.json) of tasks that came from the history, or JSON lines with `id`,
    `task` and `label` (null withdraws), and if need be `entity`, `by` and `note`. `by` is for lines that don't say.

    Raises InvalidInput, naming file and line, for what is no such thing.
    """
    if path.suffix.lower() == LABEL_STUDIO:
        return _answered(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"cannot read {path}: {error}") from error
    return [_correction(path, number, line, by) for number, line in enumerate(lines, start=1) if line.strip()]


def write_labelled(path: Path, standing: Sequence[StandingCorrection]) -> None:
    """As JSON lines to train on: `text`, `label`, and where it is from."""
    rows = [
        {
            "text": one.text,
            "label": one.correction.label,
            "id": one.correction.document_id,
            "by": one.correction.by,
            "recorded_at": one.recorded_at.isoformat(),
        }
        for one in standing
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _answered(path: Path) -> list[Correction]:
    answers = read_answers(path)
    corrections = [
        Correction(document_id=answer.id, task=task, label=label, by=answer.by)
        for answer in answers
        if answer.id is not None
        for task, label in answer.labels.items()
    ]
    if strangers := sum(answer.id is None for answer in answers):
        raise _bad(
            f"{path}: {strangers} of {len(answers)} texts have no id, so they are no documents of the history: "
            "groundswell label-next --answers makes them a file to train on"
        )
    return corrections


def _correction(path: Path, number: int, line: str, by: str) -> Correction:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise _bad(f"{path}:{number}: not a JSON object ({error})") from error
    if not isinstance(row, dict):
        raise _bad(f"{path}:{number}: not a JSON object, but {line.strip()[:40]!r}")
    if unknown := sorted(row.keys() - _FIELDS):
        raise _bad(f"{path}:{number}: there is no field {unknown[0]!r}; {_near(unknown[0], _FIELDS)}")
    for name in ("id", "task", "label"):
        if name not in row:
            raise _bad(f"{path}:{number}: {name!r} is missing")
    return Correction(
        document_id=_text(path, number, row, "id"),
        task=_text(path, number, row, "task"),
        label=None if row["label"] is None else _text(path, number, row, "label"),
        entity=None if row.get("entity") is None else _text(path, number, row, "entity"),
        by=_text(path, number, row, "by") if "by" in row else by,
        note=_text(path, number, row, "note") if "note" in row else "",
    )


def _text(path: Path, number: int, row: Mapping[str, Any], name: str) -> str:
    if not isinstance(row[name], str) or not (row[name] or name == "note"):
        raise _bad(f"{path}:{number}: {name!r} must be a text, got {row[name]!r}")
    return str(row[name])


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known))
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"


def _bad(message: str) -> InvalidInput:
    return InvalidInput("bad_correction", message)
