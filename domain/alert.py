"""An alert: what a rule saw, its life, and what is sent about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.classification import ModelRef, Sentiment
from domain.document import Kind
from domain.subject import Subject
from domain.timeline import to_epoch_us


class AlertStatus(StrEnum):
    """pending → firing → resolved; a pending alert whose condition lapses is forgotten."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class Transition(StrEnum):
    """The changes of status that receivers are told of."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Severity(StrEnum):
    """How urgent a rule's alerts are."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, kw_only=True)
class EvidenceDocument:
    """A document quoted as evidence."""

    id: str
    kind: Kind
    published_at: datetime
    publisher: str | None
    title: str | None
    text: str
    url: str | None
    sentiment: Sentiment
    model: ModelRef


@dataclass(frozen=True, kw_only=True)
class PublisherCount:
    """How many negative documents one publisher had in the window; None is the unknown publisher."""

    publisher: str | None
    negative: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Why an alert fired, as of the minute boundary that made it fire."""

    window_start: datetime
    window_end: datetime
    count: int
    negative: int
    negative_share: float
    negative_publishers: int
    expected_negative: float
    """What the baseline leads to expect of negative documents in such a window."""
    baseline_minutes: int
    """How many minutes of the baseline were observed."""
    documents: tuple[EvidenceDocument, ...] = ()
    """The most negative documents of the window, the most negative first."""
    publishers: tuple[PublisherCount, ...] = ()
    """The publishers of negative documents, the busiest first."""
    models: tuple[ModelRef, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One alert; its identity is (fingerprint, starts_at). All times are event times at minute boundaries."""

    rule: str
    subject: Subject
    severity: Severity
    status: AlertStatus
    starts_at: datetime
    """The boundary at which the condition first held."""
    fired_at: datetime | None = None
    ends_at: datetime | None = None
    """The boundary at which it resolved; None while open."""
    clear_since: datetime | None = None
    """The first boundary since which the condition has been false; None while it holds."""
    value: float
    """The newest value of what the rule measures (negative documents in the window)."""
    baseline: float
    """What was expected of `value`, frozen when the alert started."""
    baseline_minutes: int
    evidence: Evidence | None = None
    """Set when it fires, and kept."""

    @property
    def fingerprint(self) -> str:
        """Identity of rule and subject: at most one alert is open for it at a time."""
        return fingerprint(self.rule, self.subject)


def fingerprint(rule: str, subject: Subject) -> str:
    """Hex BLAKE2b-128 of rule and subject."""
    return hashlib.blake2b(f"{rule}\0{subject}".encode(), digest_size=16).hexdigest()


def webhook_id(alert: Alert, transition: Transition) -> str:
    """The `webhook-id` of Standard Webhooks: the same for the same rule, subject, start and transition, whoever
    computes it and however often."""
    text = f"{alert.fingerprint}\0{to_epoch_us(alert.starts_at)}\0{transition.value}"
    return "msg_" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Notification:
    """One message to one receiver about one transition; written in the transaction that made the transition."""

    webhook_id: str
    receiver: str
    transition: Transition
    payload: bytes
    """The exact bytes to be signed and sent (UTF-8 JSON)."""


@dataclass(frozen=True, kw_only=True)
class AlertChange:
    """What a minute boundary did to one alert. `forgotten`: it was pending and lapsed."""

    alert: Alert
    transition: Transition | None = None
    forgotten: bool = False
    notifications: tuple[Notification, ...] = ()


class Outcome(StrEnum):
    """How one attempt at a delivery ended."""

    DELIVERED = "delivered"
    RETRY = "retry"
    FAILED = "failed"
    """Given up: the receiver refused for good, or the schedule ended."""


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A notification that this process holds a lease on, about to be sent."""

    notification: Notification
    fingerprint: str
    starts_at: datetime
    attempt: int
    """1 for the first."""
    lease_token: str
    """Names the lease: a settlement under an expired lease that another took over is refused."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One attempt at sending a notification: a row, kept for ever."""

    webhook_id: str
    fingerprint: str
    receiver: str
    attempt: int
    outcome: Outcome
    status_code: int | None
    error: str | None
    """One line, without secrets; None when delivered."""
    at: datetime
    duration: float
    """Seconds."""
