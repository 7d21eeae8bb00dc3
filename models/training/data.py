"""Reads labelled files: JSON lines or CSV, one text a row. Errors name file and line."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from domain.errors import InvalidInput
from models.entities import Span
from models.folder import Kind
from models.normalise import normalise
from models.training.strict import close

LabelMap = Mapping[str, str | Mapping[str, float] | None]
"""Label in a file → label of the task, None to leave the row out, or shares of several labels. "" stands for a
label that is empty, null or not there."""


class LeftOut(StrEnum):
    """Why a row is not used."""

    MAPPED_TO_NULL = "mapped_to_null"
    NAME_NOT_FOUND = "name_not_found"
    """The text does not mention the name that the label is about."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One labelled text, as a file has it."""

    text: str
    """Normalised; never empty."""
    shares: Mapping[str, float]
    """Label → its share: 1 for the row's one label; 1 for each of a multi-label row's (maybe none); several that
    sum to 1 where the map says so. Empty where no label was asked for."""
    source: str
    file: Path
    line: int
    """From 1; of a CSV row the line on which it ends."""
    entity: str | None = None
    """The name that the label is about, normalised; the text mentions it."""

    @property
    def label(self) -> str:
        """The label with the largest share, the first among equals; "" where there is none."""
        return max(self.shares, key=lambda label: self.shares[label], default="")


def read_file(
    path: Path,
    *,
    source: str | None = None,
    source_column: str | None = None,
    text: str = "text",
    label: str | None = "label",
    entity: str | None = None,
    labels: Sequence[str] | None = None,
    kind: Kind = Kind.SINGLE,
    label_map: LabelMap | None = None,
    separator: str = ";",
    left_out: Counter[LeftOut] | None = None,
) -> list[Row]:
    """The rows of a file, in order. `text`, `label` and `entity` are its columns (`label` None: texts only); `labels`
    those of the task (None: whatever the file has); `separator` parts several labels in one cell of a CSV file.
    `source` names the rows (default: the file's name), unless `source_column` does one by one. Rows that are not used
    are counted in `left_out`.

    Raises InvalidInput, naming file and line, for a file that can't be read, a line that is no row, a column that
    isn't there, an unknown label, a text that is empty once normalised, or a file without rows.
    """
    reader = _Reader(
        path=path,
        source=source or path.stem,
        source_column=source_column,
        text=text,
        label=label,
        entity=entity,
        labels=labels,
        kind=kind,
        label_map=label_map or {},
        separator=separator,
    )
    rows: list[Row] = []
    lines = 0
    asked = [name for name in (text, label, entity, source_column) if name is not None]
    lacking = {label: None} if label is not None and "" in reader.label_map else {}
    for line, cells in _lines(path, asked, lacking):
        lines += 1
        row = reader.row(line, cells)
        if isinstance(row, Row):
            rows.append(row)
        elif left_out is not None:
            left_out[row] += 1
    if not lines:
        raise InvalidInput("training_data", f"{path} has no rows")
    return rows


def mentions(text: str, name: str) -> tuple[Span, ...]:
    """Where `text` says `name`, in any case: each time as a word of its own, or else the first time within a word."""
    parts = re.escape(name)
    found = [match.span() for match in re.finditer(rf"(?<!\w){parts}(?!\w)", text, re.IGNORECASE)]
    within = re.search(parts, text, re.IGNORECASE)
    return tuple(found) if found else (within.span(),) if within else ()


def _bad_row(path: Path, line: int, what: str) -> InvalidInput:
    """The error for one line of a file."""
    return InvalidInput("training_data", f"{path}:{line}: {what}")


def _lines(path: Path, columns: Sequence[str], lacking: Mapping[str, None]) -> Iterator[tuple[int, dict[str, object]]]:
    """Line number and cells of each row; every one of `columns` is there, those of `lacking` maybe as None."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput("training_data", f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise _bad_row(path, line, "not UTF-8") from error
    rows = _csv_lines(path, content, columns) if path.suffix.lower() in (".csv", ".tsv") else _json_lines(path, content)
    for line, found in rows:
        cells = {**lacking, **found}
        for column in columns:
            if column not in cells:
                raise _bad_row(
                    path, line, f"there is no column {column!r}; {close(column, [str(key) for key in cells])}"
                )
        yield line, cells


def _json_lines(path: Path, content: str) -> Iterator[tuple[int, dict[str, object]]]:
    # Not splitlines: texts hold line separators (U+2028, U+0085) that end no row.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            cells = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _bad_row(path, number, f"not a JSON object ({error})") from error
        if not isinstance(cells, dict):
            raise _bad_row(path, number, f"not a JSON object, but {line.strip()[:40]!r}")
        yield number, cells


def _csv_lines(path: Path, content: str, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, object]]]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    # A cell may be as long as its file; the limit is the process's, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), len(content)))
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        for column in columns:
            if header and column not in header:
                raise _bad_row(path, 1, f"there is no column {column!r}; {close(column, header)}")
            if header.count(column) > 1:
                raise _bad_row(path, 1, f"column {column!r} is there twice; rename or remove one")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise _bad_row(
                    path, reader.line_num, f"{len(cells)} cells where the header names {len(header)} columns"
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise _bad_row(path, reader.line_num, f"not CSV ({error})") from error


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """The arguments of `read_file`."""

    path: Path
    source: str
    source_column: str | None
    text: str
    label: str | None
    entity: str | None
    labels: Sequence[str] | None
    kind: Kind
    label_map: LabelMap
    separator: str

    def row(self, line: int, cells: Mapping[str, object]) -> Row | LeftOut:
        text = self._normalised(line, self.text, cells)
        shares = {} if self.label is None else self._shares(line, cells[self.label])
        if shares is None:
            return LeftOut.MAPPED_TO_NULL
        name = None if self.entity is None else self._normalised(line, self.entity, cells)
        if name is not None and not mentions(text, name):
            return LeftOut.NAME_NOT_FOUND
        return Row(
            text=text,
            shares=shares,
            source=self.source if self.source_column is None else str(cells[self.source_column]),
            file=self.path,
            line=line,
            entity=name,
        )

    def _normalised(self, line: int, column: str, cells: Mapping[str, object]) -> str:
        cell = cells[column]
        if not isinstance(cell, str):
            raise _bad_row(self.path, line, f"column {column!r} must hold a text, got {cell!r}")
        text = normalise(cell)
        if not text:
            raise _bad_row(self.path, line, f"column {column!r} is empty (or only a link); remove the row")
        return text

    def _shares(self, line: int, cell: object) -> dict[str, float] | None:
        """Label → share; None: leave the row out."""
        # An empty cell is none of several labels, unless the map says what it is.
        mapped = cell in (None, "") and "" in self.label_map
        if self.kind is not Kind.MULTI or mapped:
            return self._shares_of(line, cell)
        cells = cell if isinstance(cell, list) else ("" if cell is None else str(cell)).split(self.separator)
        out: dict[str, float] = {}
        for one in (part.strip() if isinstance(part, str) else part for part in cells):
            if one == "":
                continue
            shares = self._shares_of(line, one)
            if shares is None:
                return None
            for label, share in shares.items():
                out[label] = max(share, out.get(label, 0.0))
        return out

    def _shares_of(self, line: int, cell: object) -> dict[str, float] | None:
        name = "" if cell is None else cell
        if not isinstance(name, (str, int)) or (name == "" and "" not in self.label_map):
            fix = '; remove the row, or map "" to null' if name == "" else ""
            raise _bad_row(self.path, line, f"column {self.label!r} must hold a label, got {cell!r}{fix}")
        mapped = self.label_map.get(str(name), str(name))
        if mapped is None:
            return None
        shares = dict(mapped) if isinstance(mapped, Mapping) else {mapped: 1.0}
        for label in shares:
            if self.labels is not None and label not in self.labels:
                raise _bad_row(self.path, line, f"unknown label {label!r}; {close(label, list(self.labels))}")
        return shares
