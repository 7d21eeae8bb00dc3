"""The bytes of COPY's binary format."""

from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest

from store.postgres import copying


def test_fields_of_fixed_size_come_behind_the_number_of_columns_each_with_its_length() -> None:
    fields = copying.FixedFields(7, ["q", "h", "d", "16s"])
    assert fields.pack(-1, 2, 0.5, b"k" * 16) == bytes.fromhex("0007") + b"".join(
        [
            bytes.fromhex("00000008ffffffffffffffff"),
            bytes.fromhex("000000020002"),
            bytes.fromhex("000000083fe0000000000000"),
            bytes.fromhex("00000010") + b"k" * 16,
        ]
    )


def test_a_number_out_of_range_is_an_error() -> None:
    with pytest.raises(struct.error):
        copying.FixedFields(1, ["h"]).pack(40_000)


def test_times_are_microseconds_since_2000() -> None:
    assert copying.timestamp(datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert copying.timestamp(datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_no_text_is_null_and_an_empty_one_is_not() -> None:
    assert copying.text(None) == bytes.fromhex("ffffffff")
    assert copying.text("") == bytes.fromhex("00000000")
    assert copying.text("ä") == bytes.fromhex("00000002c3a4")


@pytest.mark.parametrize("value", ["a\0b", "half \ud800 a pair"])
def test_what_postgres_cannot_hold_is_an_error(value: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError is one
        copying.text(value)
    with pytest.raises(ValueError):  # noqa: PT011
        copying.texts(["fine", value])


def test_arrays_have_one_dimension_or_none() -> None:
    assert copying.integers([]) == bytes.fromhex("0000000c 00000000 00000000 00000017")
    assert copying.integers([5, -1]) == bytes.fromhex(
        "00000024 00000001 00000000 00000017 00000002 00000001 00000004 00000005 00000004 ffffffff"
    )
    assert copying.floats([1.5])[-8:] == bytes.fromhex("00000004 3fc00000")
    assert copying.texts(["ab", ""])[-10:] == bytes.fromhex("00000002 6162 00000000")
