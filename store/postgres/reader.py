"""Reads the history: documents, subjects, evidence, alerts, deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from domain.alert import Alert, AlertStatus, Delivery, EvidenceDocument, Outcome, PublisherCount
from domain.classification import Label, ModelRef, Sentiment
from domain.ports import DocumentPage, DocumentQuery, SubjectSummary
from domain.subject import Subject, SubjectKind
from domain.timeline import minute_of
from domain.window import Counts
from store.postgres import pages
from store.postgres.alerts import alert_of
from store.postgres.connection import Postgres
from store.postgres.rollups import number_of
from store.tables import (
    KINDS,
    LABELS,
    alert,
    delivery,
    document,
    document_text,
    mention,
    model,
    publisher,
    rollup_minute,
    score,
    subject,
)

_KINDS = {number: kind for kind, number in KINDS.items()}


class PostgresReader:
    """domain.ports.HistoryReader. Thread-safe."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def documents(self, query: DocumentQuery) -> DocumentPage:
        with self._postgres.transaction(snapshot=True) as connection:
            return pages.read(connection, query)

    def subjects(
        self, *, start: datetime | None, end: datetime | None, kind: SubjectKind | None, limit: int
    ) -> Sequence[SubjectSummary]:
        """As the port says, to whole minutes: the minute that `start` falls in counts whole."""
        count = sa.func.sum(rollup_minute.c.count)
        sums = [count, *(sa.func.sum(rollup_minute.c[name]) for name in ("negative", "neutral", "positive"))]
        polarity = [sa.cast(sa.func.sum(rollup_minute.c[f"polarity_{it}"]), sa.BigInteger) for it in ("sum", "squares")]
        query = (
            sa.select(subject.c.kind, subject.c.name, sa.func.max(rollup_minute.c.minute), *sums, *polarity)
            .join_from(rollup_minute, subject, rollup_minute.c.subject_id == subject.c.subject_id)
            .where(~rollup_minute.c.late)
            .group_by(subject.c.kind, subject.c.name)
            .order_by(count.desc(), subject.c.kind, sa.collate(subject.c.name, "C"))
            .limit(limit)
        )
        if start is not None:
            query = query.where(rollup_minute.c.minute > start - timedelta(minutes=1))
        if end is not None:
            query = query.where(rollup_minute.c.minute < end)
        if kind is not None:
            query = query.where(subject.c.kind == kind.value)
        with self._postgres.transaction(snapshot=True) as connection:
            return [
                SubjectSummary(
                    subject=Subject(SubjectKind(kind), name), counts=Counts(*counts), last_minute=minute_of(last)
                )
                for kind, name, last, *counts in connection.execute(query)
            ]

    def most_negative(self, subject: Subject, start: datetime, end: datetime, limit: int) -> Sequence[EvidenceDocument]:
        found = (
            sa.select(mention.c.published_at, mention.c.document_id, mention.c.publisher_id, mention.c.polarity)
            .where(*_negative(subject, start, end))
            .order_by(mention.c.polarity, mention.c.published_at)
            .fetch(limit, with_ties=True)
            .subquery()
        )
        query = (
            sa.select(
                document.c.given_id,
                document.c.kind,
                document.c.published_at,
                publisher.c.name.label("publisher"),
                document_text.c.title,
                document_text.c.text,
                document_text.c.url,
                score.c.negative,
                score.c.neutral,
                score.c.positive,
                score.c.entities,
                model.c.name.label("model"),
                model.c.version,
            )
            .select_from(found)
            .join(document, pages.same(document, found))
            .join(document_text, pages.same(document_text, found))
            .join(score, pages.same(score, found))
            .join(model, model.c.model_id == score.c.model_id)
            .outerjoin(publisher, publisher.c.publisher_id == found.c.publisher_id)
            .order_by(found.c.polarity, found.c.published_at, sa.collate(document.c.given_id, "C"))
            .limit(limit)
        )
        with self._postgres.transaction(snapshot=True) as connection:
            pages.pointwise(connection)
            return [
                EvidenceDocument(
                    id=row.given_id,
                    kind=_KINDS[row.kind],
                    published_at=row.published_at,
                    publisher=row.publisher,
                    title=row.title,
                    text=row.text,
                    url=row.url,
                    sentiment=_said(row, subject),
                    model=ModelRef(name=row.model, version=row.version),
                )
                for row in connection.execute(query)
            ]

    def publishers(self, subject: Subject, start: datetime, end: datetime, limit: int) -> Sequence[PublisherCount]:
        negative = sa.func.count()
        name = sa.collate(publisher.c.name, "C")
        query = (
            sa.select(publisher.c.name, negative)
            .select_from(mention)
            .outerjoin(publisher, publisher.c.publisher_id == mention.c.publisher_id)
            .where(*_negative(subject, start, end))
            .group_by(publisher.c.name)
            .order_by(negative.desc(), name.nulls_first())
            .limit(limit)
        )
        with self._postgres.transaction(snapshot=True) as connection:
            return [PublisherCount(publisher=name, negative=count) for name, count in connection.execute(query)]

    def alerts(
        self, *, statuses: Sequence[AlertStatus] = (), subject: Subject | None = None, limit: int = 100
    ) -> Sequence[Alert]:
        query = sa.select(alert).order_by(alert.c.starts_at.desc(), alert.c.alert_id.desc()).limit(limit)
        if statuses:
            query = query.where(alert.c.status.in_([status.value for status in statuses]))
        if subject is not None:
            query = query.where(alert.c.subject_kind == subject.kind.value, alert.c.subject_name == subject.name)
        with self._postgres.transaction(snapshot=True) as connection:
            return [alert_of(row) for row in connection.execute(query)]

    def deliveries(self, *, fingerprint: str | None = None, limit: int = 100) -> Sequence[Delivery]:
        query = sa.select(delivery).order_by(delivery.c.at.desc(), delivery.c.delivery_id.desc()).limit(limit)
        if fingerprint is not None:
            query = query.where(delivery.c.fingerprint == fingerprint)
        with self._postgres.transaction(snapshot=True) as connection:
            return [
                Delivery(
                    webhook_id=row.webhook_id,
                    fingerprint=row.fingerprint,
                    receiver=row.receiver,
                    attempt=row.attempt,
                    outcome=Outcome(row.outcome),
                    status_code=row.status_code,
                    error=row.error,
                    at=row.at,
                    duration=row.duration,
                )
                for row in connection.execute(query)
            ]


def _said(row: Any, subject: Subject) -> Sentiment:
    """What a document says of a subject."""
    if subject.kind is SubjectKind.ENTITY and row.entities and subject.name in row.entities:
        return Sentiment.of(row.entities[subject.name])
    return Sentiment(negative=row.negative, neutral=row.neutral, positive=row.positive)


def _negative(subject: Subject, start: datetime, end: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        mention.c.subject_id == number_of(subject),
        mention.c.label == LABELS[Label.NEGATIVE],
        ~mention.c.late,
        mention.c.published_at >= start,
        mention.c.published_at < end,
    )
