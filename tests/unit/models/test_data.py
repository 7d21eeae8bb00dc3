"""Reading the labelled sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domain.errors import PermanentError
from models.data import TOPIC_NAMES, LabelledSet, read_corpus

SETS = (
    LabelledSet(name="mood", path="mood.jsonl", task="sentiment", labels={"bear": "negative", "mixed": None}),
    LabelledSet(name="theme", path="theme.jsonl", task="topic"),
)


def folder(place: Path, mood: str, theme: str = "") -> Path:
    (place / TOPIC_NAMES).parent.mkdir()
    (place / TOPIC_NAMES).write_text(json.dumps({"1": "Macro", "0": "Earnings"}))
    (place / "mood.jsonl").write_text(mood, encoding="utf-8")
    (place / "theme.jsonl").write_text(theme)
    return place


def test_labels_are_mapped_and_texts_normalised(tmp_path: Path) -> None:
    corpus = read_corpus(
        folder(
            tmp_path,
            '{"text": "Falls &amp; falls https://t.co/x", "label": "bear"}\n{"text": "so-so", "label": "mixed"}\n',
            '{"text": "Prices rise", "label": "Macro"}\n{"text": "https://t.co/x", "label": "Macro"}\n',
        ),
        SETS,
    )
    assert corpus.tasks == {"sentiment": ("negative", "neutral", "positive"), "topic": ("Earnings", "Macro")}
    assert [(one.text, one.source, one.task, one.label) for one in corpus.examples] == [
        ("Falls & falls", "mood", "sentiment", 0),
        ("Prices rise", "theme", "topic", 1),
    ]


def test_a_line_separator_within_a_text_ends_no_row(tmp_path: Path) -> None:
    corpus = read_corpus(folder(tmp_path, '{"text": "one\u2028two\u0085three", "label": "bear"}\n'), SETS)
    assert [one.text for one in corpus.examples] == ["one two three"]


@pytest.mark.parametrize(
    "line", ["not json", "[]", '{"text": "x"}', '{"text": 1, "label": "bear"}', '{"text": "x", "label": "?"}']
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str) -> None:
    place = folder(tmp_path, '{"text": "fine", "label": "bear"}\n' + line + "\n")
    with pytest.raises(PermanentError, match=r"mood\.jsonl:2"):
        read_corpus(place, SETS)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"label_names\.json.*--data-dir"):
        read_corpus(tmp_path, SETS)
