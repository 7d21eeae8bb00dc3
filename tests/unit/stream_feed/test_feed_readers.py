"""Rows of JSONL, CSV and Parquet, and what is no row."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from domain.errors import InvalidInput
from stream import feed_readers
from stream.feed_readers import BadRow, FeedFormat, guess_format, read_rows


def read(content: bytes, form: FeedFormat = FeedFormat.JSONL, **options: Any) -> list[tuple[int, Any]]:
    return list(read_rows(io.BytesIO(content), form, **options))


def bad(content: bytes, form: FeedFormat = FeedFormat.JSONL) -> list[tuple[int, str]]:
    return [(row.line, row.reason) for _, row in read(content, form) if isinstance(row, BadRow)]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.jsonl", FeedFormat.JSONL),
        ("a.NDJSON", FeedFormat.JSONL),
        ("a.json.gz", FeedFormat.JSONL),
        ("a.csv", FeedFormat.CSV),
        ("a.tsv.gz", FeedFormat.CSV),
        ("a.parquet", FeedFormat.PARQUET),
    ],
)
def test_the_name_s_ending_tells_the_format(name: str, form: FeedFormat) -> None:
    assert guess_format(Path(name)) is form


def test_a_name_that_tells_nothing_is_refused_with_the_endings_that_do() -> None:
    with pytest.raises(InvalidInput, match=r"\.jsonl, .*\.parquet"):
        guess_format(Path("tweets.txt"))


def test_json_lines_are_rows_and_blank_lines_are_not() -> None:
    assert read(b'{"text": "a"}\n\n  \r\n{"text": "b"}') == [(1, {"text": "a"}), (4, {"text": "b"})]


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    assert read(b'\xef\xbb\xbf{"text": "a"}\n') == [(1, {"text": "a"})]
    assert read(b"\xef\xbb\xbftext\na\n", FeedFormat.CSV) == [(2, {"text": "a"})]


def test_lines_that_are_no_rows_are_named_and_the_others_read() -> None:
    content = b'{"text": "a"}\nnot json\n[1]\n{"text": "\xff"}\n{"text": \n{"text": "b"}\n'

    assert bad(content) == [(2, "not_json"), (3, "not_an_object"), (4, "not_utf8"), (5, "not_json")]
    assert [line for line, row in read(content) if not isinstance(row, BadRow)] == [1, 6]


def test_a_line_too_long_is_skipped_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_readers, "MAX_ROW_BYTES", 32)
    content = b'{"text": "' + b"x" * 100 + b'"}\n{"text": "b"}\n'

    assert bad(content) == [(1, "row_too_long")]
    assert read(content)[-1] == (2, {"text": "b"})


def test_json_nested_too_deeply_is_one_bad_row() -> None:
    assert bad(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n{}") == [(1, "not_json")]


@pytest.mark.parametrize(("form", "content"), [(FeedFormat.JSONL, b'{"text": "a"}\n'), (FeedFormat.CSV, b"text\na\n")])
def test_gzip_is_seen_by_its_first_bytes(form: FeedFormat, content: bytes) -> None:
    assert read(gzip.compress(content), form) == read(content, form)


def test_csv_rows_may_span_lines_and_are_named_by_the_last_one() -> None:
    content = b'id,text\n1,"two\nlines"\n2,"say ""hi"""\n'

    assert read(content, FeedFormat.CSV) == [
        (3, {"id": "1", "text": "two\nlines"}),
        (4, {"id": "2", "text": 'say "hi"'}),
    ]


def test_csv_with_tabs_is_read_with_tabs() -> None:
    assert read(b"id\ttext\n1\ta, b\n", FeedFormat.CSV, delimiter="\t") == [(2, {"id": "1", "text": "a, b"})]


def test_csv_rows_that_do_not_fit_the_heading_or_are_not_utf_8_are_named() -> None:
    content = b"id,text\n1,a,b\n2\n3,\xff\n4,\xc3\xa9\n"

    assert bad(content, FeedFormat.CSV) == [(2, "wrong_field_count"), (3, "wrong_field_count"), (4, "not_utf8")]
    assert read(content, FeedFormat.CSV)[-1] == (5, {"id": "4", "text": "é"})


def test_parquet_rows_keep_their_types_and_nanoseconds_are_cut() -> None:
    at = datetime(2014, 1, 6, 14, 0, 0, 5, tzinfo=UTC)
    table = pyarrow.table(
        {
            "text": ["a", None],
            "symbols": [["X", "Y"], []],
            "at": pyarrow.array([1_389_016_800_000_005_999, None], pyarrow.timestamp("ns", tz="UTC")),
        }
    )
    file = io.BytesIO()
    parquet.write_table(table, file)

    assert read(file.getvalue(), FeedFormat.PARQUET) == [
        (1, {"text": "a", "symbols": ["X", "Y"], "at": at}),
        (2, {"text": None, "symbols": [], "at": None}),
    ]


def test_a_parquet_value_that_python_does_not_have_is_one_bad_row() -> None:
    table = pyarrow.table(
        {"text": ["a", "b", "c"], "at": pyarrow.array([0, 10**18, 1_000_000], pyarrow.timestamp("us", tz="UTC"))}
    )
    file = io.BytesIO()
    parquet.write_table(table, file)

    (_, first), (_, wrong), (_, last) = read(file.getvalue(), FeedFormat.PARQUET)

    assert isinstance(wrong, BadRow)
    assert (wrong.line, wrong.reason) == (2, "unreadable_value")
    assert wrong.message.startswith("at holds a value that can't be read: ")
    assert first == {"text": "a", "at": datetime(1970, 1, 1, tzinfo=UTC)}
    assert last == {"text": "c", "at": datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)}


@pytest.mark.parametrize("content", [b"", b"PAR1 not really"])
def test_what_is_no_parquet_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="not Parquet"):
        read(content, FeedFormat.PARQUET)


def test_empty_files_have_no_rows() -> None:
    assert read(b"") == []
    assert read(b"", FeedFormat.CSV) == []
    assert read(b"id,text\n", FeedFormat.CSV) == []
