"""`groundswell dead-letters`: what could not be processed, why, and sending it back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from service.cli.app import Invocation, app
from service.cli.readable import readable

if TYPE_CHECKING:
    from stream.dead_letter_tools import DeadLetters, LetterFilter, StoredLetter

dead_letters = typer.Typer(no_args_is_help=True, help="Look at messages that could not be processed; send them back.")
app.add_typer(
    dead_letters, name="dead-letters", rich_help_panel="Operate", epilog="Example: groundswell dead-letters list"
)

Reason = Annotated[str | None, typer.Option(help="Only of this reason, such as not_json.")]
Stage = Annotated[str | None, typer.Option(help="Only of this stage: classify or record.")]
Topic = Annotated[str | None, typer.Option(help="Only from this topic.")]
Since = Annotated[datetime | None, typer.Option(help="Only those stored since then (UTC).")]


@dead_letters.command("list", epilog="Example: groundswell dead-letters list --reason not_json --limit 50")
def list_letters(
    context: typer.Context,
    reason: Reason = None,
    stage: Stage = None,
    topic: Topic = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 20,
) -> None:
    """The newest dead letters, and how many there are of each reason."""
    found = _letters(context).recent(_which(reason, stage, topic, since), limit=limit)
    for stored in found.letters:
        letter = stored.letter
        typer.echo(
            f"{stored.place}  {stored.stored_at:%Y-%m-%dT%H:%M:%SZ}  {readable(letter.stage)}  "
            f"{readable(letter.reason)}  attempt {letter.attempt}  "
            f"{readable(letter.topic)}:{letter.partition}:{letter.offset}  {readable(letter.message)}"
        )
    reasons = "".join(f", {count} {readable(name)}" for name, count in sorted(found.reasons.items()))
    typer.echo(f"{found.total} dead letter{'' if found.total == 1 else 's'}{reasons}")


@dead_letters.command(epilog="Example: groundswell dead-letters show 0:17")
def show(
    context: typer.Context,
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `list` shows it.")],
) -> None:
    """One dead letter whole: why, its key, its headers and its value."""
    partition, offset = _place(place)
    stored = _letters(context).at(partition, offset)
    for line in _describe(stored):
        typer.echo(line)


@dead_letters.command(epilog="Example: groundswell dead-letters replay --reason date_ahead")
def replay(
    context: typer.Context,
    places: Annotated[
        list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET]…", help="Which; without them all that match.")
    ] = None,
    reason: Reason = None,
    stage: Stage = None,
    topic: Topic = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, when nothing else says which.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
) -> None:
    """Send dead letters back to the topics that they came from, unchanged."""
    which = _which(reason, stage, topic, since)
    filtered = any(value is not None for value in (reason, stage, topic, since))
    if sum((bool(places), filtered, everything)) != 1:
        raise typer.BadParameter("say which: PARTITION:OFFSET…, or --reason, --stage, --topic, --since, or --all")
    wanted = [_place(place) for place in places] if places else which
    letters = _letters(context)
    with Console(stderr=True).status("Looking for them …") as status:
        summary = letters.replay(wanted, again=again, on_progress=lambda sent: status.update(f"{sent:,} sent back"))
    typer.echo(f"{summary.replayed} sent back, {summary.skipped} were sent back before")
    if summary.impossible:
        typer.echo(
            f"{summary.impossible} can't be sent back: their topic is unknown, or their value was not kept", err=True
        )


def _letters(context: typer.Context) -> DeadLetters:
    from service import wiring

    invocation: Invocation = context.obj
    return wiring.dead_letters(invocation.load().settings)


def _which(reason: str | None, stage: str | None, topic: str | None, since: datetime | None) -> LetterFilter:
    from stream.dead_letter_tools import LetterFilter

    return LetterFilter(reason=reason, stage=stage, topic=topic, since=since.replace(tzinfo=UTC) if since else None)


def _place(text: str) -> tuple[int, int]:
    partition, colon, offset = text.partition(":")
    if not (colon and partition.isdecimal() and offset.isdecimal()):
        raise typer.BadParameter(f"a place is written PARTITION:OFFSET, such as 0:17, got {text!r}")
    return int(partition), int(offset)


def _describe(stored: StoredLetter) -> list[str]:
    letter = stored.letter
    return [
        f"place:    {stored.place}, stored at {stored.stored_at:%Y-%m-%dT%H:%M:%SZ}",
        f"from:     {readable(letter.topic)}, partition {letter.partition}, offset {letter.offset}",
        f"refused:  {letter.at:%Y-%m-%dT%H:%M:%SZ} by {readable(letter.stage)}, attempt {letter.attempt}",
        f"reason:   {readable(letter.reason)}",
        f"message:  {readable(letter.message)}",
        f"key:      {readable(letter.key)}",
        *(f"header:   {readable(name)}: {readable(value)}" for name, value in letter.headers),
        f"value:    {readable(letter.value)}",
    ]
