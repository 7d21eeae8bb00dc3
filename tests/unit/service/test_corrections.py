"""Corrections as people write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.correction import Correction, StandingCorrection
from domain.errors import InvalidInput
from models.folder import Kind, ModelSettings
from models.training.data import read_file
from service.corrections import LeftOut, check, described, labelled, read_corrections, write_rows

MODEL = ModelSettings(
    name="tone",
    tasks={"sentiment": ("negative", "positive"), "flags": ("fraud",), "entity_sentiment": ("negative", "positive")},
    kinds={"flags": Kind.MULTI, "entity_sentiment": Kind.ENTITY},
    languages=("en",),
    normaliser="1",
    window_tokens=16,
)


def correction(task: str, label: str | None, entity: str | None = None) -> Correction:
    return Correction(document_id="doc-1", task=task, label=label, entity=entity, by="ann")


def test_what_the_model_could_have_said_is_taken() -> None:
    check(
        [
            correction("sentiment", "negative"),
            correction("sentiment", None),
            correction("entity_sentiment", "positive", "NGB"),
        ],
        MODEL,
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (correction("sentimant", "negative"), r"doc-1: the model has no task 'sentimant'; did you mean sentiment"),
        (correction("sentiment", "bad"), "doc-1: sentiment has no label 'bad'; known: negative, positive"),
        (correction("flags", "fraud"), "flags may have several labels"),
        (correction("entity_sentiment", "negative"), "wants the symbol"),
        (correction("sentiment", "negative", "NGB"), "about the document, not a symbol"),
        (correction("entity_sentiment", "negative", "ngb"), "symbols are in capitals: NGB, not ngb"),
    ],
)
def test_what_it_could_not_is_refused_with_what_it_could(wrong: Correction, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check([wrong], MODEL)


def standing(text: str, entity: str | None = None) -> StandingCorrection:
    task = "sentiment" if entity is None else "entity_sentiment"
    at = datetime(2026, 3, 2, tzinfo=UTC)
    return StandingCorrection(correction=correction(task, "negative", entity), text=text, recorded_at=at)


def test_a_correction_about_a_symbol_is_learnt_of_each_name_that_its_text_has_for_it(tmp_path: Path) -> None:
    text = "NORTHGATE BANK &amp; others fall; $ngb halted, says Northgate Bank. Harbour Wire"
    said = [standing(text, "NGB"), standing("$NGB falls", "NGB"), standing("Shares fall")]
    rows, left_out = labelled(said, {"NGB": ("Northgate Bank", "Northgate"), "HW": ("Harbour Wire",)})
    assert [(row["text"], row["label"], row.get("entity")) for row in rows] == [
        (text, "negative", "NORTHGATE BANK"),
        (text, "negative", "$ngb"),
        ("$NGB falls", "negative", "$NGB"),
        ("Shares fall", "negative", None),
    ]
    assert left_out == {}

    write_rows(tmp_path / "rows.jsonl", rows[:3])
    read = read_file(tmp_path / "rows.jsonl", entity="entity", kind=Kind.ENTITY)
    assert [(row.text[:22], row.entity) for row in read] == [
        ("NORTHGATE BANK & other", "NORTHGATE BANK"),
        ("NORTHGATE BANK & other", "$ngb"),
        ("$NGB falls", "$NGB"),
    ]


def test_a_correction_whose_text_does_not_name_its_symbol_or_has_no_words_is_left_out_and_counted() -> None:
    said = [
        standing("Northgate Banking falls", "NGB"),
        standing("Shares fall", "HW"),
        standing("https://example.com/a", "NGB"),
        standing("https://example.com/a"),
    ]
    rows, left_out = labelled(said, {"NGB": ("Northgate Bank",)})
    assert rows == []
    assert left_out == {LeftOut.SYMBOL_NOT_NAMED: 2, LeftOut.TEXT_EMPTY: 2}
    assert described(left_out) == ", 2 left out (symbol not named), 2 left out (text empty)"


def test_json_lines_are_read_with_whoever_says_so(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    rows = [
        {"id": "a", "task": "sentiment", "label": "negative"},
        {"id": "b", "task": "entity_sentiment", "label": None, "entity": "NGB", "by": "bob", "note": "a mistake"},
        {"id": "c", "label": "positive", "entity": None},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")

    said, disputed = read_corrections(path, by="ann")
    assert disputed == 0
    assert said == [
        Correction(document_id="a", task="sentiment", label="negative", by="ann"),
        Correction(document_id="b", task="entity_sentiment", label=None, entity="NGB", by="bob", note="a mistake"),
        Correction(document_id="c", task="sentiment", label="positive", by="ann"),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nothing", r"said\.jsonl:2: not a JSON object"),
        ("[" * 100_000, r"said\.jsonl:2: not a JSON object"),
        ("[]", r"said\.jsonl:2: not a JSON object, but '\[\]'"),
        ('{"id": "a", "task": "sentiment"}', r":2: 'label' is missing: what is right; null takes the correction back"),
        ('{"id": 3, "task": "sentiment", "label": "negative"}', ":2: 'id' must be a text, got 3"),
        ('{"id": "a", "task": "sentiment", "label": ""}', ":2: 'label' must be a text, got ''"),
        ('{"id": "a", "label": "x", "by": " "}', ":2: 'by' must be a text, got ' ': who says so"),
        (r'{"id": "a\ud800", "label": "x"}', ":2: 'id' holds a NUL character or half of a surrogate pair"),
        (r'{"id": "a", "label": "x", "note": "\u0000"}', ":2: 'note' holds a NUL character"),
        ('{"id": "a", "task": "sentiment", "lable": "x"}', r":2: there is no field 'lable'; did you mean label\?"),
    ],
)
def test_a_line_that_is_no_correction_is_named(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('{"id": "a", "task": "sentiment", "label": "negative"}\n' + line)
    with pytest.raises(InvalidInput, match=said):
        read_corrections(path, by="ann")


def export(tmp_path: Path, data: dict[str, str], *labels: str) -> Path:
    annotations = [
        {
            "completed_by": number,
            "result": [{"from_name": "sentiment", "type": "choices", "value": {"choices": [label]}}],
        }
        for number, label in enumerate(labels)
    ]
    path = tmp_path / "export.json"
    path.write_text(json.dumps([{"data": data, "annotations": annotations}]))
    return path


def test_answers_on_which_people_disagree_are_counted(tmp_path: Path) -> None:
    assert read_corrections(export(tmp_path, {"text": "a", "id": "d"}, "negative", "neutral"), by="ann") == ([], 1)


@pytest.mark.parametrize("identity", ["", "a\0"])
def test_an_answer_about_what_no_document_is_called_is_refused(tmp_path: Path, identity: str) -> None:
    with pytest.raises(InvalidInput, match="'id'"):
        read_corrections(export(tmp_path, {"text": "a", "id": identity}, "negative"), by="ann")


def test_texts_that_are_no_documents_can_not_be_corrected(tmp_path: Path) -> None:
    path = export(tmp_path, {"text": "a"}, "negative")
    with pytest.raises(InvalidInput, match="1 of 1 texts have no id"):
        read_corrections(path, by="ann")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read"):
        read_corrections(tmp_path / "nowhere.jsonl", by="ann")
