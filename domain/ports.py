"""The protocols through which the rooms meet; `service/wiring.py` puts the concrete parts behind them.

Errors, for every method here: TemporaryError when the server behind it can't be reached or asks to come back later,
PermanentError when a person must act. Blocking methods are called from a worker thread, never from an event loop.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from domain.alert import Alert, AlertChange, AlertStatus, Claimed, Delivery, EvidenceDocument, PublisherCount
from domain.classification import Classification, Label, ModelRef, ScoredDocument
from domain.correction import Correction, StandingCorrection
from domain.document import Document
from domain.log import Partition, RecordBatch
from domain.registry import Promotion, RegisteredModel, TakeUp
from domain.subject import Subject, SubjectKind
from domain.timeline import Minute
from domain.watermark import MarkState
from domain.window import Buckets, Changes, Counts, WindowStats

# --- models/ ---------------------------------------------------------------------------------------------------------


Names = Mapping[str, Sequence[str]]
"""Symbol → the names by which a text may speak of it."""


class Prepared(Protocol):
    """Texts made ready for the model (normalised, tokenised, chunked); opaque to everyone but the classifier."""

    def __len__(self) -> int: ...


class Classifier(Protocol):
    """Gives texts their labels. Thread-safe. A text's scores do not depend on what it was batched with."""

    @property
    def model(self) -> ModelRef: ...

    @property
    def languages(self) -> frozenset[str]:
        """Primary language subtags that the model declares (`en`)."""
        ...

    def prepare(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> Prepared:
        """Everything that can be done before the model is free; cheap beside `infer`, may run beside it.

        `names` says for each text whom to look for (`Classification.entities`); a model without a task for entities
        looks for nobody."""
        ...

    def infer(self, prepared: Prepared) -> list[Classification]:
        """Run the model: one classification per text, in order. A long text is scored whole: in chunks, averaged."""
        ...

    def classify(self, texts: Sequence[str], names: Sequence[Names] | None = None) -> list[Classification]:
        """`infer(prepare(texts, names))`."""
        ...


class ScoreObserver(Protocol):
    """Looks on at what the model of the stream says."""

    def start(self) -> None:
        """Called once, before anything is scored."""
        ...

    def observe(self, scored: Sequence[tuple[Document, Classification]]) -> None:
        """Told of a batch's documents once one model has scored them all. Called in the model's thread, which it must
        not hold up: what takes long is done elsewhere, or left out. Never raises."""
        ...

    def stop(self) -> None:
        """Called once at the end; returns at once."""
        ...


# --- store/: what the record stage needs -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A document that only the sink refuses (SQLSTATE class 22 or 23, a value that it can't hold)."""

    offset: int
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Appended:
    """What a batch did to the history (for metrics and dead letters; never for the windows)."""

    new: int
    duplicates: int
    late: int
    refused: tuple[Refused, ...] = ()


class History(Protocol):
    """The truth. One instance per process; blocking."""

    def append(
        self, batches: Sequence[RecordBatch], *, recorded: Mapping[Partition, int] | None = None
    ) -> tuple[Appended, ...]:
        """Write batches, each of another partition, in one transaction: ledger, documents, texts, scores, mentions,
        minute roll-ups, marks and `next_offset`. Returns what each of them did, in their order. Doing it again, in
        whole or in part, changes nothing. Documents that the sink refuses are found by halving and left out (and
        returned); `next_offset` moves past them.

        `recorded`: the least that must have been recorded of a partition before. Raises Conflict, changing nothing,
        when it is less: the history was put back to an earlier state.
        """
        ...

    def next_offset(self, partition: Partition) -> int | None:
        """The offset after the last one recorded; None when nothing of this partition ever was."""
        ...

    def changes(self, starts: Mapping[Partition, int]) -> tuple[Changes, ...]:
        """What the messages of each partition from its start up to its `next_offset` add to the windows, read in one
        snapshot from the ledger, in the order given. Late documents add nothing."""
        ...

    def truncate(self, partition: Partition, log_end: int) -> None:
        """The log ends before `next_offset` (Kafka lost its tail): set `next_offset` to `log_end` and let ledger rows
        at or past it name no message any more, so that new messages at these offsets are counted."""
        ...


class Windows(Protocol):
    """The rolling windows (Redis), a function of the history. Blocking."""

    def guard(self, partition: Partition) -> int | None:
        """How far this partition has been counted; None when the windows do not know it. Raises WindowsNotWhole when
        there are no windows at all (flushed, or never made)."""
        ...

    def apply(self, changes: Changes) -> int | None:
        """Compare the guard with `changes.start`, add the changes and move it to `changes.end`, atomically.

        Returns None when applied, else the guard as it stands (nothing was changed). An unknown guard counts as 0.
        Raises WindowsNotWhole when there are no windows.
        """
        ...

    def rebuild(self) -> None:
        """Fill a new namespace from the history and switch to it atomically; the old one is removed."""
        ...


# --- store/: what the watcher and the API need ----------------------------------------------------------------------


class WindowReader(Protocol):
    """Reads the windows, over their retention from Redis and before it from the minute roll-ups. Blocking.

    Raises domain.errors.WindowsNotWhole while Redis is being rebuilt or is empty although there is a history.
    """

    def marks(self) -> tuple[MarkState, ...]:
        """How far event time has come, as of what the windows hold."""
        ...

    def buckets(self, start: Minute, end: Minute) -> Buckets:
        """All subjects' buckets over [start, end) and the marks, as of one instant."""
        ...

    def observed(self, start: Minute, end: Minute) -> Sequence[Minute]:
        """The minutes within [start, end) that have a document on any subject, rising."""
        ...

    def negative_publishers(self, subject: Subject, start: Minute, end: Minute) -> int:
        """Distinct publishers of negative documents over [start, end): exactly up to some hundreds, so that no
        alert hangs on an estimate; from about 1,000 on it may be estimated."""
        ...

    def series(self, subject: Subject, start: Minute, end: Minute, step: int) -> Sequence[WindowStats]:
        """Consecutive windows of `step` minutes covering [start, end), empty ones too; the last may be shorter."""
        ...


@dataclass(frozen=True, kw_only=True)
class StoredDocument:
    """A document as the history holds it."""

    scored: ScoredDocument
    late: bool
    recorded_at: datetime


@dataclass(frozen=True, kw_only=True)
class DocumentQuery:
    """Which documents to read, newest first. Bounds are event times: [start, end)."""

    start: datetime | None = None
    end: datetime | None = None
    subject: Subject | None = None
    source: str | None = None
    label: Label | None = None
    limit: int = 100
    cursor: str | None = None


@dataclass(frozen=True, kw_only=True)
class DocumentPage:
    """One page of documents, and the cursor of the next; None at the end."""

    documents: tuple[StoredDocument, ...]
    cursor: str | None


@dataclass(frozen=True, kw_only=True)
class SubjectSummary:
    """A subject, and what its roll-ups say over a span."""

    subject: Subject
    counts: Counts
    last_minute: Minute


class HistoryReader(Protocol):
    """Reads the history. Blocking."""

    def documents(self, query: DocumentQuery) -> DocumentPage:
        """Raises InvalidInput for a cursor that isn't one of ours."""
        ...

    def subjects(
        self, *, start: datetime | None, end: datetime | None, kind: SubjectKind | None, limit: int
    ) -> Sequence[SubjectSummary]:
        """Subjects with documents in [start, end), the busiest first."""
        ...

    def most_negative(self, subject: Subject, start: datetime, end: datetime, limit: int) -> Sequence[EvidenceDocument]:
        """Negative documents on a subject, not late ones, the lowest polarity first (then by time, then by id)."""
        ...

    def publishers(self, subject: Subject, start: datetime, end: datetime, limit: int) -> Sequence[PublisherCount]:
        """Publishers of negative documents, not late ones, the busiest first (then by name)."""
        ...

    def alerts(
        self, *, statuses: Sequence[AlertStatus] = (), subject: Subject | None = None, limit: int = 100
    ) -> Sequence[Alert]:
        """Alerts, the newest start first."""
        ...

    def deliveries(self, *, fingerprint: str | None = None, limit: int = 100) -> Sequence[Delivery]:
        """Attempts, the newest first."""
        ...


@dataclass(frozen=True, kw_only=True)
class WatchState:
    """How far the rules have been evaluated (boundary minute; None: never), and what is open."""

    evaluated_through: Minute | None
    open_alerts: tuple[Alert, ...]


class AlertStore(Protocol):
    """Keeps alerts, and how far the rules have been evaluated. Blocking."""

    def load(self) -> WatchState: ...

    def save(self, *, expected: Minute | None, evaluated_through: Minute, changes: Sequence[AlertChange]) -> None:
        """In one transaction: move `evaluated_through` on from `expected`, write the changes, and put their
        notifications in the outbox. Raises Conflict, changing nothing, when it is not where expected."""
        ...


class Outbox(Protocol):
    """Notifications to be sent. Blocking. `now` is wall-clock time."""

    def claim(self, *, now: datetime, lease: timedelta, limit: int) -> Sequence[Claimed]:
        """Take a lease on notifications that are due and not leased by anyone else, the oldest first. To one receiver,
        those about one alert go in order: none while an earlier one is neither delivered nor given up."""
        ...

    def settle(self, claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
        """Write the attempt; with `next_attempt_at` it will be tried again then, without it is done (delivered or
        failed). The attempt's row is always written; False when the lease was lost and the schedule left alone."""
        ...

    def next_due(self) -> datetime | None:
        """When the next notification is due (or its lease runs out); None when the outbox is empty."""
        ...

    def waiting(self) -> int:
        """How many notifications are neither delivered nor given up."""
        ...


class ModelRegistry(Protocol):
    """Which models there are, and which of them is in force. Blocking, thread-safe."""

    def register(self, ref: ModelRef, *, location: str, figures: Mapping[str, Any]) -> RegisteredModel:
        """Make a model known; of one that is known already the location and the figures are replaced."""
        ...

    def models(self) -> Sequence[RegisteredModel]:
        """All there are, the newest registration first."""
        ...

    def promoted(self) -> Sequence[RegisteredModel]:
        """The models of the promotions that are not undone, the newest first: the first one is in force, each other
        one is what a rollback of those before it leads to. Empty: none is promoted, and the settings decide."""
        ...

    def promote(
        self, ref: ModelRef, *, replaces: ModelRef | None, by: str, reason: str, forced: bool = False
    ) -> Promotion:
        """Put a registered model in force. Raises Conflict, changing nothing, when what it replaces is not what the
        caller took to be in force; InvalidInput (`model_unknown`) when it isn't registered."""
        ...

    def rollback(self, *, replaces: ModelRef | None, by: str, reason: str) -> Promotion:
        """Undo the newest promotion that isn't undone. Raises Conflict like `promote`, and InvalidInput
        (`nothing_promoted`) when there is none."""
        ...

    def promotions(self, limit: int = 20) -> Sequence[Promotion]:
        """Promotions and rollbacks, the newest first."""
        ...

    def report(self, model: ModelRef, *, worker: str, error: str | None) -> None:
        """Say what came of it when a worker was to take a model up."""
        ...

    def take_ups(self, limit: int = 100) -> Sequence[TakeUp]:
        """What workers reported, the newest first."""
        ...


class Corrections(Protocol):
    """What people say of documents where a model was wrong; only ever added to. Blocking, thread-safe."""

    def add(self, corrections: Sequence[Correction]) -> None:
        """Put all of them on record, in this order, or none. Raises domain.correction.DocumentsUnknown for those that
        the history doesn't hold."""
        ...

    def standing(self, *, task: str | None = None, limit: int | None = None) -> Sequence[StandingCorrection]:
        """The newest correction of each document, task and entity, without those withdrawn; in the order in which they
        were recorded. With a limit only the last of them."""
        ...

    def standing_of(self, ids: Collection[str]) -> Sequence[Correction]:
        """What stands of these documents, in the order in which it was recorded."""
        ...

    def corrected(self, ids: Collection[str], tasks: Collection[str]) -> set[str]:
        """Those of the documents for which a correction of one of the tasks stands."""
        ...


# --- service/ --------------------------------------------------------------------------------------------------------


class Telemetry(Protocol):
    """Metrics. Names and labels are declared in service/metrics.py; an undeclared one is a programming error."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...

    def observe(self, name: str, value: float, **labels: str) -> None: ...

    def gauge(self, name: str, value: float, **labels: str) -> None: ...

    def timed(self, name: str, **labels: str) -> AbstractContextManager[None]:
        """Observe the seconds that the block took."""
        ...


class NoTelemetry:
    """Measures nothing."""

    def count(self, name: str, amount: float = 1, **labels: str) -> None: ...

    def observe(self, name: str, value: float, **labels: str) -> None: ...

    def gauge(self, name: str, value: float, **labels: str) -> None: ...

    def timed(self, name: str, **labels: str) -> AbstractContextManager[None]:
        return nullcontext()


class TopicIds(Protocol):
    """Names the incarnation of a topic. Blocking."""

    def topic_id(self, topic: str) -> UUID: ...
