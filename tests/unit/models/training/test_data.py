"""Reading labelled files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInput
from models.folder import Kind
from models.training.data import LeftOut, mentions, read_file

MOODS = ("negative", "neutral", "positive")


def write(folder: Path, text: str, name: str = "rows.jsonl") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read_file(path, **options)
    return str(caught.value)


def test_texts_are_normalised_and_labels_mapped(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"headline": "Falls &amp; falls https://t.co/x", "mood": "bearish"}\n\n'
        '{"headline": "so-so", "mood": "mixed"}\n{"headline": "flat", "mood": "neutral"}\n'
        '{"headline": "up here, down there", "mood": "conflicting"}\n',
    )
    left_out: Counter[LeftOut] = Counter()
    rows = read_file(
        path,
        source="wire",
        text="headline",
        label="mood",
        labels=MOODS,
        label_map={"bearish": "negative", "mixed": None, "conflicting": {"negative": 0.5, "positive": 0.5}},
        left_out=left_out,
    )
    assert [(row.text, row.shares, row.source, row.line) for row in rows] == [
        ("Falls & falls", {"negative": 1.0}, "wire", 1),
        ("flat", {"neutral": 1.0}, "wire", 4),
        ("up here, down there", {"negative": 0.5, "positive": 0.5}, "wire", 5),
    ]
    assert left_out == {LeftOut.MAPPED_TO_NULL: 1}
    assert rows[0].label == "negative"


def test_csv_with_quotes_and_line_breaks_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, 'text,label\n"Falls, and\nfalls",negative\nflat,neutral\n', "rows.csv")
    assert [(row.text, row.label, row.line) for row in read_file(path)] == [
        ("Falls, and falls", "negative", 3),
        ("flat", "neutral", 4),
    ]


def test_a_line_separator_within_a_text_ends_no_row(tmp_path: Path) -> None:
    rows = read_file(write(tmp_path, '{"text": "one\u2028two\u0085three", "label": "a"}\n'))
    assert [row.text for row in rows] == ["one two three"]


def test_a_row_may_have_any_number_of_labels_where_the_task_asks_for_several(tmp_path: Path) -> None:
    path = write(tmp_path, 'text,label\nloan refused,"fees; service; "\nnothing said,\n', "rows.csv")
    rows = read_file(path, labels=("fees", "service"), kind=Kind.MULTI)
    assert [dict(row.shares) for row in rows] == [{"fees": 1.0, "service": 1.0}, {}]
    listed = write(tmp_path, '{"text": "loan refused", "label": ["fees"]}\n')
    assert read_file(listed, kind=Kind.MULTI)[0].shares == {"fees": 1.0}


def test_the_label_0_of_a_row_that_may_have_several_is_a_label(tmp_path: Path) -> None:
    path = write(tmp_path, '{"text": "x", "label": 0}\n{"text": "y", "label": null}\n')
    assert [dict(row.shares) for row in read_file(path, labels=("0", "1"), kind=Kind.MULTI)] == [{"0": 1.0}, {}]


@pytest.mark.parametrize("kind", [Kind.SINGLE, Kind.MULTI])
def test_rows_without_a_label_are_left_out_where_the_map_says_so(tmp_path: Path, kind: Kind) -> None:
    path = write(
        tmp_path,
        '{"text": "a", "label": "up"}\n{"text": "b", "label": ""}\n{"text": "c", "label": null}\n{"text": "d"}\n',
    )
    left_out: Counter[LeftOut] = Counter()
    found = read_file(path, kind=kind, label_map={"": None}, left_out=left_out)
    assert [row.text for row in found] == ["a"]
    assert left_out == {LeftOut.MAPPED_TO_NULL: 3}
    with pytest.raises(InvalidInput, match="there is no column 'label'"):
        read_file(write(tmp_path, "text\na\n", "rows.csv"), label_map={"": None})


def test_a_csv_cell_may_be_as_long_as_a_text_of_a_json_line(tmp_path: Path) -> None:
    text = "up " * 50_000
    cell = write(tmp_path, f"text,label\n{text},a\n", "rows.csv")
    line = write(tmp_path, f'{{"text": "{text}", "label": "a"}}\n')
    assert read_file(cell)[0].text == read_file(line)[0].text


def test_a_row_with_a_label_to_leave_out_is_left_out_whatever_other_labels_it_has(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label\nloan refused,fees; unclear\nnothing said,unclear\nboth,fees\n", "rows.csv")
    left_out: Counter[LeftOut] = Counter()
    rows = read_file(path, labels=("fees",), kind=Kind.MULTI, label_map={"unclear": None}, left_out=left_out)
    assert [row.text for row in rows] == ["both"]
    assert left_out == {LeftOut.MAPPED_TO_NULL: 2}


def test_names_are_found_in_the_text_and_those_that_are_not_are_counted(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '{"text": "Apple beats, APPLE&#39;s rival warns", "entity": "apple", "label": "positive"}\n'
        '{"text": "Pineapple falls", "entity": "Samsung", "label": "negative"}\n',
    )
    left_out: Counter[LeftOut] = Counter()
    rows = read_file(path, entity="entity", kind=Kind.ENTITY, labels=MOODS, left_out=left_out)
    assert [(row.entity, mentions(row.text, "apple")) for row in rows] == [("apple", ((0, 5), (13, 18)))]
    assert left_out == {LeftOut.NAME_NOT_FOUND: 1}


def test_a_name_within_a_word_counts_only_where_it_stands_nowhere_alone() -> None:
    assert mentions("Apples and apple", "Apple") == ((11, 16),)
    assert mentions("Apples fall", "Apple") == ((0, 5),)
    assert mentions("Pears fall", "Apple") == ()


def test_texts_can_be_read_without_labels(tmp_path: Path) -> None:
    rows = read_file(write(tmp_path, '{"text": "one"}\n'), label=None)
    assert (rows[0].text, rows[0].label, rows[0].source) == ("one", "", "rows")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("not json", "not a JSON object"),
        ("[]", "not a JSON object, but '[]'"),
        ('{"text": "x"}', "there is no column 'label'"),
        ('{"txt": "x", "label": "negative"}', "there is no column 'text'; did you mean txt?"),
        ('{"text": 1, "label": "negative"}', "column 'text' must hold a text, got 1"),
        ('{"text": "x", "label": null}', 'got None; remove the row, or map "" to null'),
        ('{"text": "x", "label": 1.5}', "column 'label' must hold a label, got 1.5"),
        pytest.param("[" * 100_000, "not a JSON object (maximum recursion depth exceeded", id="deep"),
        ('{"text": "x", "label": "negativ"}', "unknown label 'negativ'; did you mean negative?"),
        ('{"text": "x", "label": "?"}', "unknown label '?'; known: negative, neutral, positive"),
        ('{"text": " ", "label": "negative"}', "column 'text' is empty"),
        ('{"text": "https://t.co/x", "label": "negative"}', "column 'text' is empty (or only a link)"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str, words: str) -> None:
    path = write(tmp_path, '{"text": "fine", "label": "negative"}\n' + line + "\n")
    message = refused(path, labels=MOODS)
    assert message.startswith(f"{path}:2: ")
    assert words in message


def test_a_bad_csv_row_is_named_by_file_and_line(tmp_path: Path) -> None:
    assert "rows.csv:3: 1 cells where the header names 2" in refused(
        write(tmp_path, "text,label\nx,a\nx\n", "rows.csv")
    )
    assert "rows.csv:1: there is no column 'label'" in refused(write(tmp_path, "text,lable\nx,a\n", "rows.csv"))
    assert "rows.csv:1: column 'text' is there twice" in refused(
        write(tmp_path, "text,label,text\nx,a,y\n", "rows.csv")
    )


def test_what_is_no_text_at_all_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "x", "label": "a"}\n{"text": "\xff"}\n')
    assert refused(path) == f"{path}:2: not UTF-8"


def test_a_file_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    assert "cannot read" in refused(tmp_path / "none.jsonl")
    assert refused(write(tmp_path, "\n")) == f"{tmp_path / 'rows.jsonl'} has no rows"
