"""`groundswell classify`: what the classifier says of a text."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from domain.classification import SENTIMENT, Classification
from service.cli.app import Invocation, app


@app.command(
    rich_help_panel="Try",
    epilog="Examples: groundswell classify 'Example Corp cuts its forecast'; cat lines.txt | groundswell classify -; "
    "groundswell classify --entity ACME=Acme --entity EXMP='Example Corp' 'Acme gains on Example Corp'; "
    "groundswell classify --model accurate 'Apple beats, Samsung warns'",
)
def classify(
    context: typer.Context,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT…|-", help="Texts, or - for one text a line on stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all probabilities.")] = False,
    entities: Annotated[
        list[str] | None,
        typer.Option("--entity", metavar="SYMBOL=NAME", help="Also what is said of a symbol by its name."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="REF", help="A model. Without it the one in force.")] = None,
) -> None:
    """Topic and sentiment of texts."""
    from service import wiring

    if texts == ["-"]:
        lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
        texts = [line.rstrip("\n") for line in lines if line.strip()]
    if not any(text.strip() for text in texts):
        raise typer.BadParameter("there is no text to classify")
    names = _names(entities or ())
    invocation: Invocation = context.obj
    classifier = wiring.classifier(invocation.load().settings, model)
    for text, answer in zip(texts, classifier.classify(texts, [names] * len(texts)), strict=True):
        typer.echo(_as_json(text, answer) if as_json else "\n".join(_lines(text, answer)))


def _names(given: Sequence[str]) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for one in given:
        symbol, equals, name = one.partition("=")
        if not (symbol and equals and name):
            raise typer.BadParameter(f"--entity wants SYMBOL=NAME, got {one!r}")
        names.setdefault(symbol, []).append(name)
    return names


def _as_json(text: str, answer: Classification) -> str:
    said: dict[str, object] = {"text": text, "tasks": {task: dict(scores) for task, scores in answer.tasks.items()}}
    if answer.entities:
        said["entities"] = {symbol: dict(scores) for symbol, scores in answer.entities.items()}
    return json.dumps(said | {"model": str(answer.model)}, ensure_ascii=False)


def _lines(text: str, answer: Classification) -> Iterator[str]:
    """What a model says: its sentiment and topic if it has them, else the likeliest label of each task."""
    said = []
    for task, scores in answer.tasks.items():
        if task == SENTIMENT:
            said.append(f"{answer.sentiment.label.value:8}  {answer.sentiment.polarity:+.2f}")
        else:
            said.append(f"{max(scores, key=lambda label: scores[label]):26}")
    yield "  ".join([*said, text])
    for symbol in answer.entities:
        sentiment = answer.sentiment_of(symbol)
        yield f"{sentiment.label.value:8}  {sentiment.polarity:+.2f}  of {symbol}"
