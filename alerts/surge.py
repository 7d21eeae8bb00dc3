"""The surge rule: far more negative documents on a subject than its own recent past leads to expect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from domain.alert import Severity
from domain.subject import Subject
from domain.timeline import MINUTE

_ROUNDING = 1e-9
"""Whole numbers are compared with a product of floats: exactly `height` times the baseline must count as reached."""


@dataclass(frozen=True, kw_only=True)
class SurgeRule:
    """When a surge is an alert. Durations are whole minutes. Raises ValueError naming the field that is wrong.

    A surge holds at a minute boundary b when, over [b − window, b), there are at least `min_count` negative documents
    on the subject, from at least `min_publishers` publishers, they are at least `min_share` of its documents, and
    they are at least `height` times what the baseline, the `baseline` before the window, leads to expect.
    """

    name: str
    severity: Severity = Severity.WARNING
    window: timedelta = timedelta(minutes=15)
    baseline: timedelta = timedelta(hours=24)
    min_baseline: timedelta = timedelta(hours=1)
    """How much of the baseline must have been observed for the rule to judge at all."""
    height: float = 3.0
    min_count: int = 10
    min_publishers: int = 3
    """A single wire item sent again and again is one voice, not a surge."""
    min_share: float = 0.5
    """The lowest share of negative documents, in [0, 1]: when all sorts of talk swell alike, it is no surge of
    negative opinion."""
    hold_for: timedelta = timedelta(minutes=1)
    """How long the condition must have held before the alert fires; it is pending until then."""
    resolve_after: timedelta = timedelta(minutes=5)
    """How long the condition must have been false before the alert resolves."""
    subjects: tuple[str, ...] = ("*",)
    """Which subjects are watched: shell patterns over their written form (`topic:*`, `entity:AAPL`)."""
    except_subjects: tuple[str, ...] = ()
    """Which of them are not."""
    receivers: tuple[str, ...] = ()
    """Names of the receivers that are told when it fires and when it resolves."""

    def __post_init__(self) -> None:
        self._require(bool(self.name.strip()), "name", "must not be empty")
        for field in ("window", "baseline", "min_baseline"):
            self._require_minutes(field, least=1)
        for field in ("hold_for", "resolve_after"):
            self._require_minutes(field, least=0)
        self._require(
            self.min_baseline <= self.baseline, "min_baseline", f"must not be longer than baseline ({self.baseline})"
        )
        self._require(0 < self.height < float("inf"), "height", "must be a number above 0")
        self._require(self.min_count >= 1, "min_count", "must be at least 1")
        self._require(self.min_publishers >= 1, "min_publishers", "must be at least 1")
        self._require(0 <= self.min_share <= 1, "min_share", "must be from 0 to 1")
        self._require(bool(self.subjects), "subjects", 'must name at least one pattern, for example "*"')
        for field in ("subjects", "except_subjects", "receivers"):
            texts = getattr(self, field)
            self._require(
                not isinstance(texts, str) and all(texts) and len(set(texts)) == len(texts),
                field,
                "must be a list of different, non-empty texts",
            )

    def _require(self, fine: bool, field: str, must: str) -> None:
        if not fine:
            raise ValueError(f"rule {self.name!r}: {field} {must}, got {getattr(self, field)!r}")

    def _require_minutes(self, field: str, *, least: int) -> None:
        value: timedelta = getattr(self, field)
        self._require(
            value >= least * MINUTE and value % MINUTE == timedelta(0),
            field,
            f"must be a whole number of minutes, at least {least}",
        )

    @property
    def window_minutes(self) -> int:
        """Length of the window in minutes."""
        return self.window // MINUTE

    @property
    def baseline_minutes(self) -> int:
        """Length of the whole baseline in minutes, observed or not."""
        return self.baseline // MINUTE

    def watches(self, subject: Subject) -> bool:
        """Whether the subject matches one of `subjects` and none of `except_subjects`."""
        text = str(subject)
        return any(fnmatchcase(text, pattern) for pattern in self.subjects) and not any(
            fnmatchcase(text, pattern) for pattern in self.except_subjects
        )


class Reason(StrEnum):
    """Why a surge holds at a boundary, or does not."""

    HOLDS = "holds"
    SUBJECT_EXCLUDED = "subject_excluded"
    TOO_FEW_NEGATIVE = "too_few_negative"
    SHARE_TOO_LOW = "share_too_low"
    BASELINE_TOO_SHORT = "baseline_too_short"
    NOT_ABOVE_BASELINE = "not_above_baseline"
    PUBLISHERS_NOT_COUNTED = "publishers_not_counted"
    """All else holds: count the publishers and decide again."""
    TOO_FEW_PUBLISHERS = "too_few_publishers"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one subject at one boundary."""

    count: int
    """Documents in the window."""
    negative: int
    """Negative ones among them."""
    expected: float | None
    """Negative documents that the baseline leads to expect in such a window; None when nothing was observed."""
    baseline_minutes: int
    """How many minutes of the baseline were observed."""
    publishers: int | None = None
    """Distinct publishers of the negative ones; None: not counted."""

    @property
    def negative_share(self) -> float:
        """Negative documents among all, in [0, 1]; 0 in an empty window."""
        return self.negative / self.count if self.count else 0.0


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Whether a surge holds, why, and on what numbers."""

    reason: Reason
    measured: Measured

    @property
    def holds(self) -> bool:
        """Whether the condition is true."""
        return self.reason is Reason.HOLDS


def expected_negative(rule: SurgeRule, baseline_negative: int, observed_minutes: int) -> float | None:
    """The baseline's negative documents per observed minute, times the window's minutes; None when it has none."""
    return baseline_negative * rule.window_minutes / observed_minutes if observed_minutes else None


def decide(rule: SurgeRule, subject: Subject, measured: Measured) -> Decision:
    """Whether a surge holds. The cheap questions come first; publishers are asked for only when all else holds."""
    return Decision(reason=_reason(rule, subject, measured), measured=measured)


def _reason(rule: SurgeRule, subject: Subject, measured: Measured) -> Reason:
    if not rule.watches(subject):
        return Reason.SUBJECT_EXCLUDED
    if measured.negative < rule.min_count:
        return Reason.TOO_FEW_NEGATIVE
    if measured.negative_share < rule.min_share:
        return Reason.SHARE_TOO_LOW
    if measured.expected is None or measured.baseline_minutes * MINUTE < rule.min_baseline:
        return Reason.BASELINE_TOO_SHORT
    if measured.negative + _ROUNDING < rule.height * measured.expected:
        return Reason.NOT_ABOVE_BASELINE
    if measured.publishers is None:
        return Reason.PUBLISHERS_NOT_COUNTED
    if measured.publishers < rule.min_publishers:
        return Reason.TOO_FEW_PUBLISHERS
    return Reason.HOLDS
