"""`groundswell corrections`: what people say where the model was wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain.correction import Correction
from domain.errors import PermanentError
from service.cli.app import Invocation, app
from service.cli.models import By, you
from service.cli.readable import readable

if TYPE_CHECKING:
    from domain.ports import Corrections
    from service.settings import Settings

corrections = typer.Typer(no_args_is_help=True, help="Say where the model was wrong; read and export what was said.")
app.add_typer(
    corrections,
    name="corrections",
    rich_help_panel="Operate",
    epilog="Example: groundswell corrections add doc-17 --label negative",
)

DocumentId = Annotated[str, typer.Argument(metavar="ID", help="The document's id, as the views and the API show it.")]
Task = Annotated[str, typer.Option(help="What was wrong: sentiment, topic, or another task of the model.")]
AnyTask = Annotated[str | None, typer.Option(help="Only of this task.")]
Entity = Annotated[str | None, typer.Option(metavar="SYMBOL", help="Whom the label is about, for a task of entities.")]
Note = Annotated[str, typer.Option(help="Why, for the record.")]


@corrections.command(epilog="Example: groundswell corrections add doc-17 --label negative --note 'a profit warning'")
def add(
    context: typer.Context,
    document_id: DocumentId,
    label: Annotated[str, typer.Option(help="What is right.")],
    task: Task = "sentiment",
    entity: Entity = None,
    note: Note = "",
    by: By = None,
) -> None:
    """Say what a document's label should have been. The newest word counts; scores stay as they are."""
    said = Correction(document_id=document_id, task=task, label=label, entity=entity, by=by or you(), note=note)
    _put(context, [said])
    typer.echo(f"{document_id}: {task} is {label}")


@corrections.command(epilog="Example: groundswell corrections withdraw doc-17 --task topic")
def withdraw(
    context: typer.Context,
    document_id: DocumentId,
    task: Task = "sentiment",
    entity: Entity = None,
    note: Note = "",
    by: By = None,
) -> None:
    """Take a correction back; both stay on record."""
    said = Correction(document_id=document_id, task=task, label=None, entity=entity, by=by or you(), note=note)
    _put(context, [said])
    typer.echo(f"{document_id}: {task} is what the model says")


@corrections.command("import", epilog="Example: groundswell corrections import export.json")
def import_(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Label Studio's JSON export (.json), or JSON lines: id, task, label.")],
    by: By = None,
) -> None:
    """Take over what was labelled elsewhere, all of it or, when a line is wrong, none."""
    from service.corrections import read_corrections

    said, disputed = read_corrections(file, by=by or you())
    _put(context, said)
    typer.echo(
        f"{len(said)} corrections of {len({one.document_id for one in said})} documents"
        + (f"; left out {disputed} on which people disagree" if disputed else "")
    )


@corrections.command("list", epilog="Example: groundswell corrections list --task topic --limit 50")
def list_(
    context: typer.Context,
    task: AnyTask = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, the newest.")] = 20,
) -> None:
    """What stands, the newest first."""
    standing = _opened(context)[1].standing(task=task)
    for one in [*reversed(standing)][:limit]:
        said = one.correction
        about = f" of {readable(said.entity)}" if said.entity else ""
        note = f": {readable(said.note)}" if said.note else ""
        typer.echo(
            f"{one.recorded_at:%Y-%m-%dT%H:%M:%SZ}  {readable(said.document_id)}  {readable(said.task)}{about} is "
            f"{readable(said.label)}  ({readable(said.by)}{note})  {readable(' '.join(one.text.split())[:60])}"
        )
    typer.echo(f"{len(standing)} correction{'' if len(standing) == 1 else 's'}")


@corrections.command(epilog="Example: groundswell corrections export --task sentiment --out corrected.jsonl")
def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="The file to write: JSON lines with text and label.")],
    task: Task = "sentiment",
) -> None:
    """Write what stands of one task as a file to train on.

    Of a task of entities each row has the name by which the text speaks of the symbol, as `entity`.
    """
    from service.corrections import described, labelled, write_rows
    from service.entity_names import read_names

    settings, store = _opened(context)
    standing = store.standing(task=task)
    if not standing:
        raise PermanentError(f"no correction of {task} stands")
    rows, left_out = labelled(standing, read_names(settings.classify.names_file))
    try:
        write_rows(out, rows)
    except OSError as error:
        raise PermanentError(f"cannot write {out}: {error.strerror}") from error
    typer.echo(f"{len(rows)} rows are in {out}{described(left_out)}")


def _put(context: typer.Context, said: list[Correction]) -> None:
    from service import wiring
    from service.corrections import check

    settings, store = _opened(context)
    check(said, wiring.model_settings(settings, wiring.model_registry(settings, "corrections")))
    store.add(said)


def _opened(context: typer.Context) -> tuple[Settings, Corrections]:
    from service import connections, wiring

    invocation: Invocation = context.obj
    settings = invocation.load().settings
    return settings, wiring.corrections(connections.postgres(settings, "corrections", pool_size=1))
