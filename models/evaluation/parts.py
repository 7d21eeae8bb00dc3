"""Figures of parts of the questions: all of them, those of one source, a slice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.drift import Distribution
from models.evaluation.bootstrap import Interval, Resamples, by_row
from models.evaluation.calibration import at_temperature, cross_fitted, error_by_chance, error_of, fit_temperature
from models.evaluation.compare import Comparison, compare
from models.evaluation.metrics import decide, macro_f1, micro_f1, weighted_f1
from models.evaluation.questions import Questions
from models.evaluation.report import Calibration, Part, Slice
from models.evaluation.slices import slices
from models.folder import Kind


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a model said of the questions."""

    name: str
    scores: NDArray[np.float64]
    """Probabilities of shape (rows, labels)."""


class Parts:
    """Measures any rows of one set of answered questions."""

    def __init__(
        self,
        questions: Questions,
        answered: Answered,
        *,
        temperature: float,
        units: Sequence[int],
        seed: int,
        full_precision: Answered | None,
        against: Answered | None,
    ) -> None:
        """`units` has a number for each row: what resamples draw."""
        multi = questions.multi
        self._questions = questions
        self._answered = answered
        self._answers = decide(answered.scores, multi=multi)
        self._units = np.asarray(units)
        self._seed = seed
        self._full_precision = full_precision
        self._against = against
        # Exact for texts of one window; of several, the served score is a mean of scaled ones.
        self._unscaled = at_temperature(answered.scores, 1 / temperature, multi=multi)
        self._cross_fitted = cross_fitted(self._unscaled, questions.truth, questions.stories, multi=multi, seed=seed)
        self.temperature_fitted = fit_temperature(self._unscaled, questions.truth, multi=multi)
        """What all the rows together say."""
        self._fitted = at_temperature(self._unscaled, self.temperature_fitted, multi=multi)

    def whole(self) -> Part:
        """Of all rows."""
        return self._part(np.ones(len(self._questions), dtype=np.bool_))

    def by_source(self) -> dict[str, Part]:
        """Of each source's rows."""
        sources = np.array(self._questions.sources)
        return {source: self._part(np.asarray(sources == source)) for source in sorted(set(self._questions.sources))}

    def by_slice(self) -> dict[str, Slice]:
        """By length, ticker, and for an entity task by whether the names in a text have the same label; without empty
        ones."""
        rows_of = slices(self._questions.texts)
        if self._questions.kind is Kind.ENTITY:
            conflicting = self._questions.conflicting
            rows_of |= {"one label in the text": ~conflicting, "several labels in the text": conflicting}
        return {
            name: Slice(rows=int(rows.sum()), figures=self._figures(rows))
            for name, rows in rows_of.items()
            if rows.any()
        }

    def _part(self, rows: NDArray[np.bool_]) -> Part:
        return Part(
            rows=int(rows.sum()),
            digest=self._questions.digest(rows),
            figures=self._figures(rows),
            calibration=Calibration(
                unscaled=self._error(self._unscaled, rows),
                served=self._error(self._answered.scores, rows),
                cross_fitted=self._error(self._cross_fitted, rows),
                by_chance=error_by_chance(self._cross_fitted[rows], multi=self._questions.multi, seed=self._seed),
            ),
            answered=self._distribution(self._answered.scores, rows),
            answered_fitted=self._distribution(self._fitted, rows),
            full_precision=self._compared(rows, self._full_precision),
            against=self._compared(rows, self._against),
        )

    def _figures(self, rows: NDArray[np.bool_]) -> dict[str, Interval]:
        resamples = Resamples(self._units[rows], seed=self._seed)
        counts = by_row(self._questions.truth[rows], self._answers[rows])
        return {
            "micro_f1" if self._questions.multi else "accuracy": resamples.interval(micro_f1, counts),
            "macro_f1": resamples.interval(macro_f1, counts),
            "weighted_f1": resamples.interval(weighted_f1, counts),
        }

    def _error(self, scores: NDArray[np.float64], rows: NDArray[np.bool_]) -> float:
        return error_of(scores[rows], self._questions.truth[rows], multi=self._questions.multi)

    def _distribution(self, scores: NDArray[np.float64], rows: NDArray[np.bool_]) -> Distribution | None:
        if self._questions.multi:
            return None
        labels = self._questions.labels
        return Distribution.count(dict(zip(labels, row, strict=True)) for row in scores[rows].tolist())

    def _compared(self, rows: NDArray[np.bool_], other: Answered | None) -> Comparison | None:
        if other is None:
            return None
        first, second = self._answered.scores[rows], other.scores[rows]
        multi = self._questions.multi
        return compare(
            (self._answered.name, other.name),
            self._questions.truth[rows],
            (first, second),
            (decide(first, multi=multi), decide(second, multi=multi)),
            Resamples(self._units[rows], seed=self._seed),
        )
