"""What the commands that read labelled files and run models share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from models.evaluation.answers import Progress as ShowProgress


def label_map(written: Sequence[str]) -> dict[str, str | None]:
    """`bearish=negative` as it stands in a training configuration; nothing after the sign leaves the label out."""
    out: dict[str, str | None] = {}
    for one in written:
        label, sign, task_label = one.partition("=")
        if not sign:
            raise typer.BadParameter(f"--map is written FROM=TO, got {one!r}")
        out[label] = task_label or None
    return out


@contextmanager
def progress_bar() -> Iterator[ShowProgress]:
    """A bar on stderr, so that the figures can be piped; none where that is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(shown, description=what, completed=done, total=total)
