"""`groundswell compress`: make a model smaller, and see what that costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from domain.errors import PermanentError
from service.cli.app import app
from service.cli.extras import extra
from service.cli.measuring import label_map, progress_bar

if TYPE_CHECKING:
    from models.compression import Outcome
    from models.compression.data import Labelled


@app.command(
    rich_help_panel="Model",
    epilog=(
        "Examples: groundswell compress MODEL --out MODEL --data labelled.jsonl --task sentiment; "
        "groundswell compress MODEL --out small --data-dir DATA --drop-layers 3 --prune-heads 0.25 --recover-epochs 5"
    ),
)
def compress(
    model: Annotated[str, typer.Argument(help="A model folder, fast or accurate.")],
    out: Annotated[Path, typer.Option(help="The folder to write; MODEL itself, or another model, is replaced.")],
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="[TASK=]FILE", help="Labelled rows, JSON lines or CSV, to learn from; may be repeated."),
    ] = None,
    held_out: Annotated[
        list[str] | None,
        typer.Option(metavar="[TASK=]FILE", help="Labelled rows to measure with. Without it a tenth of --data."),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="In place of --data: the files that the model was trained with are here.")
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With --data-dir: the training configuration, if the folder keeps none."),
    ] = None,
    task: Annotated[str, typer.Option(help="Of files without a task before their name.")] = "sentiment",
    maps: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FROM=TO", help="A label in the files and what it is called; FROM= leaves it out."
        ),
    ] = None,
    text_column: Annotated[str, typer.Option(help="The column of the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column of the label.")] = "label",
    entity_column: Annotated[str, typer.Option(help="Entity tasks: the column of the name.")] = "entity",
    drop_layers: Annotated[int, typer.Option(metavar="N", help="Take out so many layers.")] = 0,
    keep: Annotated[
        Literal["first", "spread"], typer.Option(help="Which layers stay: the lowest, or evenly spread ones.")
    ] = "first",
    layers: Annotated[
        str | None, typer.Option(metavar="0,2,4", help="In place of --drop-layers: the layers that stay, from 0.")
    ] = None,
    prune_heads: Annotated[
        float, typer.Option(metavar="SHARE", help="Take out this share of the attention heads, the least important.")
    ] = 0.0,
    recover_epochs: Annotated[
        int, typer.Option(help="How long what is left learns, from labels and from the whole model.")
    ] = 3,
    learning_rate: Annotated[float, typer.Option(help="Of recovery.")] = 5e-5,
    batch_size: Annotated[int, typer.Option(help="Of recovery.")] = 32,
    bf16: Annotated[bool, typer.Option("--bf16", help="Mixed precision in recovery.")] = False,
    int8: Annotated[bool, typer.Option("--int8/--full-precision", help="What processors are served from.")] = True,
    max_loss: Annotated[
        float, typer.Option(help="The most accuracy that any task may lose, as a share of the rows.")
    ] = 0.003,
    force: Annotated[bool, typer.Option("--force", help="Write the model whatever it loses.")] = False,
    resume: Annotated[
        bool | None,
        typer.Option("--resume/--fresh", help="Go on with a recovery that was stopped, or start over. Default: go on."),
    ] = None,
    device: Annotated[str, typer.Option(help="Where recovery runs: cpu, cuda or auto.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of recovery, and of the texts that are drawn.")] = 0,
) -> None:
    """Make a model smaller: fewer layers, fewer heads, int8. Says what it cost, and replaces none that lost too much.

    A run that was stopped, however it was, goes on with the same command.
    """
    if bool(data) == (data_dir is not None):
        raise typer.BadParameter("give --data FILE, or --data-dir DIR for the files that the model was trained with")
    if held_out and data_dir is not None:
        raise typer.BadParameter("--held-out goes with --data: with --data-dir it is known what was held out")
    with extra("train"):
        from models.compression import Keep, Policy, put_back
        from models.compression import compress as run
        from models.compression.data import of_files, of_training
    from models.folder import read_settings
    from models.load import find_folder

    policy = Policy(
        drop_layers=drop_layers,
        keep=Keep(keep),
        layers=None if layers is None else _numbers(layers),
        prune_heads=prune_heads,
        recover_epochs=recover_epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        bf16=bf16,
        int8=int8,
        max_loss=max_loss,
        force=force,
        seed=seed,
    )
    put_back(out)
    folder = find_folder(model)
    settings = read_settings(folder)
    if data:
        files = [*_files(data, task, held_out=False), *_files(held_out or [], task, held_out=True)]
        columns = {"text": text_column, "label": label_column, "entity": entity_column}
        corpus = of_files(settings, files, label_map=label_map(maps or []), **columns)
    else:
        corpus = of_training(settings, config=config)
    with progress_bar() as progress:
        outcome = run(
            folder,
            out=out,
            config=corpus,
            data_dir=data_dir or Path(),
            policy=policy,
            resume=resume,
            device=device,
            report=typer.echo,
            progress=progress,
        )
    _show(outcome)
    if outcome.refused:
        raise PermanentError(
            f"not put in place: a task loses {outcome.loss:.4f}, more than --max-loss {max_loss:g}; "
            f"{out} is as it was, and what was made is in {outcome.folder} (--force replaces it all the same)"
        )
    typer.echo(f"{outcome.after} is in {outcome.folder}")


def _show(outcome: Outcome) -> None:
    table = Table("", "before", "after", "change", "same answer", box=None, pad_edge=False)
    for column in table.columns[1:3]:
        column.justify = "right"
    old, new, speed = outcome.size_before, outcome.size_after, outcome.speed
    for name, before, after in (
        ("parameters, million", old.parameters, new.parameters),
        ("file that processors run, MB", old.served_bytes, new.served_bytes),
        ("folder, MB", old.folder_bytes, new.folder_bytes),
    ):
        table.add_row(name, f"{before / 1e6:.1f}", f"{after / 1e6:.1f}", f"× {after / before:.2f}")
    table.add_row("texts per second", f"{speed.texts_before:,.0f}", f"{speed.texts_after:,.0f}", f"× {speed.ratio:.2f}")
    for task, quality in outcome.quality.items():
        lost = quality.comparison.difference
        table.add_row(
            f"accuracy, {task}",
            f"{quality.before.value:.4f}",
            f"{quality.after.value:.4f}",
            f"{0 - lost.value:+.4f} ({0 - lost.high:+.4f} to {0 - lost.low:+.4f})",
            f"{quality.comparison.agreement:.1%} of {quality.rows}",
        )
    # A pipe has no width: what is read by a program should not be wrapped.
    Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(table)
    typer.echo("Speed on the processor, both in turn; in brackets where 95 of 100 resamples of the stories lie.")


def _numbers(written: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in written.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"--layers is written 0,2,4, got {written!r}") from error


def _files(written: Sequence[str], task: str, *, held_out: bool) -> Iterator[Labelled]:
    from models.compression.data import Labelled

    for one in written:
        before, sign, file = one.partition("=")
        if sign and not Path(one).exists():
            yield Labelled(file=Path(file), task=before, held_out=held_out)
        else:
            yield Labelled(file=Path(one), task=task, held_out=held_out)
