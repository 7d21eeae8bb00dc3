"""Keeps what was found in the model folder: figures for the registry and the card, and the temperature."""

from __future__ import annotations

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
    """Write the temperature that the report's rows say into the folder's settings, which makes it a new version."""
    settings = read_settings(folder)
    temperatures = {**settings.temperatures, report.task: _rounded(report.temperature_fitted)}
    settings = replace(settings, temperatures=temperatures)
    write_settings(folder, settings)
    return settings


def _more(part: Part) -> dict[str, Any]:
    more: dict[str, Any] = {
        "interval": [_rounded(part.headline.low), _rounded(part.headline.high)],
        "macro_f1": _rounded(part.figures["macro_f1"].value),
        "calibration_error": {
            "unscaled": _rounded(part.calibration.unscaled),
            "cross_fitted": _rounded(part.calibration.cross_fitted),
        },
    }
    if part.full_precision is not None:
        more["accuracy_full_precision"] = _rounded(part.full_precision.accuracy_second)
        more["agreement"] = _rounded(part.full_precision.agreement)
    return more


def _slice(part: Slice) -> dict[str, Any]:
    return {"rows": part.rows, "accuracy": _rounded(part.headline.value)}


def _check(check: Check) -> dict[str, Any]:
    value = None if check.value is None else _rounded(check.value)
    return {"texts": check.texts, "value": value, "limit": check.limit, "share": not check.groups}


def _rounded(value: float) -> float:
    return round(value, _DIGITS)
