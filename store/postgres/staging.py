"""Turns documents into rows of the staging table: one row per document, from which all tables are filled.

The staging table is temporary, so filling it locks nothing that another process wants: it is done before the
transaction takes its locks, and a worker that freezes in the middle of it holds nobody up.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING, Final

from domain.classification import SENTIMENT, Classification, ScoredDocument, Sentiment
from domain.log import ScoredRecord
from domain.ports import Refused
from domain.subject import Subject, sentiments_of
from domain.timeline import END, EPOCH
from store.postgres.copying import HEADER, NULL, TRAILER, FixedFields, floats, integers, text, texts, timestamp
from store.postgres.names import ModelLabels
from store.postgres.partitions import Month, month_of
from store.tables import KINDS, LABELS, NAME_LIMIT, UNSCORED

if TYPE_CHECKING:
    from store.postgres.session import Session


class Refusal(StrEnum):
    """Why a document can't be stored, as far as it can be told without asking Postgres."""

    TEXT = "text_not_storable"
    NAME = "name_too_long"
    TIME = "published_at_out_of_range"
    NUMBER = "number_out_of_range"


_MESSAGES = {
    Refusal.TEXT: "a text holds what Postgres can't store: a NUL character or half of a surrogate pair",
    Refusal.NAME: f"a source, author, topic or symbol is longer than {NAME_LIMIT} bytes",
    Refusal.TIME: "published before 1970 or after 2999",
    Refusal.NUMBER: "a number is out of range",
}

# The column's name, its type, and for those of fixed size the format in which they are packed. Fixed ones are never
# null: 0 stands for no name, no model, and not unscored.
_FIXED: Final = (
    ("message_offset", "bigint", "q"),
    ("published_at", "timestamptz", "q"),
    ("received_at", "timestamptz", "q"),
    ("negative", "double precision", "d"),
    ("neutral", "double precision", "d"),
    ("positive", "double precision", "d"),
    ("partition_id", "integer", "i"),
    ("source_id", "integer", "i"),
    ("author_id", "integer", "i"),
    ("publisher_id", "integer", "i"),
    ("model_id", "integer", "i"),
    ("topic_subject_id", "integer", "i"),
    ("kind", "smallint", "h"),
    ("unscored", "smallint", "h"),
    ("polarity", "smallint", "h"),
    ("label", "smallint", "h"),
    ("document_id", "bytea", "16s"),
)
_VARIABLE: Final = (
    ("subjects", "integer[]"),
    ("polarities", "integer[]"),
    ("labels", "integer[]"),
    ("symbols", "text[]"),
    ("probabilities", "real[]"),
    ("given_id", "text"),
    ("lang", "text"),
    ("title", "text"),
    ("url", "text"),
    ("text", "text"),
    ("input_hash", "text"),
    ("config_hash", "text"),
    ("entities", "text"),
)
_COLUMNS: Final = [(name, type_) for name, type_, _ in _FIXED] + list(_VARIABLE)

STAGING_TABLE: Final = (
    f"CREATE TEMPORARY TABLE staged ({', '.join(f'{name} {type_}' for name, type_ in _COLUMNS)},"
    " late boolean NOT NULL DEFAULT false) ON COMMIT DELETE ROWS"
)
COPY: Final = f"COPY staged ({', '.join(name for name, _ in _COLUMNS)}) FROM STDIN (FORMAT binary)"

_fixed = FixedFields(len(_COLUMNS), [format_ for _, _, format_ in _FIXED])


Message = tuple[int, int]
"""A message of `scored`: the number of its partition, and its offset there."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A document on its way in."""

    message: Message
    data: bytes
    """The row in binary COPY format."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Documents as rows, and those that could not be made into one."""

    rows: tuple[Row, ...]
    refused: Mapping[Message, Refused]


def rows_of(session: Session, documents: Iterable[tuple[Message, ScoredRecord]]) -> Staged:
    """Number the names that the documents use, make the partitions that they need, and make rows of them.

    Call it outside of any transaction.
    """
    session.trim()
    refused: dict[Message, Refused] = {}
    wanted = _Wanted(session)
    fit: list[_Fit] = []
    for message, record in documents:
        found = wanted.add(message, record)
        if isinstance(found, Refusal):
            refused[message] = _refused(message, found)
        else:
            fit.append(found)
    if fit:
        wanted.resolve()
    rows: list[Row] = []
    for one in fit:
        try:
            rows.append(Row(message=one.message, data=_row(session, one)))
        except ValueError:
            refused[one.message] = _refused(one.message, Refusal.TEXT)
        except struct.error:
            refused[one.message] = _refused(one.message, Refusal.NUMBER)
    return Staged(rows=tuple(rows), refused=refused)


def stream(rows: Iterable[Row]) -> BytesIO:
    """The rows as COPY reads them."""
    return BytesIO(b"".join((HEADER, *(row.data for row in rows), TRAILER)))


@dataclass(frozen=True, slots=True)
class _Fit:
    """A document that nothing seems to be wrong with, and the names that it needs numbers for."""

    message: Message
    scored: ScoredDocument
    said: tuple[tuple[Subject, Sentiment], ...]
    model: ModelLabels | None


class _Wanted:
    """The names and months that documents need and the session does not know yet."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._publishers: set[str] = set()
        self._subjects: set[Subject] = set()
        self._models: set[ModelLabels] = set()
        self._months: set[Month] = set()

    def add(self, message: Message, record: ScoredRecord) -> _Fit | Refusal:
        """Note what a document needs; or say why it can't be stored, noting nothing."""
        scored = record.scored
        document, session = scored.document, self._session
        if not EPOCH <= document.published_at < END:
            return Refusal.TIME
        said = sentiments_of(scored)
        new_subjects = [subject for subject, _ in said if subject not in session.subjects]
        new_publishers = [
            name for name in (document.source, document.author) if name is not None and name not in session.publishers
        ]
        for name in (*new_publishers, *(subject.name for subject in new_subjects)):
            if (reason := _unfit(name)) is not None:
                return reason
        model = None if scored.classification is None else _model_labels(scored.classification)
        if model is not None and model not in session.models:
            self._models.add(model)
        self._publishers.update(new_publishers)
        self._subjects.update(new_subjects)
        self._months.add(month_of(document.published_at))
        return _Fit(message, scored, said, model)

    def resolve(self) -> None:
        session = self._session
        session.prepare(self._months)
        session.publishers.resolve(session.cursor, self._publishers)
        session.subjects.resolve(session.cursor, self._subjects)
        session.models.resolve(session.cursor, self._models)


def _row(session: Session, one: _Fit) -> bytes:
    (partition_id, offset), scored, publishers = one.message, one.scored, session.publishers
    document, classification = scored.document, scored.classification
    subjects = [session.subjects[subject] for subject, _ in one.said]
    polarities = labels = NULL
    entities = None
    negative = neutral = positive = 0.0
    model = topic = polarity = label = 0
    probabilities: list[float] = []
    if classification is not None and one.model is not None:
        sentiment = classification.sentiment
        negative, neutral, positive = sentiment.negative, sentiment.neutral, sentiment.positive
        model, topic = session.models[one.model], subjects[0]
        polarity, label = sentiment.scaled_polarity, LABELS[sentiment.label]
        probabilities = [
            p for task, scores in classification.tasks.items() if task != SENTIMENT for p in scores.values()
        ]
        if classification.entities:
            polarities = integers([sentiment.scaled_polarity for _, sentiment in one.said])
            labels = integers([LABELS[sentiment.label] for _, sentiment in one.said])
            entities = json.dumps(classification.entities, ensure_ascii=False)
    return b"".join(
        (
            _fixed.pack(
                offset,
                timestamp(document.published_at),
                timestamp(document.received_at),
                negative,
                neutral,
                positive,
                partition_id,
                0 if document.source is None else publishers[document.source],
                0 if document.author is None else publishers[document.author],
                publishers[document.publisher] if document.publisher else 0,
                model,
                topic,
                KINDS[document.kind],
                0 if scored.unscored is None else UNSCORED[scored.unscored],
                polarity,
                label,
                document.key,
            ),
            integers(subjects),
            polarities,
            labels,
            texts(document.symbols),
            floats(probabilities),
            text(document.id),
            text(document.lang),
            text(document.title),
            text(document.url),
            text(document.text),
            text("" if classification is None else classification.input_hash),
            text(scored.config_hash),
            text(entities),
        )
    )


def _model_labels(classification: Classification) -> ModelLabels:
    labels = tuple((task, tuple(labels)) for task, labels in classification.tasks.items() if task != SENTIMENT)
    return classification.model.name, classification.model.version, _as_json(labels)


@lru_cache(maxsize=64)
def _as_json(labels: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    return json.dumps(labels, ensure_ascii=False)


def _unfit(name: str) -> Refusal | None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return Refusal.TEXT
    if "\0" in name:
        return Refusal.TEXT
    return Refusal.NAME if size > NAME_LIMIT else None


def _refused(message: Message, reason: Refusal) -> Refused:
    _, offset = message
    return Refused(offset=offset, reason=reason.value, message=_MESSAGES[reason])
