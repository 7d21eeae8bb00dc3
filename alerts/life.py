"""The life of an alert: pending, firing, resolved. Pure: what a decision at a boundary makes of an alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from alerts.surge import Decision, SurgeRule
from domain.alert import Alert, AlertStatus
from domain.subject import Subject


class Move(StrEnum):
    """What a boundary did to an alert."""

    NONE = "none"
    """There is none, and none began."""
    STARTED = "started"
    """The condition began to hold; the baseline is frozen from here on."""
    HELD = "held"
    FIRED = "fired"
    CLEARING = "clearing"
    """It fires still, but the condition is false."""
    RESOLVED = "resolved"
    FORGOTTEN = "forgotten"
    """The condition lapsed before the alert fired."""


def live(
    rule: SurgeRule, subject: Subject, alert: Alert | None, at: datetime, decision: Decision
) -> tuple[Alert | None, Move]:
    """Take the open alert of a rule and subject (None: none is open) through the boundary `at`.

    Returns the alert as it is then, None when there is none any more, and what happened. It fires at the boundary at
    which the condition has held for `rule.hold_for` and resolves at the one at which it has been false for
    `rule.resolve_after`; a resolved alert is returned once more, and is open no longer.
    """
    if alert is None:
        if not decision.holds:
            return None, Move.NONE
        alert = _start(rule, subject, at, decision)
        return _fire(alert, at) if not rule.hold_for else (alert, Move.STARTED)
    alert = replace(alert, value=float(decision.measured.negative))
    if decision.holds:
        alert = replace(alert, clear_since=None)
        if alert.status is AlertStatus.PENDING and at - alert.starts_at >= rule.hold_for:
            return _fire(alert, at)
        return alert, Move.HELD
    if alert.status is AlertStatus.PENDING:
        return alert, Move.FORGOTTEN
    alert = replace(alert, clear_since=alert.clear_since or at)
    if alert.clear_since is not None and at - alert.clear_since >= rule.resolve_after:
        return _resolve(alert, at)
    return alert, Move.CLEARING


def retire(alert: Alert, at: datetime) -> tuple[Alert, Move]:
    """End an open alert whose rule is gone from the settings: nobody would ever resolve it."""
    return (alert, Move.FORGOTTEN) if alert.status is AlertStatus.PENDING else _resolve(alert, at)


def _start(rule: SurgeRule, subject: Subject, at: datetime, decision: Decision) -> Alert:
    measured = decision.measured
    if measured.expected is None:
        raise ValueError("a surge cannot hold without a baseline")
    return Alert(
        rule=rule.name,
        subject=subject,
        severity=rule.severity,
        status=AlertStatus.PENDING,
        starts_at=at,
        value=float(measured.negative),
        baseline=measured.expected,
        baseline_minutes=measured.baseline_minutes,
    )


def _fire(alert: Alert, at: datetime) -> tuple[Alert, Move]:
    return replace(alert, status=AlertStatus.FIRING, fired_at=at), Move.FIRED


def _resolve(alert: Alert, at: datetime) -> tuple[Alert, Move]:
    return replace(alert, status=AlertStatus.RESOLVED, ends_at=at), Move.RESOLVED
