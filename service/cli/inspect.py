"""`groundswell config` and `groundswell doctor`: what is set, and whether it works."""

from __future__ import annotations

from typing import Annotated

import typer

from service.cli.app import Invocation, app


@app.command(rich_help_panel="Operate", epilog="Example: GROUNDSWELL_HTTP_PORT=8500 groundswell config")
def config(
    context: typer.Context,
    reference: Annotated[
        bool, typer.Option("--reference", help="Instead, describe every setting there is, in Markdown.")
    ] = False,
) -> None:
    """Show the effective settings with secrets masked, and where each comes from."""
    from service.show import effective, settings_reference

    invocation: Invocation = context.obj
    typer.echo(settings_reference() if reference else effective(invocation.load()), nl=False)


@app.command(rich_help_panel="Operate", epilog="Example: groundswell doctor")
def doctor(context: typer.Context) -> None:
    """Check each setting and each server: reachable or not, fit or not, and how to fix it. Exits with 1 when
    something is not."""
    from service.doctor import Verdict, examine

    invocation: Invocation = context.obj
    signs = {Verdict.FIT: "ok", Verdict.ODD: "note", Verdict.UNFIT: "FAIL"}
    failed = False
    for finding in examine(invocation.load()):
        typer.echo(f"{signs[finding.verdict]:5} {finding.subject}: {finding.text}")
        if finding.fix:
            typer.echo(f"      → {finding.fix}")
        failed |= finding.verdict is Verdict.UNFIT
    raise typer.Exit(1 if failed else 0)
