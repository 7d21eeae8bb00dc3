"""The outbox: notifications that wait to be sent, each leased to at most one sender at a time."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from domain.alert import Claimed, Delivery, Notification, Transition
from store.postgres.connection import Postgres
from store.tables import delivery, notification


class PostgresOutbox:
    """domain.ports.Outbox. Thread-safe; any number of processes may claim side by side."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def claim(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        token = secrets.token_hex(16)
        earlier = notification.alias("earlier")
        in_turn = ~sa.exists().where(
            earlier.c.fingerprint == notification.c.fingerprint,
            earlier.c.starts_at == notification.c.starts_at,
            earlier.c.receiver == notification.c.receiver,
            earlier.c.notification_id < notification.c.notification_id,
            earlier.c.due_at.is_not(None),
        )
        due = (
            sa.select(notification.c.notification_id)
            .where(notification.c.due_at <= now, in_turn)
            .order_by(notification.c.due_at, notification.c.notification_id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=notification)
            .cte("due")
        )
        claim = (
            sa.update(notification)
            .where(notification.c.notification_id.in_(sa.select(due.c.notification_id)))
            .values(due_at=now + lease, attempts=notification.c.attempts + 1, lease_token=token)
            .returning(notification)
        )
        with self._postgres.transaction() as connection:
            rows = connection.execute(claim).all()
        return [
            Claimed(
                notification=Notification(
                    webhook_id=row.webhook_id,
                    receiver=row.receiver,
                    transition=Transition(row.transition),
                    payload=bytes(row.payload),
                ),
                fingerprint=row.fingerprint,
                starts_at=row.starts_at,
                attempt=row.attempts,
                lease_token=token,
            )
            for row in sorted(rows, key=lambda row: row.notification_id)
        ]

    def settle(self, claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
        message = claimed.notification
        ended = delivery.outcome.value if next_attempt_at is None else None
        with self._postgres.transaction() as connection:
            connection.execute(_attempt(delivery))
            settled = connection.execute(
                sa.update(notification)
                .where(
                    notification.c.webhook_id == message.webhook_id,
                    notification.c.receiver == message.receiver,
                    notification.c.lease_token == claimed.lease_token,
                )
                .values(due_at=next_attempt_at, outcome=ended, lease_token=None)
            )
        return settled.rowcount == 1

    def next_due(self) -> datetime | None:
        with self._postgres.transaction() as connection:
            due: datetime | None = connection.execute(sa.select(sa.func.min(notification.c.due_at))).scalar_one()
            return due

    def waiting(self) -> int:
        query = sa.select(sa.func.count()).where(notification.c.due_at.is_not(None))
        with self._postgres.transaction() as connection:
            count: int = connection.execute(query).scalar_one()
            return count


def _attempt(made: Delivery) -> sa.Insert:
    return sa.insert(delivery).values(
        webhook_id=made.webhook_id,
        fingerprint=made.fingerprint,
        receiver=made.receiver,
        attempt=made.attempt,
        outcome=made.outcome.value,
        status_code=made.status_code,
        error=made.error,
        at=made.at,
        duration=made.duration,
    )
