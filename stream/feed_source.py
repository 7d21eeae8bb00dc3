"""What is fed: a file or standard input, opened so that it can be read twice where that is possible or asked for."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from domain.errors import InvalidInput
from stream.feed_readers import FeedFormat, guess_format


@dataclass(frozen=True, kw_only=True)
class FeedSource:
    """What to read; `path` None is standard input. Without a format the name's ending tells (else JSONL)."""

    path: Path | None
    format: FeedFormat | None = None

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.path) if self.path else "standard input"

    def chosen_format(self) -> FeedFormat:
        """Raises InvalidInput when neither the format nor the name tells."""
        if self.format is not None:
            return self.format
        return FeedFormat.JSONL if self.path is None else guess_format(self.path)

    def chosen_delimiter(self) -> str:
        """What stands between the fields of CSV: a tab in `.tsv`, else a comma."""
        return "\t" if self.path and self.path.name.lower().removesuffix(".gz").endswith(".tsv") else ","


@contextmanager
def opened(source: FeedSource, *, keep: bool) -> Iterator[tuple[BinaryIO, bool]]:
    """The bytes, unbuffered, and whether they can be read twice. With `keep`, what can't is copied to a temporary file
    to its end first. Raises InvalidInput when there is nothing to read."""
    with ExitStack() as stack:
        try:
            if source.path is None:
                file = cast("BinaryIO", stack.enter_context(open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)))
            else:
                file = cast("BinaryIO", stack.enter_context(source.path.open("rb", buffering=0)))
            twice = source.path is not None and source.path.is_file()
            if keep and not twice:
                copy = cast("BinaryIO", stack.enter_context(tempfile.TemporaryFile()))
                shutil.copyfileobj(io.BufferedReader(cast("io.RawIOBase", file)), copy)
                copy.seek(0)
                file, twice = copy, True
        except OSError as error:
            raise InvalidInput("unreadable_file", f"{source.name} can't be read: {error.strerror}") from error
        yield file, twice
