"""What an evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from models.drift import Distribution
from models.evaluation.answers import Reading
from models.evaluation.bootstrap import Interval
from models.evaluation.compare import Comparison
from models.evaluation.latency import Latency
from models.evaluation.metrics import LabelFigures
from models.evaluation.robustness import Check
from models.evaluation.selective import Selected
from models.folder import Kind


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration errors; see `calibration.error_of`."""

    unscaled: float
    """At temperature 1."""
    served: float
    """At the temperature in the model folder."""
    cross_fitted: float
    """At temperatures that were fitted on the task's other rows."""
    by_chance: float
    """What would be seen of a perfectly calibrated model that is as sure as this one at these temperatures."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the rows."""

    rows: int
    figures: Mapping[str, Interval]
    """accuracy (for a multi-label task micro_f1), macro_f1 and weighted_f1."""

    @property
    def headline(self) -> Interval:
        """The accuracy, or the micro F1."""
        return self.figures.get("accuracy") or self.figures["micro_f1"]


@dataclass(frozen=True, kw_only=True)
class Part(Slice):
    """All rows, or those of one source."""

    digest: str
    """Names the rows and their labels, whatever their order."""
    calibration: Calibration
    answered: Distribution | None
    """What the model said as it is served, right or wrong; of tasks with one label a text."""
    answered_fitted: Distribution | None
    """What it would have said at the report's `temperature_fitted`."""
    full_precision: Comparison | None = None
    """The model as it is served, and the same weights in full precision."""
    against: Comparison | None = None
    """This model, and another."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """How a model does on rows labelled for one task."""

    model: str
    """Name and version."""
    task: str
    kind: Kind
    labels: tuple[str, ...]
    stories: int
    resampled: str
    """Intervals are over resamples of this: story or row."""
    whole: Part
    sources: Mapping[str, Part]
    by_label: tuple[LabelFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows by true label, columns by answer; empty for a multi-label task."""
    temperature_served: float
    """What the model folder says."""
    temperature_fitted: float
    """What all the rows together say; it is not used in any figure here."""
    selective: tuple[Selected, ...]
    """Empty for a multi-label task."""
    slices: Mapping[str, Slice]
    names_not_found: int
    """Entity tasks: rows whose name the model did not find in the text; it answered for the whole text."""
    reading: Reading | None = None
    latency: Latency | None = None
    latency_full_precision: Latency | None = None
    robustness: tuple[Check, ...] = ()

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks of robustness that are past their limit."""
        return tuple(check for check in self.robustness if not check.holds)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a file."""
        checks = [{**asdict(check), "holds": check.holds} for check in self.robustness]
        return {**asdict(self), "robustness": checks}
