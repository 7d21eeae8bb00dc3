"""`groundswell feed`: a file of documents to Kafka."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from domain.document import Kind
from service.cli.app import Invocation, app


class FormatName(StrEnum):
    """What a file can be."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


@app.command(
    rich_help_panel="Try",
    epilog="Example: groundswell feed 2014.jsonl --kind comment --column published_at=created_at --speed 600x",
)
def feed(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSONL, CSV (both may be .gz) or Parquet; - is stdin.")],
    form: Annotated[
        FormatName | None, typer.Option("--format", help="Without it, what the name's ending says, else jsonl.")
    ] = None,
    kind: Annotated[Kind, typer.Option(help="What rows are that have no kind of their own.")] = Kind.NEWS,
    column: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=NAME", help="FIELD stands under NAME in the file; repeatable.")
    ] = None,
    speed: Annotated[
        str, typer.Option(metavar="60x|max", help="How many times faster than the documents' own dates.")
    ] = "1x",
    shift_to_now: Annotated[
        bool, typer.Option("--shift-to-now", help="Move all dates so that the last document is sent on its date.")
    ] = False,
    settle: Annotated[
        str, typer.Option(help="How much further than the last date event time goes at the end: 0s, 1h.")
    ] = "0s",
    undated: Annotated[
        bool, typer.Option("--undated", help="The rows have no dates: each is published when it is sent.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that can't be read.")] = False,
    id_prefix: Annotated[str, typer.Option(help="Put before every id, so that old documents count as new.")] = "",
) -> None:
    """Send a file of documents to Kafka in the order of their dates, then say that it has ended."""
    from service import connections, wiring
    from service.cli.progress import FeedBar
    from service.durations import parse_duration
    from stream.feed import FeedFormat, FeedPolicy, FeedSource, run_feed

    invocation: Invocation = context.obj
    settings = invocation.load().settings
    try:
        settled = parse_duration(settle)
    except ValueError as error:
        raise typer.BadParameter(f"--settle {error}, got {settle!r}") from error
    if undated and shift_to_now:
        raise typer.BadParameter(
            "--undated and --shift-to-now exclude each other: rows without dates have none to shift"
        )
    policy = FeedPolicy(
        topics=connections.source_topics(settings),
        kind=kind,
        columns=_columns(column or []),
        undated=undated,
        speed=_speed(speed),
        shift_to_now=shift_to_now,
        settle=settled,
        skip_bad=skip_bad,
        id_prefix=id_prefix,
        messages=wiring.message_limits(settings),
    )
    source = FeedSource(path=None if file == "-" else Path(file), format=FeedFormat(form.value) if form else None)
    with FeedBar(sys.stderr) as bar:
        summary = run_feed(connections.kafka(settings), source, policy, on_progress=bar.update, on_bad_row=bar.bad_row)
    rate = summary.documents / summary.seconds if summary.seconds else 0
    typer.echo(f"{summary.documents:,} documents in {summary.seconds:.1f} s ({rate:,.0f} a second)", err=True)
    if summary.bad:
        typer.echo(f"{summary.bad:,} rows could not be read and were left out", err=True)
    if summary.interrupted:
        typer.echo("interrupted: no end was marked, so event time stays where it is", err=True)
        raise typer.Exit(130)
    if summary.ended_at is None:
        typer.echo("there was nothing to send: no end was marked", err=True)


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise typer.BadParameter(f"--speed is a factor such as 1x, 60x or 0.5x, or max; got {text!r}")
    return speed


def _columns(pairs: list[str]) -> dict[str, str]:
    from stream.feed_rows import COLUMNS

    columns = {}
    for pair in pairs:
        field, equals, name = pair.partition("=")
        if not (field and equals and name):
            raise typer.BadParameter(f"--column is FIELD=NAME, such as published_at=created_at; got {pair!r}")
        if field not in COLUMNS:
            raise typer.BadParameter(f"documents have no field {field!r}; they have {', '.join(sorted(COLUMNS))}")
        columns[field] = name
    return columns
