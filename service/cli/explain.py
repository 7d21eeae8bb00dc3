"""`groundswell explain`: which words made the classifier's answer."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from service.cli.app import Invocation, app
from service.cli.extras import extra

if TYPE_CHECKING:
    from models.explain import Explanation

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MOST_WORDS = 10
_VISIBLE = 0.05
"""A word is coloured from this share of the strongest one's attribution on."""


@app.command(
    rich_help_panel="Model",
    epilog="Example: groundswell explain 'Lender plunges after fraud probe' --label negative",
)
def explain(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="One text.")],
    task: Annotated[
        str | None, typer.Option(help="Which of the model's tasks. Without it sentiment; with --entity that for them.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Explain this label. Without it the most probable one.")] = None,
    entity: Annotated[
        str | None, typer.Option(help="Explain what is said of this name (or symbol, as $SYMBOL) in the text.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="REF", help="A model. Without it the one in force, as for classify.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with every word.")] = False,
) -> None:
    """Which words speak for a label, and which against it (integrated gradients). Takes seconds."""
    with extra("train"):
        from models.explain import Explainer

    from service import wiring

    invocation: Invocation = context.obj
    explainer = Explainer.load(model or wiring.model_choice(invocation.load().settings).location)
    # Progress goes to stderr, so that the answer can be piped.
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        windows = bar.add_task("windows", total=None)
        explanation = explainer.explain(
            text,
            task=task,
            label=label,
            entity=entity,
            progress=lambda done, total: bar.update(windows, completed=done, total=total),
        )
    if as_json:
        typer.echo(json.dumps(asdict(explanation), ensure_ascii=False))
    else:
        _show(explanation, Console(file=sys.stdout, highlight=False, soft_wrap=True))


def _show(explanation: Explanation, console: Console) -> None:
    about = f" of {explanation.entity}" if explanation.entity else ""
    console.print(
        Text.assemble(
            (explanation.label, "bold"),
            f" {explanation.probabilities[explanation.label]:.3f} ({explanation.task}{about}, {explanation.model}, "
            f"{explanation.weights}; served: {explanation.served[explanation.label]:.3f})",
        )
    )
    if not explanation.words:
        console.print("there is no word in the text")
        return
    most = max(abs(word.attribution) for word in explanation.words)
    marked = Text(_shown(explanation.text))
    for word in explanation.words:
        if abs(word.attribution) > most * _VISIBLE:
            marked.stylize(_shade(word.attribution / most), word.start, word.end)
    console.print(marked)
    # In figures too: not everyone sees colours, and no pipe has them.
    strongest = sorted(explanation.words, key=lambda word: -abs(word.attribution))[:_MOST_WORDS]
    for word in strongest:
        console.print(Text(f"{word.attribution:+7.3f}  {_shown(word.word)}"))
    if len(explanation.words) > len(strongest):
        console.print(Text(f"{'…':>7}  and {len(explanation.words) - len(strongest)} words that count for less"))
    console.print(
        Text(
            f"All words together: {explanation.logit - explanation.baseline_logit:+.3f}, the logit "
            f"{explanation.logit:.3f} less that of {explanation.baseline} throughout "
            f"({explanation.steps} steps, off by {abs(explanation.delta):.1e})"
        )
    )


def _shown(text: str) -> str:
    """As long, so that words stay where they are: an escape sequence would change what the terminal shows of the
    rest."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _shade(share: float) -> str:
    """Blue for the label and orange against it (told apart by all common kinds of colour blindness), the fuller the
    more; `share` from −1 to 1."""
    rest = round(255 * (1 - abs(share)))
    if share > 0:
        return f"black on rgb({rest},{min(255, rest + 120)},255)"
    return f"black on rgb(255,{min(255, rest + 130)},{rest})"
