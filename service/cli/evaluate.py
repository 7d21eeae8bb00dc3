"""`groundswell evaluate`: how good a model is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from domain.errors import PermanentError
from service.cli.app import app
from service.cli.extras import extra
from service.cli.measuring import label_map, progress_bar

if TYPE_CHECKING:
    from models.evaluation.card import Facts
    from models.evaluation.opened import Opened
    from models.evaluation.report import Report


@app.command(
    rich_help_panel="Model",
    epilog=(
        "Examples: groundswell evaluate MODEL --data labelled.jsonl --task sentiment --map bearish=negative; "
        "groundswell evaluate MODEL --data-dir DATA --robustness --check"
    ),
)
def evaluate(
    model: Annotated[str, typer.Argument(help="A model folder, fast or accurate, or a checkpoint of the hub.")],
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="Labelled rows: JSON lines or CSV.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="In place of --data: what the model's training held out of its files, which are here."),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="With --data-dir: the training configuration, if the folder keeps none."),
    ] = None,
    task: Annotated[str | None, typer.Option(help="Which of the model's tasks.")] = None,
    against: Annotated[str | None, typer.Option(metavar="OTHER", help="Hold it against a second model.")] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FROM=TO", help="A label in FILE and what it is called; FROM= leaves it out."),
    ] = None,
    text_column: Annotated[str, typer.Option(help="The column of the text.")] = "text",
    label_column: Annotated[str, typer.Option(help="The column of the label.")] = "label",
    entity_column: Annotated[str, typer.Option(help="Entity tasks: the column of the name.")] = "entity",
    source_column: Annotated[str | None, typer.Option(help="A column of sources, to be told apart.")] = None,
    by: Annotated[
        Literal["story", "row"], typer.Option(help="What the resamples behind the intervals draw.")
    ] = "story",
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also change tickers, names, letters and case, and measure bias.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with 1 when robustness is past a limit; implies --robustness.")
    ] = False,
    full_precision: Annotated[
        bool, typer.Option(help="Hold int8 against full precision, where torch is installed.")
    ] = True,
    fit_temperature: Annotated[
        bool, typer.Option("--fit-temperature", help="Store the temperature that these rows say in the model folder.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Store the figures in the model folder.")] = False,
    card: Annotated[
        bool, typer.Option("--card", help="Write the model card (README.md) from them; implies --keep.")
    ] = False,
    refitted: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="FOLDER",
            help="Store it all in this folder instead: MODEL trained again on everything (train --refit).",
        ),
    ] = None,
    facts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the card says beside figures (YAML). Default: a shipped model's."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All figures, by task.")] = None,
    confusion: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Draw the confusion matrix.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of resamples and folds.")] = 0,
) -> None:
    """How good a model is: accuracy and F1 with intervals, calibration, speed, robustness."""
    if (data is None) == (data_dir is None):
        raise typer.BadParameter("give --data FILE, or --data-dir DIR for what the model's training held out")
    from models.evaluation import opened as opening
    from models.evaluation.evaluate import Policy, Unit
    from models.evaluation.evaluate import evaluate as measure
    from models.evaluation.text import text

    opened = opening.open_model(model, device=device)
    other = opening.open_model(against, device=device) if against else None
    exact = opening.in_full_precision(opened) if full_precision else None
    # Found and read before anything is measured: that takes minutes.
    store = _Store.open(opened, refitted=refitted, temperature=fit_temperature, keep=keep, card=card, facts=facts)
    if data is not None:
        name = opening.only_task(opened.settings, task)
        columns = opening.Columns(text=text_column, label=label_column, entity=entity_column, source=source_column)
        asked = {name: opening.questions_of_file(opened, data, name, columns=columns, label_map=label_map(maps or []))}
    elif data_dir is not None:
        tasks = list(opened.settings.tasks) if task is None else [opening.only_task(opened.settings, task)]
        with extra("train"):
            asked = opening.questions_held_out(opened, data_dir, tasks, config=config)
    if other is not None:
        for name in asked:
            opening.check_same_labels(opened, other, name)
    reports: dict[str, Report] = {}
    for name, questions in asked.items():
        if known := opened.knows(questions):
            typer.echo(f"{name}: {known}", err=True)
        with progress_bar() as progress:
            reports[name] = measure(
                opened.classifier,
                questions,
                temperature=opened.temperature(name),
                full_precision=exact,
                against=other.classifier if other else None,
                policy=Policy(unit=Unit(by), seed=seed, robustness=robustness or check),
                progress=progress,
            )
        typer.echo(text(reports[name]) + "\n")
    # First what is lost otherwise: a file that can't be written is named only now.
    if store is not None:
        store.write(reports)
    _write(reports, json_file, confusion)
    failed = [f"{one.name} ({name})" for name, report in reports.items() for one in report.failed]
    if check and failed:
        typer.echo(f"past their limits: {', '.join(failed)}", err=True)
        raise typer.Exit(1)


def _write(reports: Mapping[str, Report], json_file: Path | None, confusion: Path | None) -> None:
    if json_file is not None:
        figures = {name: report.as_json() for name, report in reports.items()}
        _write_text(json_file, json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    if confusion is not None:
        from models.evaluation.picture import draw_confusion

        for name, report in reports.items():
            path = confusion if len(reports) == 1 else confusion.with_stem(f"{confusion.stem}-{name}")
            if report.confusion:
                draw_confusion(path, report.confusion, report.labels, title=f"{name}\n{report.model}")


def _write_text(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise PermanentError(f"cannot write {path}: {error.strerror}") from error


@dataclass(frozen=True, kw_only=True)
class _Store:
    """What is to be stored in the model folder."""

    folder: Path
    refitted: bool
    """Whether the folder holds what was measured, trained again on everything."""
    temperature: bool
    keep: bool
    facts: Facts | None
    """Of the card, if one is wanted."""

    @classmethod
    def open(
        cls, model: Opened, *, refitted: Path | None, temperature: bool, keep: bool, card: bool, facts: Path | None
    ) -> _Store | None:
        """None when nothing is."""
        from models.evaluation.card import facts_of, read_facts
        from models.folder import read_settings
        from models.refit import check_sisters

        if not (temperature or keep or card):
            if refitted is not None:
                raise typer.BadParameter("--for needs --keep, --card or --fit-temperature: what is to be stored there")
            return None
        if refitted is not None:
            check_sisters(read_settings(refitted), model.settings)
        said = (read_facts(facts) if facts else facts_of(model.settings.name)) if card else None
        return cls(
            folder=refitted or model.folder,
            refitted=refitted is not None,
            temperature=temperature,
            keep=keep or card,
            facts=said,
        )

    def write(self, reports: Mapping[str, Report]) -> None:
        from models.evaluation.card import write_card
        from models.evaluation.keep import keep_figures, keep_temperature
        from models.folder import read_settings

        found = str(read_settings(self.folder).ref)
        for report in reports.values():
            if not self.refitted and report.model != found:
                raise PermanentError(
                    f"{self.folder} holds {found} now, and {report.model} was measured: nothing is stored; "
                    "measure again"
                )
        for report in reports.values():
            if self.keep:
                keep_figures(self.folder, report)
            if self.temperature:
                settings = keep_temperature(self.folder, report)
                typer.echo(f"{report.task} has temperature {settings.temperatures[report.task]:g} now: {settings.ref}")
        if self.facts is not None:
            typer.echo(f"wrote {write_card(self.folder, read_settings(self.folder), self.facts)}")
