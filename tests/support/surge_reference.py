"""What the surge rule says, worked out the slow and obvious way: at every boundary everything is added up again.

It shares no code with the watcher but the rule itself, and serves as the truth for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from alerts.surge import SurgeRule
from domain.alert import AlertStatus
from domain.classification import Label, ScoredDocument
from domain.subject import Subject, sentiments_of
from domain.timeline import MINUTE, Minute, minute_of, start_of


@dataclass(frozen=True)
class Said:
    """One document on one subject."""

    minute: Minute
    subject: Subject
    negative: bool
    publisher: str | None


@dataclass(kw_only=True)
class Expected:
    """An alert as it should have become."""

    rule: str
    subject: Subject
    starts_at: datetime
    baseline: float
    baseline_minutes: int
    status: AlertStatus = AlertStatus.PENDING
    fired_at: datetime | None = None
    ends_at: datetime | None = None
    clear_since: datetime | None = None
    value: float = 0


def reference(rules: Sequence[SurgeRule], documents: Iterable[ScoredDocument], through: datetime) -> list[Expected]:
    """All alerts up to the watermark `through`, by start, rule and subject."""
    said = [one for scored in documents for one in _said(scored)]
    found: list[Expected] = []
    if said:
        for rule in rules:
            for subject in sorted({one.subject for one in said}):
                found += _lives(rule, subject, said, minute_of(through))
    return sorted(found, key=lambda alert: (alert.starts_at, alert.rule, alert.subject))


def _said(scored: ScoredDocument) -> Iterator[Said]:
    for subject, sentiment in sentiments_of(scored):
        negative = sentiment.label is Label.NEGATIVE
        yield Said(minute_of(scored.document.published_at), subject, negative, scored.document.publisher)


def _lives(rule: SurgeRule, subject: Subject, said: list[Said], last: Minute) -> Iterator[Expected]:
    window, baseline = rule.window // MINUTE, rule.baseline // MINUTE
    held_since: Minute | None = None
    false_since: Minute | None = None
    alert: Expected | None = None
    for boundary in range(min(one.minute for one in said) + 1, last + 1):
        in_window = [one for one in said if one.subject == subject and boundary - window <= one.minute < boundary]
        before = [one for one in said if boundary - window - baseline <= one.minute < boundary - window]
        negative = [one for one in in_window if one.negative]
        observed = _observed({one.minute for one in before}, boundary - window)
        rate = sum(one.negative for one in before if one.subject == subject) * window
        expected = (rate / observed if observed else None) if alert is None else alert.baseline
        holds = (
            rule.watches(subject)
            and len(negative) >= rule.min_count
            and len({one.publisher for one in negative}) >= rule.min_publishers
            and len(negative) >= rule.min_share * len(in_window)
            and (observed if alert is None else alert.baseline_minutes) * MINUTE >= rule.min_baseline
            and expected is not None
            and len(negative) + 1e-9 >= rule.height * expected
        )
        if alert is None:
            if not holds:
                continue
            assert expected is not None
            held_since, false_since = boundary, None
            alert = Expected(
                rule=rule.name,
                subject=subject,
                starts_at=start_of(boundary),
                baseline=expected,
                baseline_minutes=observed,
            )
        alert.value = len(negative)
        false_since = None if holds else false_since or boundary
        alert.clear_since = None if false_since is None else start_of(false_since)
        if alert.status is AlertStatus.PENDING and false_since is not None:
            alert = None
        elif alert.status is AlertStatus.PENDING and held_since is not None:
            if (boundary - held_since) * MINUTE >= rule.hold_for:
                alert.status, alert.fired_at = AlertStatus.FIRING, start_of(boundary)
        elif false_since is not None and (boundary - false_since) * MINUTE >= rule.resolve_after:
            alert.status, alert.ends_at = AlertStatus.RESOLVED, start_of(boundary)
            yield alert
            alert = None
    if alert is not None:
        yield alert


def _observed(minutes: set[Minute], end: Minute) -> int:
    hours = {minute // 60 for minute in minutes}
    return sum(minute // 60 in hours for minute in range(min(minutes), end)) if minutes else 0
