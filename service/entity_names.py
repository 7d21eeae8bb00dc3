"""Reads the names by which texts speak of symbols: what an entity's sentiment is found by."""

from __future__ import annotations

import csv
from pathlib import Path

from domain.errors import InvalidInput

COLUMNS = ("symbol", "name")


def read_names(path: Path | None) -> dict[str, tuple[str, ...]]:
    """Symbol (upper case, as documents carry it) → its names, in the file's order; of no file, nothing.

    A CSV file in UTF-8 whose header has the columns `symbol` and `name`, with a row for each name. Raises InvalidInput,
    naming file and line, for anything else.
    """
    if path is None:
        return {}
    names: dict[str, list[str]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if missing := [column for column in COLUMNS if column not in (rows.fieldnames or ())]:
                raise _bad(path, 1, f"the header has no column {' and '.join(missing)}: write symbol,name")
            for row in rows:
                symbol, name = ((row[column] or "").strip() for column in COLUMNS)
                symbol = symbol.removeprefix("$").upper()
                if not symbol or not any(character.isalnum() for character in name):
                    raise _bad(path, rows.line_num, "a row needs a symbol and a name that has a letter or a digit")
                names.setdefault(symbol, []).append(name)
    except csv.Error as error:
        raise _bad(path, rows.line_num, f"it is not CSV: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInput("entity_names", f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise InvalidInput("entity_names", f"{path} can't be read: {error.strerror}") from error
    return {symbol: tuple(dict.fromkeys(given)) for symbol, given in names.items()}


def _bad(path: Path, line: int, why: str) -> InvalidInput:
    return InvalidInput("entity_names", f"{path}:{line}: {why}")
