"""`groundswell label-next`: which texts to have labelled, and reading back what people said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import Progress

from domain.errors import PermanentError
from service.cli.app import Invocation, app

if TYPE_CHECKING:
    from service.labelling import Candidate

Moment = datetime | None


@app.command(
    "label-next",
    rich_help_panel="Model",
    epilog=(
        "Examples: groundswell label-next --since 2026-03-01 --limit 50 --out tasks.json; "
        "groundswell label-next --data texts.jsonl --model my-model --out tasks.json; "
        "groundswell label-next --answers export.json --task sentiment --out labelled.jsonl"
    ),
)
def label_next(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(help="Where to write tasks for Label Studio; with --answers, JSON lines to train on.")
    ],
    tasks: Annotated[
        list[str] | None,
        typer.Option("--task", help="What to ask. May be repeated: the least sure one counts. Default: sentiment."),
    ] = None,
    since: Annotated[Moment, typer.Option(help="Only documents published since then (UTC).")] = None,
    until: Annotated[Moment, typer.Option(help="Only documents published before then (UTC).")] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="In place of the history: texts in JSON lines or CSV, scored now."),
    ] = None,
    text_column: Annotated[str, typer.Option(help="With --data: the column of the text.")] = "text",
    model: Annotated[
        str | None, typer.Option(metavar="REF", help="With --data: a model. Without it the one in force.")
    ] = None,
    measure: Annotated[
        Literal["entropy", "margin"],
        typer.Option(help="Unsure is: all labels are likely (entropy), or the first two are (margin)."),
    ] = "entropy",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many texts at most.")] = 100,
    candidates: Annotated[
        int, typer.Option(min=1, max=20_000, help="How many texts to choose among at most: the newest documents.")
    ] = 5000,
    answers: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Instead, write what Label Studio's JSON export says as texts and labels."),
    ] = None,
) -> None:
    """Find the texts most worth labelling: the model is unsure, and no two tell one story.

    A document that was corrected already is not asked about, nor is what nearly repeats it.
    """
    from models.labelling import Measure
    from service.label_studio import write_questions
    from service.labelling import LabellingPolicy, questions

    if model is not None and data is None:
        raise typer.BadParameter("--model goes with --data: what is in the history was scored already")
    asked = tasks or ["sentiment"]
    if answers is not None:
        _write(out, _labelled(answers, asked))
        return
    found = (
        _of_history(context, since, until, asked, candidates)
        if data is None
        else _of_file(context, data, text_column, model, candidates)
    )
    chosen = questions(found, LabellingPolicy(tasks=asked, measure=Measure(measure), limit=limit))
    if not chosen:
        raise PermanentError(f"nothing to ask: there are {len(found)} texts, and each is labelled or certain")
    _write(out, write_questions(chosen))
    typer.echo(f"{len(chosen)} of {len(found)} texts to label are in {out}")


def _of_history(context: typer.Context, since: Moment, until: Moment, tasks: list[str], most: int) -> list[Candidate]:
    from service import connections, wiring
    from service.labelling import from_history

    invocation: Invocation = context.obj
    database = connections.postgres(invocation.load().settings, "label-next", pool_size=1)
    return from_history(
        wiring.history_reader(database),
        wiring.corrections(database),
        start=since and since.replace(tzinfo=UTC),
        end=until and until.replace(tzinfo=UTC),
        tasks=tasks,
        most=most,
    )


def _of_file(context: typer.Context, path: Path, text_column: str, model: str | None, most: int) -> list[Candidate]:
    from service import wiring
    from service.labelling import from_file

    invocation: Invocation = context.obj
    classifier = wiring.classifier(invocation.load().settings, model)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task("scoring", total=None)
        return from_file(
            path,
            classifier,
            text_column=text_column,
            most=most,
            progress=lambda done, total: bar.update(shown, completed=done, total=total),
        )


def _labelled(path: Path, tasks: list[str]) -> str:
    import json

    from service.label_studio import read_answers

    if len(tasks) > 1:
        raise typer.BadParameter("a file to train on is of one task: give --task once")
    (task,) = tasks
    answers = read_answers(path)
    rows = [{"text": one.text, "label": one.labels[task], "by": one.by} for one in answers if task in one.labels]
    if not rows:
        raise PermanentError(f"{path} has no answer to {task!r} on which people agree")
    disputed = sum(task in one.disputed for one in answers)
    typer.echo(f"{len(rows)} labelled texts" + (f"; left out {disputed} on which people disagree" if disputed else ""))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise PermanentError(f"cannot write {path}: {error.strerror}") from error
