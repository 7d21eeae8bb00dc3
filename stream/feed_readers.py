"""Rows of a file: JSONL, CSV or Parquet, one at a time, and what can't be read as one by its line."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import msgspec

from domain.errors import InvalidInput

Row = Mapping[str, Any]
"""Column names and values, as the format has them."""


class FeedFormat(StrEnum):
    """What a file can be; JSONL and CSV may be compressed with gzip."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class BadRowReason(StrEnum):
    """Why a row can't be read as one. (A row that is no valid document has the decoder's reason.)"""

    TOO_LONG = "row_too_long"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NOT_CSV = "not_csv"
    WRONG_FIELD_COUNT = "wrong_field_count"
    UNREADABLE_VALUE = "unreadable_value"


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that can't be fed."""

    line: int
    """Line of the file on which the row ends (JSONL, CSV), or number of the row (Parquet), from 1."""
    reason: str
    message: str


MAX_ROW_BYTES: Final = 16 << 20
"""The longest line or CSV field that is read; the rest of a longer line is skipped."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_SUFFIXES: Final = {
    ".jsonl": FeedFormat.JSONL,
    ".ndjson": FeedFormat.JSONL,
    ".json": FeedFormat.JSONL,
    ".csv": FeedFormat.CSV,
    ".tsv": FeedFormat.CSV,
    ".parquet": FeedFormat.PARQUET,
}


def guess_format(path: Path) -> FeedFormat:
    """By the name's ending, `.gz` aside. Raises InvalidInput naming the endings that are known."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES)
        raise InvalidInput("unknown_format", f"{path} ends in none of {known}: give the format")
    return _SUFFIXES[suffix]


def read_rows(source: BinaryIO, form: FeedFormat, *, delimiter: str = ",") -> Iterator[tuple[int, Row | BadRow]]:
    """Each row and its line. A source that is still being written to must be unbuffered, so that a row is seen as soon
    as it is there; Parquet needs a seekable one. Raises InvalidInput when the whole is not what it is said to be."""
    if form is FeedFormat.PARQUET:
        return _read_parquet(source)
    try:
        plain = _uncompressed(source)
        return _read_csv(plain, delimiter) if form is FeedFormat.CSV else _read_jsonl(plain)
    except (OSError, EOFError) as error:
        raise InvalidInput("unreadable_file", f"the file can't be read: {error}") from error


def _uncompressed(source: BinaryIO) -> BinaryIO:
    buffered = io.BufferedReader(cast("io.RawIOBase", source))
    if buffered.peek(2)[:2] == _GZIP_MAGIC:
        return io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=buffered)))
    return buffered


def _read_jsonl(source: BinaryIO) -> Iterator[tuple[int, Row | BadRow]]:
    decode = msgspec.json.Decoder().decode
    number = 0
    while line := source.readline(MAX_ROW_BYTES):
        number += 1
        if len(line) == MAX_ROW_BYTES and not line.endswith(b"\n"):
            while (rest := source.readline(MAX_ROW_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield number, _bad(number, BadRowReason.TOO_LONG, f"the line is longer than {MAX_ROW_BYTES} bytes")
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isspace() or not line:
            continue
        try:
            row = decode(line)
        except UnicodeDecodeError:
            yield number, _bad(number, BadRowReason.NOT_UTF8, "the line is not UTF-8")
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, _bad(number, BadRowReason.NOT_JSON, f"the line is not JSON: {error}")
        else:
            if isinstance(row, dict):
                yield number, row
            else:
                yield number, _bad(number, BadRowReason.NOT_AN_OBJECT, "the line is JSON, but not an object")


def _read_csv(source: BinaryIO, delimiter: str) -> Iterator[tuple[int, Row | BadRow]]:
    # Bytes that are not UTF-8 must not end the whole: they come through as surrogates, and their row is refused.
    text = io.TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(MAX_ROW_BYTES)
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, _bad(reader.line_num, BadRowReason.NOT_CSV, f"the row is not CSV: {error}")
            continue
        number = reader.line_num
        if not fields:
            continue
        if columns is None:
            columns = fields
        elif len(fields) != len(columns):
            message = f"the row has {len(fields)} fields, the heading {len(columns)}"
            yield number, _bad(number, BadRowReason.WRONG_FIELD_COUNT, message)
        elif not all(field.isascii() or _is_unicode(field) for field in fields):
            yield number, _bad(number, BadRowReason.NOT_UTF8, "the row is not UTF-8")
        else:
            yield number, dict(zip(columns, fields, strict=True))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_parquet(source: BinaryIO) -> Iterator[tuple[int, Row | BadRow]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(source)
        number = 0
        for batch in file.iter_batches(batch_size=1024):
            # Python's datetime holds microseconds; pyarrow refuses to cut nanoseconds unless told.
            columns = [_values(_microseconds(column)) for column in batch.columns]
            for values in zip(*columns, strict=True):
                number += 1
                row = dict(zip(batch.schema.names, values, strict=True))
                wrong = next((name for name, value in row.items() if isinstance(value, Exception)), None)
                if wrong is None:
                    yield number, row
                else:
                    message = f"{wrong} holds a value that can't be read: {row[wrong]}"
                    yield number, _bad(number, BadRowReason.UNREADABLE_VALUE, message)
    except pyarrow.ArrowException as error:
        raise InvalidInput("unreadable_file", f"the file is not Parquet that can be read: {error}") from error


def _values(column: Any) -> list[Any]:
    """Python's values; in place of one that Python has none for, such as a date in the year 33658, what it says."""
    try:
        return cast("list[Any]", column.to_pylist())
    except (OverflowError, ValueError):
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (OverflowError, ValueError) as error:
        return error


def _microseconds(column: Any) -> Any:
    import pyarrow

    if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pyarrow.timestamp("us", tz=column.type.tz), safe=False)
    return column


def _bad(line: int, reason: BadRowReason, message: str) -> BadRow:
    return BadRow(line=line, reason=reason.value, message=message)
