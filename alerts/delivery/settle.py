"""Settle: write down what came of an attempt, and when the next one is due."""

from __future__ import annotations

from datetime import datetime

from alerts.delivery.schedule import Verdict
from alerts.delivery.send import Answer
from domain.alert import Claimed, Delivery
from domain.ports import Outbox


def describe(claimed: Claimed, answer: Answer, verdict: Verdict, at: datetime) -> Delivery:
    """The row of an attempt that began at `at`."""
    return Delivery(
        webhook_id=claimed.notification.webhook_id,
        fingerprint=claimed.fingerprint,
        receiver=claimed.notification.receiver,
        attempt=claimed.attempt,
        outcome=verdict.outcome,
        status_code=answer.status,
        error=answer.error,
        at=at,
        duration=answer.duration,
    )


def settle(outbox: Outbox, claimed: Claimed, delivery: Delivery, verdict: Verdict) -> bool:
    """Write it. False when the lease was lost meanwhile: whoever holds it now decides. Raises what the outbox does."""
    return outbox.settle(claimed, delivery, next_attempt_at=verdict.next_attempt_at)
