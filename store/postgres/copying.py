"""Rows in Postgres's binary COPY format (PostgreSQL documentation, COPY, "Binary Format").

Binary rather than text: it is the cheaper one to make and to read, and nothing in it needs escaping.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

HEADER: Final = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER: Final = struct.pack(">h", -1)
NULL: Final = struct.pack(">i", -1)

_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_length = struct.Struct(">i").pack

_INT4, _TEXT, _FLOAT4 = 23, 25, 700
"""Object ids of element types (pg_type.dat)."""


class FixedFields:
    """The beginning of a row: the number of its columns, and its leading fields of fixed size, none of them null."""

    def __init__(self, columns: int, types: Sequence[str]) -> None:
        """`types`: one struct format character (or `16s`) for each leading field; `columns` counts all of the row."""
        self._struct = struct.Struct(">h" + "".join(f"i{type_}" for type_ in types))
        self._fields: list[Any] = [columns]
        for type_ in types:
            self._fields += [struct.calcsize(f">{type_}"), None]

    def pack(self, *values: Any) -> bytes:
        """The fields' bytes. Raises struct.error for a value out of range."""
        fields = self._fields.copy()
        fields[2::2] = values
        return self._struct.pack(*fields)


def timestamp(at: datetime) -> int:
    """Microseconds since 2000-01-01T00:00Z, as Postgres keeps time (format `q`)."""
    return (at - _POSTGRES_EPOCH) // _MICROSECOND


def text(value: str | None) -> bytes:
    """A text field. Raises ValueError for what Postgres can't hold: a NUL, a lone surrogate (UnicodeEncodeError)."""
    if value is None:
        return NULL
    if "\0" in value:
        raise ValueError("a NUL character")
    encoded = value.encode()
    return _length(len(encoded)) + encoded


def texts(values: Sequence[str]) -> bytes:
    """A text[] field. Raises as `text` does."""
    return _array(_TEXT, values, b"".join(map(text, values)))


def integers(values: Sequence[int]) -> bytes:
    """An integer[] field."""
    return _array(_INT4, values, _elements(">" + "ii" * len(values), 4, values))


def floats(values: Sequence[float]) -> bytes:
    """A real[] field: rounded to single precision."""
    return _array(_FLOAT4, values, _elements(">" + "if" * len(values), 4, values))


def _array(type_: int, values: Sequence[Any], elements: bytes) -> bytes:
    # Dimensions, whether there are nulls, element type; then for the one dimension its size and its first index.
    head = struct.pack(">iiiii", 1, 0, type_, len(values), 1) if values else struct.pack(">iii", 0, 0, type_)
    return _length(len(head) + len(elements)) + head + elements


def _elements(format_: str, size: int, values: Sequence[Any]) -> bytes:
    fields = [size] * (2 * len(values))
    fields[1::2] = values
    return _struct(format_).pack(*fields)


@lru_cache(maxsize=256)
def _struct(format_: str) -> struct.Struct:
    return struct.Struct(format_)
