"""`groundswell train`: fine-tune a classifier on labelled files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from domain.errors import PermanentError
from service.cli.app import app


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show what would be learnt.")] = False,
) -> None:
    """Fine-tune a classifier on your labels.

    A run that was stopped, however it was, goes on with the same command.
    """
    from models.training.configure import read_config

    policy = read_config(config, changes or ())
    try:
        from models.training import run
    except ImportError as error:
        raise PermanentError(
            f"training needs more libraries ({error.name}): pip install 'groundswell[train]'"
        ) from error
    here = data_dir or (Path(config).parent if Path(config).is_file() else Path())
    if dry_run:
        run.dry_run(policy, data_dir=here, report=typer.echo)
        return
    result = run.train(
        policy, out=out or Path(policy.name), data_dir=here, resume=resume, device=device, report=typer.echo
    )
    typer.echo(f"{result.settings.ref} is in {result.folder}")
