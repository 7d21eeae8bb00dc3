"""What the API says of alerts and their delivery, in JSON; as `service.http.views`."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import Field

from domain.alert import Alert, AlertStatus, Delivery, Evidence, EvidenceDocument, Outcome, Severity
from domain.document import Kind
from service.http.views import ModelView, SentimentView, View


class EvidenceDocumentView(View):
    """A document quoted as evidence."""

    id: str
    kind: Kind
    published_at: datetime
    publisher: str | None
    title: str | None
    text: str
    url: str | None
    sentiment: SentimentView
    model: ModelView

    @classmethod
    def of(cls, document: EvidenceDocument) -> Self:
        """From the domain."""
        return cls(
            id=document.id,
            kind=document.kind,
            published_at=document.published_at,
            publisher=document.publisher,
            title=document.title,
            text=document.text,
            url=document.url,
            sentiment=SentimentView.of(document.sentiment),
            model=ModelView.of(document.model),
        )


class PublisherView(View):
    """A publisher's negative documents in the window; null is the unknown publisher."""

    publisher: str | None
    negative: int


class EvidenceView(View):
    """Why an alert fired, as of the boundary that made it fire."""

    window_start: datetime
    window_end: datetime
    count: int
    negative: int
    negative_share: float
    negative_publishers: int
    expected_negative: float
    baseline_minutes: int
    documents: list[EvidenceDocumentView]
    publishers: list[PublisherView]
    models: list[ModelView]

    @classmethod
    def of(cls, evidence: Evidence) -> Self:
        """From the domain."""
        return cls(
            window_start=evidence.window_start,
            window_end=evidence.window_end,
            count=evidence.count,
            negative=evidence.negative,
            negative_share=evidence.negative_share,
            negative_publishers=evidence.negative_publishers,
            expected_negative=evidence.expected_negative,
            baseline_minutes=evidence.baseline_minutes,
            documents=[EvidenceDocumentView.of(document) for document in evidence.documents],
            publishers=[PublisherView(publisher=p.publisher, negative=p.negative) for p in evidence.publishers],
            models=[ModelView.of(model) for model in evidence.models],
        )


class AlertView(View):
    """An alert; its identity is fingerprint and starts_at. Times are event times at minute boundaries."""

    fingerprint: str
    rule: str
    subject: str
    severity: Severity
    status: AlertStatus
    starts_at: datetime
    fired_at: datetime | None
    ends_at: datetime | None
    value: float = Field(description="The newest number of negative documents in the window.")
    baseline: float = Field(description="What was expected of it, frozen when the alert started.")
    baseline_minutes: int
    evidence: EvidenceView | None

    @classmethod
    def of(cls, alert: Alert) -> Self:
        """From the domain."""
        return cls(
            fingerprint=alert.fingerprint,
            rule=alert.rule,
            subject=str(alert.subject),
            severity=alert.severity,
            status=alert.status,
            starts_at=alert.starts_at,
            fired_at=alert.fired_at,
            ends_at=alert.ends_at,
            value=alert.value,
            baseline=alert.baseline,
            baseline_minutes=alert.baseline_minutes,
            evidence=EvidenceView.of(alert.evidence) if alert.evidence else None,
        )


class AlertsView(View):
    """Alerts, the newest start first."""

    alerts: list[AlertView]


class DeliveryView(View):
    """One attempt at calling a receiver's webhook."""

    webhook_id: str
    fingerprint: str
    receiver: str
    attempt: int
    outcome: Outcome
    status_code: int | None
    error: str | None
    at: datetime
    duration_seconds: float

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        """From the domain."""
        return cls(
            webhook_id=delivery.webhook_id,
            fingerprint=delivery.fingerprint,
            receiver=delivery.receiver,
            attempt=delivery.attempt,
            outcome=delivery.outcome,
            status_code=delivery.status_code,
            error=delivery.error,
            at=delivery.at,
            duration_seconds=delivery.duration,
        )


class DeliveriesView(View):
    """Attempts, the newest first."""

    deliveries: list[DeliveryView]
