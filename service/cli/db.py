"""`groundswell db`: the schema of the history."""

from __future__ import annotations

import typer

from service.cli.app import Invocation, app

db = typer.Typer(no_args_is_help=True, help="Bring the history's schema up to date, and check it.")
app.add_typer(db, name="db", rich_help_panel="Operate", epilog="Example: groundswell db upgrade")


@db.command(epilog="Example: groundswell db upgrade")
def upgrade(context: typer.Context) -> None:
    """Bring the schema to this version's; does nothing when it is there already."""
    from store.postgres import migrate

    typer.echo(f"the schema is at {migrate.upgrade(_dsn(context))}")


@db.command(epilog="Example: groundswell db current")
def current(context: typer.Context) -> None:
    """Show which revision the schema is at, and which one this version needs."""
    from store.postgres import migrate

    revision = migrate.current(_dsn(context))
    typer.echo(f"the schema is at {revision or 'no revision'}; this version needs {migrate.head()}")


@db.command(epilog="Example: groundswell db check")
def check(context: typer.Context) -> None:
    """Prove that the schema is what this version expects; exit with 1 when it is not."""
    from store.postgres import migrate

    differences = migrate.check(_dsn(context))
    for difference in differences:
        typer.echo(difference)
    if differences:
        raise typer.Exit(1)
    typer.echo("the schema is what this version expects")


def _dsn(context: typer.Context) -> str:
    from service import connections

    invocation: Invocation = context.obj
    return connections.postgres_dsn(invocation.load().settings)
