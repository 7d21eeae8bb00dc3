"""`groundswell train`: fine-tune a classifier on labelled files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from service.cli.app import app
from service.cli.extras import extra


@app.command(
    rich_help_panel="Model",
    epilog="Example: groundswell train --config train.yml --set epochs=3 --set optimiser.learning_rate=5e-5",
)
def train(
    config: Annotated[
        str, typer.Option(metavar="FILE", help="The configuration (YAML), or the name of a recipe that ships with us.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="The model folder to write. Default: the model's name, in the working folder.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the labelled files are. Default: the folder of the configuration."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change an option of the configuration; may be repeated."),
    ] = None,
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--fresh",
            help="Go on from the last checkpoint, or start over and replace OUT. Default: go on where there is one.",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    distil_from: Annotated[
        list[Path] | None,
        typer.Option(help="A teacher to learn from, or a folder of teachers; may be repeated."),
    ] = None,
    unlabelled: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Texts that the teachers label; may be repeated."),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="Train K teachers instead, OUT/fold-0 and on, each on all stories but those of its fold."
        ),
    ] = None,
    search: Annotated[
        int | None,
        typer.Option(metavar="N", help="Try N sets of values of search.space instead, and write OUT/best.yml."),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the labels that teachers contradict out of fold instead, as JSON lines."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show what would be learnt.")] = False,
) -> None:
    """Fine-tune a classifier on your labels.

    A run that was stopped, however it was, goes on with the same command.
    """
    with extra("train"):
        from models.training.command import Request, execute
    request = Request(
        config=config,
        out=out,
        data_dir=data_dir,
        changes=changes or (),
        resume=resume,
        device=device,
        distil_from=distil_from or (),
        unlabelled=unlabelled or (),
        folds=folds,
        search=search,
        audit=audit,
        dry_run=dry_run,
    )
    execute(request, typer.echo)
