"""Alerts, and how far the rules have been evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from domain.alert import Alert, AlertChange, AlertStatus, Severity
from domain.errors import Conflict
from domain.ports import WatchState
from domain.subject import Subject, SubjectKind
from domain.timeline import Minute, minute_of, start_of
from store.postgres import evidence
from store.postgres.connection import Postgres
from store.tables import alert, notification, watch


class PostgresAlertStore:
    """domain.ports.AlertStore. Thread-safe."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def load(self) -> WatchState:
        with self._postgres.transaction(snapshot=True) as connection:
            through = connection.execute(sa.select(watch.c.evaluated_through)).scalar_one_or_none()
            rows = connection.execute(
                sa.select(alert)
                .where(alert.c.status != AlertStatus.RESOLVED.value)
                .order_by(alert.c.starts_at, alert.c.fingerprint)
            )
            return WatchState(
                evaluated_through=None if through is None else minute_of(through),
                open_alerts=tuple(alert_of(row) for row in rows),
            )

    def save(self, *, expected: Minute | None, evaluated_through: Minute, changes: Sequence[AlertChange]) -> None:
        with self._postgres.transaction() as connection:
            _move(connection, expected, evaluated_through)
            for change in changes:
                if change.forgotten:
                    connection.execute(sa.delete(alert).where(*_is(change.alert)))
                else:
                    _put(connection, change)


def alert_of(row: Any) -> Alert:
    """The alert in a row of the `alert` table."""
    return Alert(
        rule=row.rule,
        subject=Subject(SubjectKind(row.subject_kind), row.subject_name),
        severity=Severity(row.severity),
        status=AlertStatus(row.status),
        starts_at=row.starts_at,
        fired_at=row.fired_at,
        ends_at=row.ends_at,
        clear_since=row.clear_since,
        value=row.value,
        baseline=row.baseline,
        baseline_minutes=row.baseline_minutes,
        evidence=None if row.evidence is None else evidence.from_json(row.evidence),
    )


def _move(connection: sa.Connection, expected: Minute | None, evaluated_through: Minute) -> None:
    """Compare and set, under the lock of the only row."""
    connection.execute(insert(watch).on_conflict_do_nothing())
    found = connection.execute(sa.select(watch.c.evaluated_through).with_for_update()).scalar_one()
    actual = None if found is None else minute_of(found)
    if actual != expected:
        raise Conflict(f"the rules are evaluated through minute {actual}, not {expected}: another watcher was here")
    connection.execute(
        sa.update(watch).values(evaluated_through=start_of(evaluated_through), recorded_at=sa.func.now())
    )


def _put(connection: sa.Connection, change: AlertChange) -> None:
    one = change.alert
    values = {
        "fingerprint": one.fingerprint,
        "rule": one.rule,
        "subject_kind": one.subject.kind.value,
        "subject_name": one.subject.name,
        "severity": one.severity.value,
        "status": one.status.value,
        "starts_at": one.starts_at,
        "fired_at": one.fired_at,
        "ends_at": one.ends_at,
        "clear_since": one.clear_since,
        "value": one.value,
        "baseline": one.baseline,
        "baseline_minutes": one.baseline_minutes,
        "evidence": sa.null() if one.evidence is None else evidence.to_json(one.evidence),
    }
    statement = insert(alert).values(values)
    kept = {name: statement.excluded[name] for name in values if name not in ("fingerprint", "starts_at")}
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[alert.c.fingerprint, alert.c.starts_at], set_={**kept, "recorded_at": sa.func.now()}
        )
    )
    for message in change.notifications:
        connection.execute(
            insert(notification)
            .values(
                webhook_id=message.webhook_id,
                receiver=message.receiver,
                fingerprint=one.fingerprint,
                starts_at=one.starts_at,
                transition=message.transition.value,
                payload=message.payload,
            )
            .on_conflict_do_nothing(index_elements=[notification.c.webhook_id, notification.c.receiver])
        )


def _is(one: Alert) -> tuple[sa.ColumnElement[bool], ...]:
    return alert.c.fingerprint == one.fingerprint, alert.c.starts_at == one.starts_at
