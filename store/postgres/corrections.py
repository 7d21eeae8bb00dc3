"""Corrections: what people say of documents."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from domain.correction import Correction, DocumentsUnknown, StandingCorrection
from domain.document import content_of, document_key
from store.postgres import pages
from store.postgres.connection import Postgres
from store.tables import correction, document, document_text, ledger


class PostgresCorrections:
    """domain.ports.Corrections. Thread-safe; any number of processes may use it side by side."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def add(self, corrections: Sequence[Correction]) -> None:
        if not corrections:
            return
        with self._postgres.transaction() as connection:
            published = _published_at(connection, {one.document_id for one in corrections})
            connection.execute(
                sa.insert(correction),
                [
                    {
                        "document_id": document_key(one.document_id),
                        "published_at": published[document_key(one.document_id)],
                        "task": one.task,
                        "entity": one.entity,
                        "label": one.label,
                        "by": one.by,
                        "note": one.note,
                    }
                    for one in corrections
                ],
            )

    def standing(self, *, task: str | None = None, limit: int | None = None) -> Sequence[StandingCorrection]:
        newest = _newest(*(() if task is None else (correction.c.task == task,)))
        query = (
            sa.select(newest, document.c.given_id, document_text.c.title, document_text.c.text)
            .join(document, pages.same(document, newest))
            .join(document_text, pages.same(document_text, newest))
            .where(newest.c.label.is_not(None))
            .order_by(newest.c.correction_id.desc())
            .limit(limit)
        )
        with self._postgres.transaction(snapshot=True) as connection:
            pages.pointwise(connection)
            newest_first = [
                StandingCorrection(
                    correction=_correction_of(row, row.given_id),
                    text=content_of(row.title, row.text),
                    recorded_at=row.recorded_at,
                )
                for row in connection.execute(query)
            ]
        return newest_first[::-1]

    def standing_of(self, ids: Collection[str]) -> Sequence[Correction]:
        by_key = {document_key(one): one for one in ids}
        newest = _newest(correction.c.document_id.in_(by_key))
        query = sa.select(newest).where(newest.c.label.is_not(None)).order_by(newest.c.correction_id)
        with self._postgres.transaction(snapshot=True) as connection:
            return [_correction_of(row, by_key[bytes(row.document_id)]) for row in connection.execute(query)]

    def corrected(self, ids: Collection[str], tasks: Collection[str]) -> set[str]:
        by_key = {document_key(one): one for one in ids}
        newest = _newest(correction.c.document_id.in_(by_key), correction.c.task.in_(tasks))
        query = sa.select(newest.c.document_id).where(newest.c.label.is_not(None)).distinct()
        with self._postgres.transaction(snapshot=True) as connection:
            return {by_key[bytes(key)] for key in connection.execute(query).scalars()}


def _correction_of(row: Any, document_id: str) -> Correction:
    return Correction(
        document_id=document_id, task=row.task, label=row.label, entity=row.entity, by=row.by, note=row.note
    )


def _newest(*conditions: sa.ColumnElement[bool]) -> sa.Subquery:
    """The newest correction of each document, task and entity."""
    of = (correction.c.document_id, correction.c.task, correction.c.entity)
    query = sa.select(correction).where(*conditions).ext(distinct_on(*of))
    return query.order_by(*of, correction.c.correction_id.desc()).subquery()


def _published_at(connection: sa.Connection, ids: Collection[str]) -> dict[bytes, datetime]:
    """Where each document is in the tables that are split by month. Raises DocumentsUnknown."""
    by_key = {document_key(one): one for one in ids}
    query = (
        sa.select(ledger.c.document_id, ledger.c.published_at)
        .join(document, pages.same(document, ledger))
        .where(ledger.c.document_id.in_(by_key))
    )
    pages.pointwise(connection)
    found = {bytes(row.document_id): row.published_at for row in connection.execute(query)}
    if unknown := [one for key, one in by_key.items() if key not in found]:
        raise DocumentsUnknown(unknown)
    return found
