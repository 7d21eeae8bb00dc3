"""Reads documents a page at a time, newest first, by index alone."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from domain.classification import SENTIMENT, Classification, ModelRef, ScoredDocument
from domain.document import Document
from domain.errors import InvalidInput
from domain.ports import DocumentPage, DocumentQuery, StoredDocument
from domain.timeline import EPOCH, to_epoch_us
from store.postgres.rollups import number_of
from store.tables import KINDS, LABELS, UNSCORED, document, document_text, mention, model, publisher, score

_KINDS = {number: kind for kind, number in KINDS.items()}
_UNSCORED = {number: reason for reason, number in UNSCORED.items()}
_source, _author = publisher.alias("source"), publisher.alias("author")


def read(connection: sa.Connection, query: DocumentQuery) -> DocumentPage:
    """One page. Raises InvalidInput for a cursor that isn't one of ours."""
    pointwise(connection)
    page = _keys(query).limit(query.limit + 1).subquery()
    statement = (
        sa.select(
            document,
            document_text.c.title,
            document_text.c.url,
            document_text.c.text,
            _source.c.name.label("source"),
            _author.c.name.label("author"),
            score.c.negative,
            score.c.neutral,
            score.c.positive,
            score.c.probabilities,
            score.c.input_hash,
            score.c.config_hash,
            score.c.entities,
            model.c.name.label("model"),
            model.c.version,
            model.c.labels,
        )
        .select_from(page)
        .join(document, same(document, page))
        .join(document_text, same(document_text, page))
        .outerjoin(score, same(score, page))
        .outerjoin(model, model.c.model_id == score.c.model_id)
        .outerjoin(_source, _source.c.publisher_id == document.c.source_id)
        .outerjoin(_author, _author.c.publisher_id == document.c.author_id)
        .order_by(page.c.published_at.desc(), page.c.document_id.desc(), score.c.recorded_at.desc())
    )
    newest = {bytes(row.document_id): row for row in reversed(connection.execute(statement).all())}
    rows = list(reversed(newest.values()))
    shown = rows[: query.limit]
    cursor = _cursor(shown[-1].published_at, bytes(shown[-1].document_id)) if len(rows) > len(shown) else None
    return DocumentPage(documents=tuple(map(_stored, shown)), cursor=cursor)


def same(table: sa.Table, keys: sa.FromClause) -> sa.ColumnElement[bool]:
    """That a row of a partitioned table is of the document that a row of `keys` names."""
    return sa.and_(table.c.published_at == keys.c.published_at, table.c.document_id == keys.c.document_id)


def pointwise(connection: sa.Connection) -> None:
    """Plan this transaction's queries as look-ups of few rows by index, also in partitions never analysed so far."""
    for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin"):
        connection.exec_driver_sql(f"SET LOCAL {setting} = off")


def _keys(query: DocumentQuery) -> sa.Select[datetime, bytes]:
    """The documents asked for, newest first: from the mentions of a subject, or from all documents."""
    if query.subject is not None:
        table = mention
        keys = sa.select(mention.c.published_at, mention.c.document_id).where(
            mention.c.subject_id == number_of(query.subject)
        )
        if query.label is not None:
            keys = keys.where(mention.c.label == LABELS[query.label])
        if query.source is not None:
            keys = keys.join(document, same(document, mention))
    else:
        table = document
        keys = sa.select(document.c.published_at, document.c.document_id)
        if query.label is not None:
            keys = keys.where(sa.exists().where(same(score, document), score.c.label == LABELS[query.label]))
    if query.source is not None:
        source = sa.select(publisher.c.publisher_id).where(publisher.c.name == query.source).scalar_subquery()
        keys = keys.where(document.c.source_id == source)
    if query.start is not None:
        keys = keys.where(table.c.published_at >= query.start)
    if query.end is not None:
        keys = keys.where(table.c.published_at < query.end)
    if query.cursor is not None:
        at, key = _position(query.cursor)
        # The first condition says nothing new, but it is the one that picks partitions.
        keys = keys.where(
            table.c.published_at <= at,
            sa.tuple_(table.c.published_at, table.c.document_id) < sa.tuple_(sa.literal(at), sa.literal(key)),
        )
    return keys.order_by(table.c.published_at.desc(), table.c.document_id.desc())


def _stored(row: Any) -> StoredDocument:
    return StoredDocument(
        scored=ScoredDocument(
            document=Document(
                id=row.given_id,
                kind=_KINDS[row.kind],
                text=row.text,
                published_at=row.published_at,
                received_at=row.received_at,
                title=row.title,
                source=row.source,
                author=row.author,
                url=row.url,
                lang=row.lang,
                symbols=tuple(row.symbols),
            ),
            classification=None if row.model is None else _classification(row),
            unscored=None if row.unscored is None else _UNSCORED[row.unscored],
            config_hash=row.config_hash or "",
        ),
        late=row.late,
        recorded_at=row.recorded_at,
    )


def _classification(row: Any) -> Classification:
    probabilities = iter(row.probabilities)
    tasks: dict[str, Mapping[str, float]] = {
        SENTIMENT: {"negative": row.negative, "neutral": row.neutral, "positive": row.positive}
    }
    for task, labels in json.loads(row.labels):
        tasks[task] = {label: next(probabilities) for label in labels}
    return Classification(
        tasks=tasks,
        model=ModelRef(name=row.model, version=row.version),
        input_hash=row.input_hash,
        entities=row.entities or {},
    )


def _cursor(at: datetime, key: bytes) -> str:
    return base64.urlsafe_b64encode(to_epoch_us(at).to_bytes(8, signed=True) + key).decode()


def _position(cursor: str) -> tuple[datetime, bytes]:
    try:
        decoded = base64.b64decode(cursor, altchars=b"-_", validate=True)
        if len(decoded) != 24:
            raise ValueError("a cursor has 24 bytes")
        return EPOCH + timedelta(microseconds=int.from_bytes(decoded[:8], signed=True)), decoded[8:]
    except (binascii.Error, ValueError, OverflowError) as error:
        raise InvalidInput("cursor", f"{cursor[:80]!r} is not a cursor of ours") from error
