"""Renders the model card: what people say of a model (a YAML file of facts), and what its folder says."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from domain.errors import InvalidInput
from models import figures
from models.evaluation.keep import ROBUSTNESS, SLICES
from models.folder import Kind, ModelSettings
from models.refit import sister_of
from models.training.strict import read

CARDS = Path(__file__).parent / "cards"
"""The facts of the models that ship, by name."""
CARD_FILE = "README.md"
_WIDTH = 120


@dataclass(frozen=True, kw_only=True)
class Data:
    """One set, or one model, that went into it."""

    name: str
    used_for: str
    licence: str
    rows: int | None = None


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What no figure tells."""

    title: str
    """What it is, in a sentence or two."""
    licence: str
    """Its own; an identifier of the Hugging Face hub."""
    data: tuple[Data, ...]
    split: str
    limits: tuple[str, ...]
    retrain: str
    """One command."""
    base_model: str | None = None
    tags: tuple[str, ...] = ()
    data_note: str = ""
    retrain_note: str = ""


def read_facts(path: Path) -> Facts:
    """Raises InvalidInput, naming the file or the option, when it can't be read or is wrong."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput("model_card", f"cannot read {path}: {' '.join(str(error).split())}") from error
    return read(Facts, raw, str(path))


def facts_of(name: str) -> Facts:
    """Those of a model that ships. Raises InvalidInput when there are none."""
    path = CARDS / f"{name}.yml"
    if not path.exists():
        raise InvalidInput("model_card", f"a card of {name!r} needs --facts FILE (see docs/evaluation.md)")
    return read_facts(path)


def write_card(folder: Path, settings: ModelSettings, facts: Facts) -> Path:
    """Write the card into the model folder, in place of the one there."""
    path = folder / CARD_FILE
    path.write_text(render(settings, facts), encoding="utf-8")
    return path


def render(settings: ModelSettings, facts: Facts) -> str:
    """YAML front matter and Markdown, as the Hugging Face hub has it. Follows from its arguments alone."""
    sections = (
        f"---\n{yaml.safe_dump(_front_matter(settings, facts), sort_keys=False, allow_unicode=True)}---",
        f"# {settings.name}",
        _wrapped(facts.title),
        "\n".join(_tasks(settings)),
        "## Data and licences",
        "\n".join(_data(facts)),
        _wrapped(facts.data_note),
        "## Split",
        _wrapped(" ".join([facts.split, *_texts(settings)])),
        "## Figures on the held-out stories",
        _wrapped(" ".join(_sister(settings))),
        "\n".join(_figures(settings)),
        _FIGURES_NOTE,
        *_robustness(settings),
        "## Limits",
        "\n".join(_wrapped(limit, bullet="- ") for limit in facts.limits),
        "## Train it again",
        f"    {facts.retrain}",
        _wrapped(facts.retrain_note),
    )
    return "\n\n".join(section.strip("\n") for section in sections if section) + "\n"


_FIGURES_NOTE = """\
Served is what the commands run, on processors the int8 model. In brackets: where 95 % of bootstrap resamples by story
lie. Macro F1 is over the labels that occur; of a multi-label task the accuracy is its micro F1. Calibration error: mean
|accuracy − confidence| over 15 bins of equal mass; before temperature scaling, with temperatures fitted on other
held-out stories, and what so many rows would show of a perfectly calibrated model."""


def _front_matter(settings: ModelSettings, facts: Facts) -> dict[str, Any]:
    measured = figures.read(settings.training.get(figures.KEY, {}))
    results = [
        {
            "task": {"type": "text-classification", "name": one.task},
            "dataset": {"type": name, "name": f"{name}, held-out stories"},
            "metrics": [{"type": "accuracy", "value": one.accuracy}],
        }
        for name, one in measured.items()
    ]
    return {
        "license": facts.licence,
        "language": list(settings.languages),
        **({"base_model": facts.base_model} if facts.base_model else {}),
        "pipeline_tag": "text-classification",
        "library_name": "transformers",
        "tags": list(facts.tags),
        **({"model-index": [{"name": settings.name, "results": results}]} if results else {}),
    }


def _tasks(settings: ModelSettings) -> Iterator[str]:
    yield "| task | kind | labels | temperature |"
    yield "|---|---|---|---|"
    for task, labels in settings.tasks.items():
        names = ", ".join(label.replace("|", "\\|") for label in labels)
        kind, temperature = settings.kinds.get(task, Kind.SINGLE), settings.temperatures.get(task, 1.0)
        yield f"| {task} | {kind} | {names} | {temperature:g} |"


def _texts(settings: ModelSettings) -> Iterator[str]:
    counts = settings.training.get("texts")
    if not counts:
        return
    if sister := sister_of(settings):
        hers = sister["texts"]
        yield (
            f"{counts['training']:,} texts were trained on: all. Its sister was trained on {hers['training']:,} of "
            f"them, {hers['held_out']:,} held out."
        )
    else:
        yield f"{counts['training']:,} texts were trained on, {counts['held_out']:,} held out."


def _sister(settings: ModelSettings) -> Iterator[str]:
    if sister := sister_of(settings):
        yield (
            f"All figures below are of its sister {sister['model']}, which was trained alike, but not on the held-out "
            "stories. This model has learnt these too, so that nothing is left to measure it on."
        )


def _data(facts: Facts) -> Iterator[str]:
    yield "| set | rows | used for | licence |"
    yield "|---|---|---|---|"
    for one in facts.data:
        yield f"| {one.name} | {'' if one.rows is None else f'{one.rows:,}'} | {one.used_for} | {one.licence} |"


def _figures(settings: ModelSettings) -> Iterator[str]:
    kept: Mapping[str, Any] = settings.training.get(figures.KEY, {})
    if not kept:
        yield "It has not been measured."
        return
    yield (
        "| set | rows | accuracy, served | accuracy, full precision | the two agree | macro F1 "
        "| calibration error | after scaling | by chance |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, one in kept.items():
        low, high = one["interval"]
        exact = f"{one['accuracy_full_precision']:.3f}" if "accuracy_full_precision" in one else ""
        agreement = f"{one['agreement']:.1%}" if "agreement" in one else ""
        error = one["calibration_error"]
        chance = f"{error['by_chance']:.3f}" if "by_chance" in error else ""
        yield (
            f"| {name} | {one['rows']:,} | {one['accuracy']:.3f} [{low:.3f}, {high:.3f}] | {exact} | {agreement} "
            f"| {one['macro_f1']:.3f} | {error['unscaled']:.3f} | {error['cross_fitted']:.3f} | {chance} |"
        )
    for task, parts in settings.training.get(SLICES, {}).items():
        listed = "; ".join(f"{name} {part['accuracy']:.3f} ({part['rows']:,})" for name, part in parts.items())
        yield ""
        yield _wrapped(f"Accuracy of {task} on parts (rows): {listed}.")


def _robustness(settings: ModelSettings) -> Iterator[str]:
    kept: Mapping[str, Any] = settings.training.get(ROBUSTNESS, {})
    if not kept:
        return
    yield "## Robustness and bias"
    lines = ["| task | what is changed | texts | figure | limit | |", "|---|---|---|---|---|---|"]
    for task, checks in kept.items():
        for name, check in checks.items():
            value, limit = check["value"], check["limit"]
            shown = "{:.1%}".format if check["share"] else "{:.3f}".format
            verdict = "" if limit is None or value is None else "holds" if value <= limit else "**past its limit**"
            lines.append(
                f"| {task} | {name} | {check['texts']:,} | {'–' if value is None else shown(value)} "
                f"| {'–' if limit is None else shown(limit)} | {verdict} |"
            )
    yield "\n".join(lines)
    yield _ROBUSTNESS_NOTE


_ROBUSTNESS_NOTE = """\
Shares of answers that flip when the text is changed so; polarity gaps are the largest difference of mean polarity
(positive − negative) between groups of names in the same sentences. `docs/evaluation.md` says how each is measured."""


def _wrapped(text: str, *, bullet: str = "") -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=bullet,
        subsequent_indent=" " * len(bullet),
        break_long_words=False,
        break_on_hyphens=False,
    )
