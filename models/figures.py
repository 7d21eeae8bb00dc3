"""How good a model is, as it stands in its folder: by frozen evaluation set, under `training.evaluation`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from domain.errors import InvalidInput
from models.drift import Distribution
from models.folder import read_settings, write_settings

KEY = "evaluation"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """How a model did on one evaluation set."""

    task: str
    data: str
    """Names the frozen set: the hex digest of its rows. Only figures on the same set are compared."""
    rows: int
    accuracy: float
    answered: Distribution | None = None
    """What it said, right or wrong; None when nobody kept it."""

    def as_json(self) -> dict[str, Any]:
        """As it stands in the folder and in the registry."""
        kept: dict[str, Any] = {
            "task": self.task,
            "data": self.data,
            "rows": self.rows,
            "accuracy": round(self.accuracy, 4),
        }
        return kept if self.answered is None else {**kept, "answered": self.answered.as_json()}


def keep(folder: Path, name: str, measured: Measured, **more: Any) -> None:
    """Write the figures on the set `name` into the model folder, in place of earlier ones on a set of that name. `more`
    is for people. The model's version stays as it is."""
    settings = read_settings(folder)
    evaluation = {**settings.training.get(KEY, {}), name: {**more, **measured.as_json()}}
    write_settings(folder, replace(settings, training={**settings.training, KEY: evaluation}))


def of_folder(folder: Path) -> Mapping[str, Any]:
    """The figures in a model folder, as the registry keeps them; empty when it was never measured. Raises
    PermanentError when the folder can't be read."""
    kept: Mapping[str, Any] = read_settings(folder).training.get(KEY, {})
    return kept


def read(figures: Mapping[str, Any]) -> dict[str, Measured]:
    """Figures by the name of the set. Raises InvalidInput (`bad_figures`), naming the set, when they are damaged."""
    return {name: _read_one(name, raw) for name, raw in figures.items()}


def reference(figures: Mapping[str, Any]) -> dict[str, Distribution]:
    """What the model said on its evaluation sets, by task; without the tasks of which nobody kept it."""
    found: dict[str, Distribution] = {}
    for measured in read(figures).values():
        if measured.answered is not None:
            known = found.get(measured.task)
            found[measured.task] = measured.answered if known is None else known + measured.answered
    return found


def worse(challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> list[str]:
    """Why the challenger is worse, one line for each task; empty when it isn't, or when they share no set.

    Of a task, the mean accuracy over the frozen sets that both were measured on must not be lower: one set alone is
    too small to tell (the accuracy of 0.88 on 1,000 rows is known to ±0.02).
    """
    theirs = {(one.task, one.data): one for one in read(champion).values()}
    pairs: dict[str, list[tuple[str, Measured, Measured]]] = defaultdict(list)
    for name, ours in read(challenger).items():
        if (other := theirs.get((ours.task, ours.data))) is not None:
            pairs[ours.task].append((name, ours, other))
    found = []
    for task, measured in pairs.items():
        mean = fmean(ours.accuracy for _, ours, _ in measured)
        before = fmean(other.accuracy for _, _, other in measured)
        if mean < before:
            sets = ", ".join(f"{name} {ours.accuracy:.3f} for {other.accuracy:.3f}" for name, ours, other in measured)
            found.append(f"{task}: accuracy {mean:.4f}, the champion has {before:.4f} ({sets})")
    return found


def _read_one(name: str, raw: Any) -> Measured:
    try:
        return Measured(
            task=str(raw["task"]),
            data=str(raw["data"]),
            rows=int(raw["rows"]),
            accuracy=float(raw["accuracy"]),
            answered=Distribution.from_json(raw["answered"]) if "answered" in raw else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("bad_figures", f"the figures on {name} are damaged: {error!r}; measure again") from error
