"""Corrections, from where people write them to where they are learnt from."""

from __future__ import annotations

import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from domain.classification import SENTIMENT
from domain.correction import Correction, StandingCorrection
from domain.errors import InvalidInput
from domain.ports import Names
from models.entities import find
from models.folder import Kind, ModelSettings
from models.normalise import normalise
from service.label_studio import read_answers

LABEL_STUDIO = ".json"
"""What an export of Label Studio ends in; anything else is read as JSON lines."""
_SHOWN = 40
"""Characters of what is wrong that an error repeats."""
_NOT_HELD = re.compile(r"[\x00\ud800-\udfff]")
"""What Postgres can't hold."""
FIELDS = {
    "id": "the document's id, as the views and the API show it",
    "task": f"what was wrong: {SENTIMENT} unless it says otherwise, or another task of the model",
    "label": "what is right; null takes the correction back",
    "entity": "the symbol that the label is about, for a task of entities",
    "by": "who says so",
    "note": "why, for the record",
}
"""What a correction says, as JSON."""


class LeftOut(StrEnum):
    """Why a correction can't be learnt."""

    TASK_OR_LABEL_UNKNOWN = "task_or_label_unknown"
    """To the configuration that is trained."""
    TEXT_EMPTY = "text_empty"
    """Once it is normalised: it was only a link."""
    SYMBOL_NOT_NAMED = "symbol_not_named"
    """The text speaks of it neither by a name that is known (`classify.names_file`) nor by its cashtag."""


class BadCorrection(InvalidInput):
    """What is no correction, or none of what the model says (`bad_correction`)."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        """`field`: the one of FIELDS that is wrong; None: all of it, or there is no such field."""
        super().__init__("bad_correction", message)
        self.field = field


def check(corrections: Iterable[Correction], model: ModelSettings) -> None:
    """Raise BadCorrection unless the model could have said it."""
    for one in corrections:
        if wrong := _not_of(model, one):
            field, message = wrong
            raise BadCorrection(f"{one.document_id}: {message}", field=field)


def correction_of(row: object, *, by: str | None = None) -> Correction:
    """What an object with FIELDS says, all but `id`, `label` and `by` optional. `by` is for one that doesn't say.

    Raises BadCorrection for what is no such thing.
    """
    if not isinstance(row, Mapping):
        raise BadCorrection(f"not a JSON object, but {str(row)[:_SHOWN]!r}")
    if unknown := sorted(row.keys() - FIELDS.keys()):
        raise BadCorrection(f"there is no field {unknown[0][:_SHOWN]!r}; {_near(unknown[0], FIELDS)}")
    given = {"task": SENTIMENT, "entity": None, "note": "", **({} if by is None else {"by": by}), **row}
    return Correction(
        document_id=_text(given, "id"),
        task=_text(given, "task"),
        label=_text_or_null(given, "label"),
        entity=_text_or_null(given, "entity"),
        by=_text(given, "by"),
        note=_text(given, "note"),
    )


def read_corrections(path: Path, *, by: str) -> tuple[list[Correction], int]:
    """What a file says: Label Studio's export (.json) of tasks that came from the history, or JSON lines with
    FIELDS; and how many answers are left out because people disagree on them. `by` is for lines that don't say.

    Raises InvalidInput, naming file and line, for what is no such thing.
    """
    if path.suffix.lower() == LABEL_STUDIO:
        return _answered(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadCorrection(f"cannot read {path}: {error}") from error
    return [_on_line(path, number, line, by) for number, line in enumerate(lines, start=1) if line.strip()], 0


def labelled(
    standing: Iterable[StandingCorrection], names: Names
) -> tuple[list[dict[str, str | None]], Counter[LeftOut]]:
    """Rows to train on, with `text`, `label` and where they are from, and how many corrections give none.

    One about a symbol gives a row, with the name as `entity`, for each name by which its text speaks of the symbol: by
    `names` (symbol → names) or by its cashtag. Scores are of all of a symbol's mentions together.
    """
    rows: list[dict[str, str | None]] = []
    left_out = Counter[LeftOut]()
    for one in standing:
        found = _rows(one, names)
        if isinstance(found, LeftOut):
            left_out[found] += 1
        else:
            rows += found
    return rows, left_out


def write_rows(path: Path, rows: Iterable[Mapping[str, str | None]]) -> None:
    """As JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def described(left_out: Mapping[LeftOut, int]) -> str:
    """For the end of a line of progress; empty where nothing was left out."""
    return "".join(f", {count} left out ({reason.replace('_', ' ')})" for reason, count in left_out.items())


def _rows(one: StandingCorrection, names: Names) -> list[dict[str, str | None]] | LeftOut:
    said, text = one.correction, normalise(one.text)
    if not text:
        return LeftOut.TEXT_EMPTY
    row = {
        "text": one.text,
        "label": said.label,
        "id": said.document_id,
        "by": said.by,
        "recorded_at": one.recorded_at.isoformat(),
    }
    if said.entity is None:
        return [row]
    spoken: dict[str, str] = {}
    for start, end in find(text, {said.entity: names.get(said.entity, ())}).get(said.entity, ()):
        # Training finds a name in any case.
        spoken.setdefault(text[start:end].lower(), text[start:end])
    return [{**row, "entity": name} for name in spoken.values()] or LeftOut.SYMBOL_NOT_NAMED


def _answered(path: Path) -> tuple[list[Correction], int]:
    answers = read_answers(path)
    corrections = [
        correction_of({"id": answer.id, "task": task, "label": label, "by": answer.by})
        for answer in answers
        if answer.id is not None
        for task, label in answer.labels.items()
    ]
    if strangers := sum(answer.id is None for answer in answers):
        raise BadCorrection(
            f"{path}: {strangers} of {len(answers)} texts have no id, so they are no documents of the history: "
            "groundswell label-next --answers makes them a file to train on"
        )
    return corrections, sum(len(answer.disputed) for answer in answers)


def _on_line(path: Path, number: int, line: str, by: str) -> Correction:
    try:
        return correction_of(json.loads(line), by=by)
    except BadCorrection as error:
        raise BadCorrection(f"{path}:{number}: {error}", field=error.field) from error
    except (ValueError, RecursionError) as error:
        raise BadCorrection(f"{path}:{number}: not a JSON object ({error})") from error


def _not_of(model: ModelSettings, one: Correction) -> tuple[str, str] | None:
    """The field that the model could not have said, and why."""
    labels = model.tasks.get(one.task)
    if labels is None:
        return "task", f"the model has no task {one.task!r}; {_near(one.task, model.tasks)}"
    if one.label is not None and one.label not in labels:
        return "label", f"{one.task} has no label {one.label!r}; {_near(one.label, labels)}"
    match model.kinds.get(one.task, Kind.SINGLE):
        case Kind.MULTI:
            return "task", f"{one.task} may have several labels, and a correction holds one"
        case Kind.SINGLE if one.entity is not None:
            return "entity", f"{one.task} is about the document, not a symbol"
        case Kind.ENTITY if one.entity is None:
            return "entity", f"{one.task} wants the symbol that it is about"
    if one.entity is not None and one.entity != one.entity.upper():
        return "entity", f"symbols are in capitals: {one.entity.upper()}, not {one.entity}"
    return None


def _text_or_null(row: Mapping[str, Any], name: str) -> str | None:
    return None if name in row and row[name] is None else _text(row, name)


def _text(row: Mapping[str, Any], name: str) -> str:
    if name not in row:
        raise BadCorrection(f"{name!r} is missing: {FIELDS[name]}", field=name)
    value = row[name]
    if not isinstance(value, str) or not (value.strip() or name == "note"):
        raise BadCorrection(f"{name!r} must be a text, got {repr(value)[:_SHOWN]}: {FIELDS[name]}", field=name)
    if _NOT_HELD.search(value):
        raise BadCorrection(f"{name!r} holds a NUL character or half of a surrogate pair: leave it out", field=name)
    return value


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known))
    return f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}"
