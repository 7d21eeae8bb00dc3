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


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two models on one task.

    What counts is the mean accuracy over the sets: one set alone is too small to tell (the accuracy of 0.88 on 1,000
    rows is known to ±0.02).
    """

    task: str
    sets: tuple[tuple[str, float, float], ...]
    """Name, accuracy of the challenger, accuracy of the champion; at least one."""

    @property
    def challenger(self) -> float:
        """Mean accuracy."""
        return fmean(accuracy for _, accuracy, _ in self.sets)

    @property
    def champion(self) -> float:
        """Mean accuracy."""
        return fmean(accuracy for _, _, accuracy in self.sets)

    @property
    def is_worse(self) -> bool:
        """Whether the challenger is."""
        return self.challenger < self.champion

    def __str__(self) -> str:
        sets = ", ".join(f"{name} {ours:.3f} for {theirs:.3f}" for name, ours, theirs in self.sets)
        return f"{self.task}: accuracy {self.challenger:.4f}, the champion has {self.champion:.4f} ({sets})"


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


def compare(challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> list[Compared]:
    """Two models on the frozen sets that both were measured on, task by task; empty when they share none. Raises
    InvalidInput (`bad_figures`) when the figures of one are damaged."""
    theirs = {(one.task, one.data): one for one in read(champion).values()}
    shared: dict[str, list[tuple[str, float, float]]] = defaultdict(list)
    for name, ours in read(challenger).items():
        if (other := theirs.get((ours.task, ours.data))) is not None:
            shared[ours.task].append((name, ours.accuracy, other.accuracy))
    return [Compared(task=task, sets=tuple(sets)) for task, sets in shared.items()]


def _read_one(name: str, raw: Any) -> Measured:
    try:
        return Measured(
            task=str(raw["task"]),
            data=str(raw["data"]),
            rows=int(raw["rows"]),
            accuracy=float(raw["accuracy"]),
            answered=Distribution.from_json(raw["answered"]) if "answered" in raw else None,
        )
    except (KeyError, TypeError, ValueError, InvalidInput) as error:
        raise InvalidInput("bad_figures", f"the figures on {name} are damaged: {error!r}; measure again") from error
