"""`groundswell train`: fine-tune a classifier on labelled files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.app import Invocation, app
from service.cli.extras import extra
from service.cli.models import warn_if_pinned, you

if TYPE_CHECKING:
    from models.training.command import Request


@app.command(
    rich_help_panel="Model",
    epilog="Example: groundswell train --config train.yml --set epochs=3 --set optimiser.learning_rate=5e-5",
)
def train(
    context: typer.Context,
    config: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="The configuration (YAML), the name of a recipe that ships with us, or a model folder: what it was "
            "trained with.",
        ),
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
    refit: Annotated[
        bool,
        typer.Option(
            "--refit", help="Train the model in the folder --config again, on what it held out to be measured on, too."
        ),
    ] = False,
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
    with_corrections: Annotated[
        bool,
        typer.Option(
            "--with-corrections",
            help="Learn what people corrected, too; then promote the model if it beats the one in force.",
        ),
    ] = False,
    correction_weight: Annotated[
        float, typer.Option(min=0.01, help="With corrections: how often each is read in an epoch.")
    ] = 2.0,
    from_champion: Annotated[
        bool, typer.Option("--from-champion", help="With corrections: go on from the weights in force.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show what would be learnt.")] = False,
) -> None:
    """Fine-tune a classifier on your labels.

    A run that was stopped, however it was, goes on with the same command.
    """
    with extra("train"):
        from models.training.command import Request, execute
    request = Request(
        config=config,
        refit=refit,
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
    if with_corrections:
        _retrain(context.obj, request, weight=correction_weight, from_champion=from_champion)
    else:
        execute(request, typer.echo)


def _retrain(invocation: Invocation, request: Request, *, weight: float, from_champion: bool) -> None:
    if request.folds or request.search or request.audit or request.dry_run:
        raise typer.BadParameter("--with-corrections goes with none of --folds, --search, --audit and --dry-run")
    from models.load import find_folder
    from service import connections, wiring
    from service.entity_names import read_names
    from service.retraining import RetrainingPolicy, retrain
    from service.stream_models import ModelLoader

    settings = invocation.load().settings
    database = connections.postgres(settings, "train", pool_size=1)
    done = retrain(
        request,
        champion=find_folder(wiring.model_choice(settings).location),
        corrections=wiring.corrections(database),
        names=read_names(settings.classify.names_file),
        registry=wiring.model_registry(settings, "train"),
        loader=ModelLoader(settings),
        policy=RetrainingPolicy(weight=weight, from_champion=from_champion, by=you()),
        say=typer.echo,
    )
    typer.echo(f"{done.promotion.model} is in force, in place of {done.promotion.replaced or 'what ships'}")
    warn_if_pinned(settings)
