"""Builders of domain objects: everything has a sensible default, so that a test names only what it is about.

The scores say what was asked for: `make_document(...)` is the document, `make_scored(negative=0.9)` its classification,
`make_record(...)` its place in the log, `make_batch(...)` a run of messages of one partition of `scored`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.alert import (
    Alert,
    AlertChange,
    AlertStatus,
    Notification,
    Severity,
    Transition,
    webhook_id,
)
from domain.classification import Classification, ModelRef, ScoredDocument, Unscored
from domain.document import Document, Kind, document_key
from domain.log import Mark, MarkStatus, Origin, Partition, RecordBatch, ScoredRecord
from domain.subject import Subject, SubjectKind

T0 = datetime(2014, 1, 6, 14, 0, tzinfo=UTC)
"""Where the tests' event time begins: a Monday, at a full hour."""

MODEL = ModelRef(name="test-model", version="1")

SCORED_TOPIC_ID = UUID("5c0ed000-0000-4000-8000-000000000001")
NEWS_TOPIC_ID = UUID("5c0ed000-0000-4000-8000-000000000002")
COMMENTS_TOPIC_ID = UUID("5c0ed000-0000-4000-8000-000000000003")


def at(minutes: float = 0, seconds: float = 0) -> datetime:
    """That many minutes and seconds after T0."""
    return T0 + timedelta(minutes=minutes, seconds=seconds)


def scored_partition(number: int = 0, topic_id: UUID = SCORED_TOPIC_ID) -> Partition:
    """A partition of `scored`."""
    return Partition(topic="scored", topic_id=topic_id, number=number)


def news_partition(number: int = 0, topic_id: UUID = NEWS_TOPIC_ID) -> Partition:
    """A partition of `news`."""
    return Partition(topic="news", topic_id=topic_id, number=number)


def comments_partition(number: int = 0, topic_id: UUID = COMMENTS_TOPIC_ID) -> Partition:
    """A partition of `comments`."""
    return Partition(topic="comments", topic_id=topic_id, number=number)


def topic(name: str) -> Subject:
    """The subject `topic:name`."""
    return Subject(SubjectKind.TOPIC, name)


def entity(name: str) -> Subject:
    """The subject `entity:name`."""
    return Subject(SubjectKind.ENTITY, name)


def make_document(
    id: str = "doc-1",  # noqa: A002 - the name of the field
    *,
    kind: Kind = Kind.NEWS,
    text: str = "Shares of Example Corp fell sharply.",
    published_at: datetime = T0,
    received_at: datetime | None = None,
    title: str | None = None,
    source: str | None = "Example Wire",
    author: str | None = None,
    url: str | None = None,
    lang: str | None = None,
    symbols: Iterable[str] = (),
) -> Document:
    """A news item by `Example Wire`, published at T0 and received a second later."""
    return Document(
        id=id,
        kind=kind,
        text=text,
        published_at=published_at,
        received_at=received_at or published_at + timedelta(seconds=1),
        title=title,
        source=source,
        author=author,
        url=url,
        lang=lang,
        symbols=tuple(symbols),
    )


def make_classification(
    *,
    negative: float | None = None,
    neutral: float | None = None,
    positive: float | None = None,
    topic: str = "Earnings",
    topic_probability: float = 0.9,
    model: ModelRef = MODEL,
    input_hash: str = "00112233445566778899aabbccddeeff",
    entities: Mapping[str, Mapping[str, float]] | None = None,
) -> Classification:
    """Neutral unless told; what is left of 1 is shared by the sentiments that were not given. `entities`: likewise for
    symbols that the text names, such as `{"ACME": {"negative": 0.9}}`."""
    other = "Politics" if topic != "Politics" else "Earnings"
    return Classification(
        tasks={
            "sentiment": _shared(negative, neutral, positive),
            "topic": {topic: topic_probability, other: 1 - topic_probability},
        },
        model=model,
        input_hash=input_hash,
        entities={symbol: _shared(**scores) for symbol, scores in (entities or {}).items()},
    )


def _shared(
    negative: float | None = None, neutral: float | None = None, positive: float | None = None
) -> dict[str, float]:
    given = {"negative": negative, "neutral": neutral, "positive": positive}
    if all(value is None for value in given.values()):
        given["neutral"] = 0.8
    missing = [name for name, value in given.items() if value is None]
    rest = 1 - sum(value for value in given.values() if value is not None)
    return {name: rest / len(missing) if value is None else value for name, value in given.items()}


def make_scored(
    document: Document | str = "doc-1",
    *,
    negative: float | None = None,
    neutral: float | None = None,
    positive: float | None = None,
    topic: str = "Earnings",
    model: ModelRef = MODEL,
    unscored: Unscored | None = None,
    config_hash: str = "c0ffee00",
    published_at: datetime | None = None,
    source: str | None = "Example Wire",
    symbols: Iterable[str] = (),
    entities: Mapping[str, Mapping[str, float]] | None = None,
) -> ScoredDocument:
    """A scored document; `document` may be an id, then `published_at`, `source` and `symbols` shape it."""
    if isinstance(document, str):
        document = make_document(document, published_at=published_at or T0, source=source, symbols=symbols)
    classification = None
    if unscored is None:
        classification = make_classification(
            negative=negative, neutral=neutral, positive=positive, topic=topic, model=model, entities=entities
        )
    return ScoredDocument(document=document, classification=classification, unscored=unscored, config_hash=config_hash)


def make_origin(partition: Partition | None = None, offset: int = 0, *, high_time: datetime = T0) -> Origin:
    """The first message of `news`."""
    return Origin(partition=partition or news_partition(), offset=offset, high_time=high_time)


def make_record(
    scored: ScoredDocument | str = "doc-1",
    *,
    origin: Origin | None = None,
    source: Partition | None = None,
    source_offset: int = 0,
    high_time: datetime | None = None,
    **scored_fields: object,
) -> ScoredRecord:
    """A record in the scored log; `scored` may be an id, then further keywords go to `make_scored`.

    Without `high_time` the document is the newest that its source partition has seen, so it is late only against marks.
    """
    if isinstance(scored, str):
        scored = make_scored(scored, **scored_fields)  # type: ignore[arg-type]
    elif scored_fields:
        raise TypeError(f"a scored document was given, and fields for making one: {sorted(scored_fields)}")
    if origin is None:
        origin = make_origin(source, source_offset, high_time=high_time or scored.document.published_at)
    return ScoredRecord(scored=scored, origin=origin)


def make_mark(
    partition: Partition | None = None,
    *,
    status: MarkStatus = MarkStatus.READING,
    next_offset: int = 1,
    high_time: datetime | None = T0,
    ended_at: datetime | None = None,
    fan_out: int = 1,
) -> Mark:
    """`news` partition 0 has been read up to offset 1, and its newest document is of T0."""
    return Mark(
        partition=partition or news_partition(),
        status=status,
        next_offset=next_offset,
        high_time=high_time,
        ended_at=ended_at,
        fan_out=fan_out,
    )


def make_batch(
    documents: Sequence[ScoredRecord | tuple[int, ScoredRecord]] = (),
    marks: Sequence[Mark | tuple[int, Mark]] = (),
    *,
    partition: Partition | None = None,
    start: int = 0,
    end: int | None = None,
) -> RecordBatch:
    """Documents, then marks, at consecutive offsets from `start`; (offset, thing) puts a thing at an offset of its own.

    As classify does it, all marks without an offset of their own share one message.
    """
    offset = start
    placed_documents: list[tuple[int, ScoredRecord]] = []
    for document in documents:
        offset, record = document if isinstance(document, tuple) else (offset, document)
        placed_documents.append((offset, record))
        offset += 1
    placed_marks: list[tuple[int, Mark]] = []
    shared = offset
    for mark in marks:
        place, said = mark if isinstance(mark, tuple) else (shared, mark)
        placed_marks.append((place, said))
        offset = max(offset, place + 1)
    return RecordBatch(
        partition=partition or scored_partition(),
        start=start,
        end=offset if end is None else end,
        documents=placed_documents,
        marks=sorted(placed_marks, key=lambda placed: placed[0]),
    )


def make_alert(
    subject: Subject | None = None,
    *,
    rule: str = "surge",
    severity: Severity = Severity.WARNING,
    status: AlertStatus = AlertStatus.PENDING,
    starts_at: datetime = T0,
    fired_at: datetime | None = None,
    ends_at: datetime | None = None,
    clear_since: datetime | None = None,
    value: float = 12,
    baseline: float = 2.5,
    baseline_minutes: int = 600,
) -> Alert:
    """A pending surge on `topic:Earnings` since T0, without evidence."""
    return Alert(
        rule=rule,
        subject=subject or topic("Earnings"),
        severity=severity,
        status=status,
        starts_at=starts_at,
        fired_at=fired_at,
        ends_at=ends_at,
        clear_since=clear_since,
        value=value,
        baseline=baseline,
        baseline_minutes=baseline_minutes,
    )


def make_change(
    alert: Alert | None = None,
    transition: Transition | None = None,
    *,
    receivers: Sequence[str] = (),
    payload: bytes = b"{}",
    forgotten: bool = False,
) -> AlertChange:
    """A change of an alert, with one notification for each receiver when there is a transition."""
    alert = alert or make_alert()
    notifications: tuple[Notification, ...] = ()
    if transition is not None:
        notifications = tuple(
            Notification(
                webhook_id=webhook_id(alert, transition), receiver=receiver, transition=transition, payload=payload
            )
            for receiver in receivers
        )
    return AlertChange(alert=alert, transition=transition, forgotten=forgotten, notifications=notifications)


def key_of(document_id: str) -> bytes:
    """The internal id of a document."""
    return document_key(document_id)
