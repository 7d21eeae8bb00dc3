"""Commands that run until they are told to stop: demo, up, worker, watch, serve."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from service.cli.app import Invocation, app

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where our own servers keep their data. Default: data_dir.")
]


class StageName(StrEnum):
    """The stages of the worker."""

    CLASSIFY = "classify"
    RECORD = "record"


@app.command(
    rich_help_panel="Run", epilog="Example: groundswell demo --keep    (start everything, feed the sample, stay)"
)
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end, until Ctrl-C.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="A folder of its own, emptied first. Default: demo in the user's data folder."),
    ] = None,
) -> None:
    """Show the main job on this machine: servers, sample stream, live table, alert, webhook.

    It reads no settings: it reaches no servers and no receivers but its own.
    """
    from service.demo import run

    raise typer.Exit(run(keep=keep, data_dir=data_dir))


@app.command(rich_help_panel="Run", epilog="Example: groundswell up --data-dir /var/lib/groundswell")
def up(context: typer.Context, data_dir: DataDir = None) -> None:
    """Run everything on this machine, and start again what ends.

    Runs its own Kafka, PostgreSQL and Valkey where the settings give no address, migrates, makes the topics, then runs
    both worker stages, the watcher and the API until SIGTERM or Ctrl-C.
    """
    from service.up import run_everything

    invocation: Invocation = context.obj
    loaded = invocation.load(data_dir=data_dir, find_running=False)
    run_everything(loaded, say=_say)


@app.command(rich_help_panel="Run", epilog="Example: groundswell worker --stage classify")
def worker(
    context: typer.Context,
    stage: Annotated[StageName | None, typer.Option(help="Only this stage; without it both, each a process.")] = None,
) -> None:
    """Classify what comes in, and record it."""
    invocation: Invocation = context.obj
    loaded = invocation.load()
    if stage is None:
        from service.up import run_worker_stages

        run_worker_stages(loaded, say=_say)
        return
    from service.processes import run_stage

    raise typer.Exit(run_stage(loaded.settings, stage.value))


@app.command(rich_help_panel="Run", epilog="Example: groundswell watch")
def watch(context: typer.Context) -> None:
    """Evaluate the rules as event time moves on, and call the receivers' webhooks."""
    from service.processes import run_watch

    invocation: Invocation = context.obj
    run_watch(invocation.load().settings)


@app.command(rich_help_panel="Run", epilog="Example: groundswell serve --port 8400")
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: http.host.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on. Default: http.port.")] = None,
) -> None:
    """Answer the HTTP API."""
    from service.processes import run_api

    invocation: Invocation = context.obj
    run_api(invocation.load(http__host=host, http__port=port).settings)


def _say(line: str) -> None:
    typer.echo(line, err=True)
