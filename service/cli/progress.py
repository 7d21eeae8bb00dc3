"""How far a feed has come, as a bar on a terminal; nothing where there is no terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stream.feed import BadRow, FeedProgress

_MOST_BAD_ROWS = 10


class FeedBar:
    """A context: the bar is there while the block runs."""

    def __init__(self, output: TextIO) -> None:
        self._console = Console(file=output, markup=False, highlight=False)
        self._bar = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("", total=None)
        self._bad_rows = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, progress: FeedProgress) -> None:
        """Show how far it has come, and at which date."""
        at = f"{progress.published_at:%Y-%m-%d %H:%M}" if progress.published_at else f"looked at {progress.looked_at:,}"
        self._bar.update(self._task, completed=progress.sent, total=progress.total, description=at)

    def bad_row(self, row: BadRow) -> None:
        """Name the first rows that could not be read; the others are only counted."""
        self._bad_rows += 1
        if self._bad_rows <= _MOST_BAD_ROWS:
            self._console.print(f"line {row.line}: {row.message} ({row.reason})")
        elif self._bad_rows == _MOST_BAD_ROWS + 1:
            self._console.print("more rows can't be read; they are only counted")
