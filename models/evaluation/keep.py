"""Keeps what was found in the model folder: figures for the registry and the card, and the temperature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models import figures
from models.evaluation.report import Part, Report, Slice
from models.evaluation.robustness import Check
from models.folder import ModelSettings, read_settings, write_settings

ROBUSTNESS = "robustness"
SLICES = "slices"
_DIGITS = 4


def measured(report: Report) -> dict[str, figures.Measured]:
    """Each source's figures by `task/source`, as they are compared."""
    return {
        f"{report.task}/{source}": figures.Measured(
            task=report.task,
            data=part.digest,
            rows=part.rows,
            accuracy=part.headline.value,
            answered=part.answered,
        )
        for source, part in report.sources.items()
    }


def keep_figures(folder: Path, report: Report) -> None:
    """Write into the folder's settings, under `training`: `evaluation`, each source's figures (`models.figures`) by
    `task/source`; `slices` and `robustness`, by task. The model's version stays as it is."""
    for (name, one), part in zip(measured(report).items(), report.sources.values(), strict=True):
        figures.keep(folder, name, one, **_more(part))
    settings = read_settings(folder)
    kept = {SLICES: {name: _slice(part) for name, part in report.slices.items()}}
    if report.robustness:
        kept[ROBUSTNESS] = {check.name: _check(check) for check in report.robustness}
    training = {key: {**settings.training.get(key, {}), report.task: found} for key, found in kept.items()}
    write_settings(folder, replace(settings, training={**settings.training, **training}))


def keep_temperature(folder: Path, report: Report) -> ModelSettings:
    """Write the temperature that the report's rows say into the folder's settings, which makes it a new version.

    A temperature changes no answer, but how sure each is: of what the folder keeps of this task's sets, what the model
    said is put right where the report knows it, and otherwise goes. The watch over drift would take it for what the new
    version says."""
    settings = read_settings(folder)
    temperatures = {**settings.temperatures, report.task: _rounded(report.temperature_fitted)}
    training = dict(settings.training)
    if figures.KEY in training:
        training[figures.KEY] = {
            name: _at_fitted(kept, report) if kept["task"] == report.task else kept
            for name, kept in training[figures.KEY].items()
        }
    settings = replace(settings, temperatures=temperatures, training=training)
    write_settings(folder, settings)
    return settings


def _at_fitted(kept: Mapping[str, Any], report: Report) -> dict[str, Any]:
    fitted = {part.digest: part.answered_fitted for part in report.sources.values()}.get(kept["data"])
    rest = {key: value for key, value in kept.items() if key != "answered"}
    return rest if fitted is None else {**rest, "answered": fitted.as_json()}


def _more(part: Part) -> dict[str, Any]:
    more: dict[str, Any] = {
        "interval": [_rounded(part.headline.low), _rounded(part.headline.high)],
        "macro_f1": _rounded(part.figures["macro_f1"].value),
        "calibration_error": {
            "unscaled": _rounded(part.calibration.unscaled),
            "cross_fitted": _rounded(part.calibration.cross_fitted),
            "by_chance": _rounded(part.calibration.by_chance),
        },
    }
    if part.full_precision is not None:
        more["agreement"] = _rounded(part.full_precision.agreement)
        # A comparison takes a row of a multi-label task for right when all its labels are: that is no micro F1, which
        # stands for the accuracy there.
        if "accuracy" in part.figures:
            more["accuracy_full_precision"] = _rounded(part.full_precision.accuracy_second)
    return more


def _slice(part: Slice) -> dict[str, Any]:
    return {"rows": part.rows, "accuracy": _rounded(part.headline.value)}


def _check(check: Check) -> dict[str, Any]:
    value = None if check.value is None else _rounded(check.value)
    return {"texts": check.texts, "value": value, "limit": check.limit, "share": not check.groups}


def _rounded(value: float) -> float:
    return round(value, _DIGITS)
