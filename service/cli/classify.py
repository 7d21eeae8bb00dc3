"""`groundswell classify`: what the classifier says of a text."""

from __future__ import annotations

import io
import json
import sys
from typing import Annotated

import typer

from service.cli.app import Invocation, app


@app.command(
    rich_help_panel="Try",
    epilog="Examples: groundswell classify 'Example Corp cuts its forecast'; cat lines.txt | groundswell classify -",
)
def classify(
    context: typer.Context,
    texts: Annotated[list[str], typer.Argument(metavar="TEXT…|-", help="Texts, or - for one text a line on stdin.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with all probabilities.")] = False,
) -> None:
    """Topic and sentiment of texts."""
    from service import wiring

    if texts == ["-"]:
        lines = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
        texts = [line.rstrip("\n") for line in lines if line.strip()]
    if not any(text.strip() for text in texts):
        raise typer.BadParameter("there is no text to classify")
    invocation: Invocation = context.obj
    classifier = wiring.classifier(invocation.load().settings)
    for text, classification in zip(texts, classifier.classify(texts), strict=True):
        sentiment = classification.sentiment
        if as_json:
            tasks = {task: dict(labels) for task, labels in classification.tasks.items()}
            answer = {"text": text, "tasks": tasks, "model": str(classification.model)}
            typer.echo(json.dumps(answer, ensure_ascii=False))
        else:
            typer.echo(f"{sentiment.label.value:8}  {sentiment.polarity:+.2f}  {classification.topic:26}  {text}")
