"""Label Studio's JSON: tasks to label, and the export of what was labelled.

The formats: https://labelstud.io/guide/tasks (tasks), /guide/predictions (what a model says) and /guide/task_format
(the export). A project's labelling configuration has a `<Text name="text" value="$text"/>`, and for each task of the
model a `<Choices toName="text">` of the task's name whose choices are the labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domain.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Question:
    """A text to be labelled."""

    text: str
    id: str | None
    """The document's; None for a text that is no document of the history."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """For people."""
    model: str
    tasks: Mapping[str, Mapping[str, float]]
    """The tasks asked about, and what the model gives each of their labels."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What people say of a text."""

    text: str
    id: str | None
    labels: Mapping[str, str]
    """Task → label; without the tasks that nobody answered."""
    by: str
    """All who did."""
    disputed: tuple[str, ...]
    """Tasks of which they say different things."""


def write_questions(questions: Sequence[Question]) -> str:
    """Tasks to import. What the model says is proposed, with its least probability as the score to sort by."""
    tasks = [
        {
            "data": {"text": one.text, **({} if one.id is None else {"id": one.id}), "meta_info": dict(one.meta)},
            "predictions": [
                {
                    "model_version": one.model,
                    "score": round(min(max(scores.values()) for scores in one.tasks.values()), 4),
                    "result": [
                        {
                            "from_name": task,
                            "to_name": "text",
                            "type": "choices",
                            "value": {"choices": [max(scores, key=lambda label: scores[label])]},
                        }
                        for task, scores in one.tasks.items()
                    ],
                }
            ],
        }
        for one in questions
    ]
    return json.dumps(tasks, indent=1, ensure_ascii=False) + "\n"


def read_answers(path: Path) -> list[Answer]:
    """What an export (the format called JSON) says, without the texts that nobody labelled.

    Raises InvalidInput, naming the file and the task, when it can't be read or is another format.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidInput("label_studio", f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput("label_studio", f"{path} is not JSON: {error}") from error
    if not isinstance(tasks, list):
        raise InvalidInput("label_studio", f"{path} must hold a list of tasks: export as JSON")
    answers = [_answer(path, number, task) for number, task in enumerate(tasks, start=1)]
    return [answer for answer in answers if answer.labels or answer.disputed]


def _answer(path: Path, number: int, task: Any) -> Answer:
    try:
        data = task["data"]
        text, identity = data["text"], data.get("id")
        if not isinstance(text, str) or not isinstance(identity, str | None):
            raise TypeError("data.text and data.id must be texts")
        text.encode()  # half of a surrogate pair could not be written
        said: dict[str, set[str]] = {}
        by = []
        for annotation in task["annotations"]:
            # A person who skips a text leaves an annotation that is cancelled.
            if not annotation.get("was_cancelled"):
                by.append(_who(annotation.get("completed_by")))
                for name, label in _choices(annotation["result"]):
                    said.setdefault(name, set()).add(label)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InvalidInput(
            "label_studio", f"{path}: task {number} is not as Label Studio exports it ({error!r}): export as JSON"
        ) from error
    return Answer(
        text=text,
        id=identity,
        labels={name: min(labels) for name, labels in said.items() if len(labels) == 1},
        by=", ".join(dict.fromkeys(by)),
        disputed=tuple(name for name, labels in said.items() if len(labels) > 1),
    )


def _choices(results: Any) -> Iterator[tuple[str, str]]:
    for result in results:
        if result["type"] == "choices":
            name, (label, *more) = result["from_name"], result["value"]["choices"]
            if more:
                raise ValueError(f"{name} has more than one choice")
            if not isinstance(name, str) or not isinstance(label, str):
                raise TypeError(f"from_name and choices must be texts, got {name!r} and {label!r}")
            yield name, label


def _who(completed_by: Any) -> str:
    """An export has the number of a person, or their e-mail address among other things."""
    return str(completed_by["email"]) if isinstance(completed_by, dict) else f"label-studio:{completed_by}"
