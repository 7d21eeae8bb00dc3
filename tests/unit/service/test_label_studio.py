"""Label Studio's JSON: what is written, and what is read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInput
from service.label_studio import Answer, Question, read_answers, write_questions

QUESTION = Question(
    text="Lender “beats” again",
    id="doc-1",
    meta={"subjects": ["entity:NGB"]},
    model="tone@3fa1",
    tasks={"sentiment": {"negative": 0.2, "neutral": 0.45, "positive": 0.35}, "topic": {"Oil": 0.1, "Banks": 0.9}},
)


def annotation(by: Any = 7, cancelled: bool = False, **choices: str) -> dict[str, Any]:
    """As an export has it."""
    return {
        "id": 1001,
        "completed_by": by,
        "was_cancelled": cancelled,
        "result": [
            {"id": "x", "from_name": task, "to_name": "text", "type": "choices", "value": {"choices": [label]}}
            for task, label in choices.items()
        ],
    }


def export(folder: Path, *tasks: Any) -> Path:
    path = folder / "export.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def task(*annotations: Any, **data: str) -> dict[str, Any]:
    return {"id": 1, "data": {"text": "Lender beats", **data}, "annotations": list(annotations), "project": 83}


def test_a_task_has_the_text_and_what_the_model_says() -> None:
    (written,) = json.loads(write_questions([QUESTION]))

    assert written["data"] == {"text": QUESTION.text, "id": "doc-1", "meta_info": {"subjects": ["entity:NGB"]}}
    (prediction,) = written["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("tone@3fa1", 0.45)
    assert prediction["result"] == [
        {"from_name": "sentiment", "to_name": "text", "type": "choices", "value": {"choices": ["neutral"]}},
        {"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["Banks"]}},
    ]


def test_what_was_written_and_then_labelled_is_read_back(tmp_path: Path) -> None:
    (written,) = json.loads(write_questions([QUESTION]))
    labelled = {**written, "annotations": [annotation(by={"id": 7, "email": "ann@example.com"}, sentiment="positive")]}

    assert read_answers(export(tmp_path, labelled)) == [
        Answer(text=QUESTION.text, id="doc-1", labels={"sentiment": "positive"}, by="ann@example.com", disputed=())
    ]


def test_people_who_agree_are_one_answer_and_those_who_do_not_are_none(tmp_path: Path) -> None:
    said = task(annotation(1, sentiment="positive", topic="Oil"), annotation(2, sentiment="positive", topic="Banks"))

    (answer,) = read_answers(export(tmp_path, said))
    assert (answer.id, answer.labels, answer.disputed) == (None, {"sentiment": "positive"}, ("topic",))
    assert answer.by == "label-studio:1, label-studio:2"


def test_skipped_and_unlabelled_texts_are_no_answers(tmp_path: Path) -> None:
    skipped = task(annotation(cancelled=True, sentiment="negative"))
    assert read_answers(export(tmp_path, skipped, task(), task(annotation()))) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("no json", "is not JSON"),
        ("{}", "must hold a list of tasks"),
        ('[{"text": "a", "sentiment": "positive", "annotator": 1}]', r"task 1 is not as Label Studio exports it"),
        ('[{"data": {"text": 3}, "annotations": []}]', r"data\.text and data\.id must be texts"),
        (
            '[{"data": {"text": "a"}, "annotations": [{"result": [{"type": "choices", "from_name": "topic",'
            ' "value": {"choices": ["a", "b"]}}]}]}]',
            "topic has more than one choice",
        ),
        (
            '[{"data": {"text": "a"}, "annotations": [{"result": [{"type": "choices", "from_name": "topic",'
            ' "value": {"choices": [null]}}]}]}]',
            "from_name and choices must be texts, got 'topic' and None",
        ),
        (r'[{"data": {"text": "\ud83d"}, "annotations": []}]', "task 1 .*surrogates not allowed"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_what_is_no_such_export_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=said):
        read_answers(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot read .*nowhere\.json"):
        read_answers(tmp_path / "nowhere.json")
