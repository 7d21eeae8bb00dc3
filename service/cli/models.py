"""`groundswell models`: which models there are, and which of them is in force."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.app import Invocation, app

if TYPE_CHECKING:
    from domain.ports import ModelRegistry
    from domain.registry import Promotion, RegisteredModel, TakeUp
    from service.settings import Settings

models = typer.Typer(no_args_is_help=True, help="Exchange the model without stopping: register, promote, roll back.")
app.add_typer(models, name="models", rich_help_panel="Operate", epilog="Example: groundswell models list")

By = Annotated[str | None, typer.Option(help="Who does it, for the record. Default: you, on this machine.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.")]


@models.command("list", epilog="Example: groundswell models list")
def list_(context: typer.Context) -> None:
    """Which model is in force and why, and which others are registered."""
    settings, registry = _opened(context)
    promoted = registry.promoted()
    for line in _in_force(settings, registry, promoted):
        typer.echo(line)
    for model in registry.models():
        sign = "*" if promoted and promoted[0].ref == model.ref else " "
        typer.echo(f"{sign} {model.ref}  {model.location}  {_accuracies(model) or 'not measured'}")
        for line in _reported(registry, model):
            typer.echo(f"    {line}")


@models.command(epilog="Example: groundswell models register /models/tone-2")
def register(
    context: typer.Context,
    folder: Annotated[str, typer.Argument(help="A model folder, fast or accurate.")],
) -> None:
    """Make a model known. The folder must lie at the same path wherever a classify worker runs."""
    from service import promotion

    _, registry = _opened(context)
    model = promotion.register(registry, folder)
    typer.echo(f"{model.ref} is registered, at {model.location} ({_accuracies(model) or 'not measured'})")


@models.command(epilog="Example: groundswell models promote tone@3f2a --reason 'better on headlines'")
def promote(
    context: typer.Context,
    model: Annotated[str, typer.Argument(metavar="NAME@VERSION", help="The version may be cut short.")],
    reason: Reason = "",
    by: By = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also when it is worse on an evaluation set; that goes on record.")
    ] = False,
) -> None:
    """Put a registered model in force: workers take it up between two batches, within seconds.

    Before that its folder is checked, it is loaded and asked, and compared with the model in force on the frozen
    evaluation sets that both were measured on.
    """
    from service import promotion
    from service.stream_models import ModelLoader

    settings, registry = _opened(context)
    done = promotion.promote(registry, ModelLoader(settings), model, by=by or you(), reason=reason, force=force)
    for compared in done.compared:
        typer.echo(str(compared))
    if not done.compared:
        typer.echo("not compared: it and the model in force share no frozen evaluation set")
    typer.echo(_told(done.promotion))
    warn_if_pinned(settings)


@models.command(epilog="Example: groundswell models rollback --reason 'calls every merger bad news'")
def rollback(context: typer.Context, reason: Reason = "", by: By = None) -> None:
    """Go back to the model that the newest promotion replaced; done again, further back."""
    from service import promotion

    settings, registry = _opened(context)
    typer.echo(_told(promotion.rollback(registry, by=by or you(), reason=reason)))
    warn_if_pinned(settings)


@models.command(epilog="Examples: groundswell models show; groundswell models show tone@3f2a")
def show(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="NAME@VERSION", help="Without it: the model in force, and the history.")
    ] = None,
) -> None:
    """All that is known of a model: where it is, its figures, when it was in force, what workers reported."""
    from service import promotion

    settings, registry = _opened(context)
    promoted = registry.promoted()
    history = registry.promotions(limit=50)
    if model is None:
        for line in _in_force(settings, registry, promoted):
            typer.echo(line)
        shown = promoted[0] if promoted else None
    else:
        shown = promotion.find(registry.models(), model)
        history = [one for one in history if shown.ref in (one.model, one.replaced)]
    if shown is not None:
        typer.echo(f"{shown.ref}  {shown.location}  registered {_at(shown.registered_at)}")
        for line in (*_figures(shown), *_reported(registry, shown)):
            typer.echo(f"  {line}")
    for one in history:
        typer.echo(_told(one))


def _opened(context: typer.Context) -> tuple[Settings, ModelRegistry]:
    from service import wiring

    invocation: Invocation = context.obj
    settings = invocation.load().settings
    return settings, wiring.model_registry(settings, "models")


def _in_force(settings: Settings, registry: ModelRegistry, promoted: Sequence[RegisteredModel]) -> Iterator[str]:
    from models.load import DEFAULT_MODEL
    from service.model_in_force import Why, in_force

    found = in_force(settings, promoted)
    if found.why is Why.PROMOTED:
        newest = next(one for one in registry.promotions(limit=1000) if one.model == promoted[0].ref)
        yield f"in force: {_told(newest)}"
    else:
        yield f"in force: {found.location or DEFAULT_MODEL}, {found.why}"
    if found.why is Why.PINNED:
        followed = str(promoted[0].ref) if promoted else "nothing"
        yield f"  the registry, which has {followed} promoted, is not followed: take model.ref out of the settings"


def _told(one: Promotion) -> str:
    what = "promoted" if one.undoes is None else "back in force"
    model = one.model or "the model of the settings"
    because = f": {one.reason}" if one.reason else ""
    forced = ", by force" if one.forced else ""
    return f"{model}, {what} {_at(one.at)} by {one.by}{forced}, in place of {one.replaced or 'what ships'}{because}"


def _reported(registry: ModelRegistry, model: RegisteredModel) -> Iterator[str]:
    """What each worker said last of this model since it was promoted last."""
    since = next((one.at for one in registry.promotions(limit=1000) if one.model == model.ref), None)
    newest: dict[str, TakeUp] = {}
    for up in registry.take_ups(limit=1000):
        if since is not None and up.model == model.ref and up.at >= since:
            newest.setdefault(up.worker, up)
    if taken := [up.at for up in newest.values() if up.error is None]:
        yield f"taken up by {len(taken)} worker{'' if len(taken) == 1 else 's'}, last {_at(max(taken))}"
    for worker, up in newest.items():
        if up.error is not None:
            yield f"NOT taken up by {worker}, which goes on with the one it had: {up.error} ({_at(up.at)})"


def _accuracies(model: RegisteredModel) -> str:
    from models import figures

    read = figures.read(model.figures)
    return ", ".join(f"{name} {one.accuracy:.3f}" for name, one in read.items())


def _figures(model: RegisteredModel) -> Iterator[str]:
    from models import figures

    for name, one in figures.read(model.figures).items():
        yield f"{name}: {one.task} accuracy {one.accuracy:.4f} on {one.rows:,} rows ({one.data})"


def warn_if_pinned(settings: Settings) -> None:
    """Say so where a promotion changes nothing."""
    if settings.model.ref is not None:
        typer.echo(
            f"note: model.ref pins {settings.model.ref} here; workers with that setting do not follow the registry",
            err=True,
        )


def you() -> str:
    """Who calls the command, and where: `ann@desk-3`."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}Z"
