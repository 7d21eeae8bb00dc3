"""The file of names: what it may hold, and how what is wrong with it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import InvalidInput
from service.entity_names import read_names


def test_a_symbol_has_all_its_names_once_in_the_file_s_order(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text(
        '\ufeffname,note,symbol\nApple,maker of phones,aapl\n"Alphabet, Inc.",,$GOOGL\nApple Inc,,AAPL\nApple,,AAPL\n'
    )
    assert read_names(file) == {"AAPL": ("Apple", "Apple Inc"), "GOOGL": ("Alphabet, Inc.",)}


def test_without_a_file_there_are_no_names() -> None:
    assert read_names(None) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "names.csv:1: the header has no column symbol and name"),
        (b"symbol;name\nAAPL;Apple\n", "names.csv:1: the header has no column symbol and name"),
        (b"symbol,name\nAAPL,Apple\n,Banana\n", "names.csv:3: a row needs a symbol and a name"),
        (b"symbol,name\nAAPL\n", "names.csv:2: a row needs a symbol and a name"),
        (b"symbol,name\nAAPL,?!\n", "names.csv:2: a row needs a symbol and a name that has a letter or a digit"),
        (b'symbol,name\nAAPL,"Apple\n', "it is not CSV"),
        (b"symbol,name\nAAPL,Caf\xe9\n", "is not UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "names.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidInput) as raised:
        read_names(file)
    assert said in str(raised.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="can't be read: Is a directory"):
        read_names(tmp_path)
