"""AlertStore, Outbox and HistoryReader in memory, for unit tests; they pass the contract suites of the real ones.

store = FakeAlertStore(clock=lambda: at(0))
store.save(expected=None, evaluated_through=10, changes=[...])
store.outbox.claim(now=at(1), lease=timedelta(seconds=30), limit=10)

documents = FakeDocuments()
documents.add(make_scored("a", negative=0.9, symbols=["ACME"]))
reader = FakeHistoryReader(documents, store)
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from domain.alert import (
    Alert,
    AlertChange,
    AlertStatus,
    Claimed,
    Delivery,
    EvidenceDocument,
    Notification,
    Outcome,
    PublisherCount,
)
from domain.classification import Label, ScoredDocument, Sentiment
from domain.errors import Conflict, InvalidInput
from domain.ports import DocumentPage, DocumentQuery, StoredDocument, SubjectSummary, WatchState
from domain.subject import Subject, SubjectKind, sentiments_of
from domain.timeline import Minute, minute_of
from domain.window import Counts

Identity = tuple[str, datetime]
"""Fingerprint and start."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class _Pending:
    notification: Notification
    identity: Identity
    due_at: datetime | None
    attempts: int = 0
    lease_token: str | None = None
    outcome: Outcome | None = None


class FakeOutbox:
    """Notifications to be sent, and the attempts at it."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.pending: dict[tuple[str, str], _Pending] = {}
        self._leases = 0
        self._lock = threading.Lock()

    def put(self, notification: Notification, identity: Identity, now: datetime) -> None:
        """A notification that is there already stays as it is."""
        key = (notification.webhook_id, notification.receiver)
        self.pending.setdefault(key, _Pending(notification=notification, identity=identity, due_at=now))

    def claim(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        with self._lock:
            first: dict[tuple[str, Identity], _Pending] = {}
            for one in self.pending.values():
                if one.due_at is not None:
                    first.setdefault((one.notification.receiver, one.identity), one)
            due = [one for one in first.values() if one.due_at is not None and one.due_at <= now]
            return [self._lease(one, now + lease) for one in sorted(due, key=lambda one: one.due_at or now)[:limit]]

    def settle(self, claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
        with self._lock:
            self.deliveries.append(delivery)
            one = self.pending[claimed.notification.webhook_id, claimed.notification.receiver]
            if one.lease_token != claimed.lease_token:
                return False
            one.lease_token = None
            one.due_at = next_attempt_at
            one.outcome = delivery.outcome if next_attempt_at is None else None
            return True

    def next_due(self) -> datetime | None:
        return min((one.due_at for one in self.pending.values() if one.due_at is not None), default=None)

    def waiting(self) -> int:
        return sum(one.due_at is not None for one in self.pending.values())

    def _lease(self, one: _Pending, until: datetime) -> Claimed:
        self._leases += 1
        one.attempts += 1
        one.lease_token = f"lease-{self._leases}"
        one.due_at = until
        fingerprint, starts_at = one.identity
        return Claimed(
            notification=one.notification,
            fingerprint=fingerprint,
            starts_at=starts_at,
            attempt=one.attempts,
            lease_token=one.lease_token,
        )


class FakeAlertStore:
    """Alerts, how far the rules have been evaluated, and the outbox that is written with them."""

    def __init__(self, *, clock: Callable[[], datetime] = _now) -> None:
        self.alerts: dict[Identity, Alert] = {}
        self.evaluated_through: Minute | None = None
        self.outbox = FakeOutbox()
        self.saves = 0
        self._clock = clock
        self._lock = threading.Lock()

    def load(self) -> WatchState:
        open_alerts = sorted(
            (alert for alert in self.alerts.values() if alert.status is not AlertStatus.RESOLVED),
            key=lambda alert: (alert.starts_at, alert.fingerprint),
        )
        return WatchState(evaluated_through=self.evaluated_through, open_alerts=tuple(open_alerts))

    def save(self, *, expected: Minute | None, evaluated_through: Minute, changes: Sequence[AlertChange]) -> None:
        with self._lock:
            if self.evaluated_through != expected:
                raise Conflict(f"evaluated through {self.evaluated_through}, expected {expected}")
            self.evaluated_through = evaluated_through
            self.saves += 1
            for change in changes:
                identity = (change.alert.fingerprint, change.alert.starts_at)
                if change.forgotten:
                    self.alerts.pop(identity, None)
                    continue
                self.alerts[identity] = change.alert
                for notification in change.notifications:
                    self.outbox.put(notification, identity, self._clock())


@dataclass
class FakeDocuments:
    """The documents that FakeHistoryReader reads, by id."""

    by_id: dict[str, StoredDocument] = field(default_factory=dict)

    def add(self, *scored: ScoredDocument, late: bool = False, recorded_at: datetime | None = None) -> None:
        """Record documents; one that is there already stays as it is."""
        for one in scored:
            at = recorded_at or one.document.received_at
            self.by_id.setdefault(one.document.id, StoredDocument(scored=one, late=late, recorded_at=at))


class FakeHistoryReader:
    """Everything recomputed from the documents each time."""

    def __init__(self, documents: FakeDocuments, store: FakeAlertStore | None = None) -> None:
        self._documents = documents
        self._store = store or FakeAlertStore()

    def documents(self, query: DocumentQuery) -> DocumentPage:
        found = sorted(
            (stored for stored in self._documents.by_id.values() if _asked_for(stored, query)),
            key=lambda stored: (stored.scored.document.published_at, stored.scored.document.key),
            reverse=True,
        )
        try:
            skipped = int(query.cursor or 0)
        except ValueError as error:
            raise InvalidInput("cursor", f"{query.cursor!r} is not a cursor of ours") from error
        end = skipped + query.limit
        return DocumentPage(documents=tuple(found[skipped:end]), cursor=str(end) if len(found) > end else None)

    def subjects(
        self, *, start: datetime | None, end: datetime | None, kind: SubjectKind | None, limit: int
    ) -> Sequence[SubjectSummary]:
        totals: dict[Subject, SubjectSummary] = {}
        for stored in self._documents.by_id.values():
            minute = minute_of(stored.scored.document.published_at)
            if stored.late or not _within(stored.scored.document.published_at, start, end):
                continue
            for subject, sentiment in sentiments_of(stored.scored):
                if kind is None or subject.kind is kind:
                    known = totals.get(subject)
                    totals[subject] = SubjectSummary(
                        subject=subject,
                        counts=_counts(sentiment) + (known.counts if known else Counts()),
                        last_minute=max(minute, known.last_minute) if known else minute,
                    )
        return sorted(totals.values(), key=lambda one: (-one.counts.count, one.subject))[:limit]

    def most_negative(self, subject: Subject, start: datetime, end: datetime, limit: int) -> Sequence[EvidenceDocument]:
        found = sorted(
            self._negative(subject, start, end),
            key=lambda one: (one[1].scaled_polarity, one[0].document.published_at, one[0].document.id),
        )
        return [_evidence(*one) for one in found[:limit]]

    def publishers(self, subject: Subject, start: datetime, end: datetime, limit: int) -> Sequence[PublisherCount]:
        found = Counter(scored.document.publisher for scored, _ in self._negative(subject, start, end))
        ordered = sorted(found.items(), key=lambda item: (-item[1], item[0] is not None, item[0] or ""))
        return [PublisherCount(publisher=publisher, negative=negative) for publisher, negative in ordered[:limit]]

    def alerts(
        self, *, statuses: Sequence[AlertStatus] = (), subject: Subject | None = None, limit: int = 100
    ) -> Sequence[Alert]:
        found = [
            alert
            for alert in self._store.alerts.values()
            if (not statuses or alert.status in statuses) and (subject is None or alert.subject == subject)
        ]
        return sorted(found, key=lambda alert: alert.starts_at, reverse=True)[:limit]

    def deliveries(self, *, fingerprint: str | None = None, limit: int = 100) -> Sequence[Delivery]:
        made = reversed(self._store.outbox.deliveries)
        return [delivery for delivery in made if fingerprint is None or delivery.fingerprint == fingerprint][:limit]

    def _negative(self, subject: Subject, start: datetime, end: datetime) -> list[tuple[ScoredDocument, Sentiment]]:
        return [
            (stored.scored, sentiment)
            for stored in self._documents.by_id.values()
            if not stored.late
            and start <= stored.scored.document.published_at < end
            and (sentiment := _said(stored.scored, subject)) is not None
            and sentiment.label is Label.NEGATIVE
        ]


def _within(at: datetime, start: datetime | None, end: datetime | None) -> bool:
    return (start is None or at >= start) and (end is None or at < end)


def _asked_for(stored: StoredDocument, query: DocumentQuery) -> bool:
    document = stored.scored.document
    return (
        _within(document.published_at, query.start, query.end)
        and (query.subject is None or _said(stored.scored, query.subject) is not None)
        and (query.source is None or document.source == query.source)
        and (query.label is None or _label(stored.scored, query.subject) is query.label)
    )


def _said(scored: ScoredDocument, subject: Subject) -> Sentiment | None:
    """None: it does not concern the subject."""
    return dict(sentiments_of(scored)).get(subject)


def _label(scored: ScoredDocument, subject: Subject | None) -> Label | None:
    if scored.classification is None:
        return None
    sentiment = scored.classification.sentiment if subject is None else _said(scored, subject)
    return None if sentiment is None else sentiment.label


def _counts(sentiment: Sentiment) -> Counts:
    return Counts(
        count=1,
        negative=int(sentiment.label is Label.NEGATIVE),
        neutral=int(sentiment.label is Label.NEUTRAL),
        positive=int(sentiment.label is Label.POSITIVE),
        polarity_sum=sentiment.scaled_polarity,
        polarity_squares=sentiment.scaled_polarity**2,
    )


def _evidence(scored: ScoredDocument, sentiment: Sentiment) -> EvidenceDocument:
    document, classification = scored.document, scored.classification
    assert classification is not None
    return EvidenceDocument(
        id=document.id,
        kind=document.kind,
        published_at=document.published_at,
        publisher=document.publisher,
        title=document.title,
        text=document.text,
        url=document.url,
        sentiment=sentiment,
        model=classification.model,
    )
