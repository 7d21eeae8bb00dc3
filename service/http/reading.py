"""What the history and the windows say: subjects, windows, documents, alerts, deliveries."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from domain.alert import AlertStatus
from domain.classification import Label
from domain.correction import Correction
from domain.errors import InvalidInput
from domain.ports import DocumentQuery
from domain.subject import Subject, SubjectKind
from domain.timeline import MINUTE, minute_of, start_of, to_rfc3339
from domain.watermark import watermark
from service.durations import Duration
from service.http.alert_views import AlertsView, AlertView, DeliveriesView, DeliveryView
from service.http.errors import PROBLEMS
from service.http.parameters import Parameters, SubjectText, Time
from service.http.parts import GivenParts
from service.http.views import DocumentsView, DocumentView, SubjectsView, SubjectView, WindowsView, WindowView

router = APIRouter(prefix="/v1", responses=PROBLEMS)

_DEFAULT_SPAN = timedelta(hours=24)


class SpanQuery(Parameters):
    """A span of event time, [from, to)."""

    start: Time | None = Field(default=None, alias="from", description="From this time on (RFC 3339).")
    end: Time | None = Field(default=None, alias="to", description="Before this time (RFC 3339).")


class SubjectsQuery(SpanQuery):
    """Which subjects."""

    kind: SubjectKind | None = Field(default=None, description="Only topics, or only entities.")
    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")


class WindowsQuery(SpanQuery):
    """Which windows."""

    step: Duration = Field(
        default=timedelta(minutes=15),
        ge=MINUTE,
        description="Length of a window, in whole minutes: `15m`, `1h`, `900`.",
    )


class DocumentsQuery(SpanQuery):
    """Which documents."""

    subject: SubjectText | None = Field(default=None, examples=["topic:Energy | Oil"])
    source: str | None = Field(default=None, min_length=1, description="Only of this source.")
    label: Label | None = Field(default=None, description="Only of this sentiment.")
    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")
    cursor: str | None = Field(default=None, max_length=500, description="The cursor of the page before.")


class AlertsQuery(Parameters):
    """Which alerts."""

    status: list[AlertStatus] = Field(default=[], description="Only of these statuses; may be given several times.")
    subject: SubjectText | None = Field(default=None, examples=["entity:AAPL"])
    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")


class DeliveriesQuery(Parameters):
    """Which attempts."""

    fingerprint: str | None = Field(default=None, pattern="^[0-9a-f]{32}$", description="Only of this alert.")
    limit: int = Field(default=100, ge=1, le=1000, description="How many at most.")


@router.get("/subjects", summary="Subjects, the busiest first")
def subjects(parts: GivenParts, query: Annotated[SubjectsQuery, Query()]) -> SubjectsView:
    """Subjects with documents in [from, to), with their sums. Without bounds: over the whole history."""
    _check_order(query.start, query.end)
    found = parts.history.subjects(start=query.start, end=query.end, kind=query.kind, limit=query.limit)
    return SubjectsView(subjects=[SubjectView.of(summary) for summary in found])


@router.get("/subjects/{subject:path}/windows", summary="The windows of one subject")
def windows(
    parts: GivenParts,
    subject: Annotated[
        SubjectText, Path(description="`topic:NAME` or `entity:SYMBOL`, URL-encoded.", examples=["topic:Energy | Oil"])
    ],
    query: Annotated[WindowsQuery, Query()],
) -> WindowsView:
    """Consecutive windows of `step` covering [from, to), empty ones too. Without `to`: up to the watermark; without
    `from`: 24 hours before. Bounds that are not whole minutes are widened to whole minutes."""
    if query.step % MINUTE:
        raise InvalidInput("bad_step", "step must be whole minutes, such as 1m, 15m or 1h")
    reached = watermark(parts.windows.marks(), parts.policy.lateness).at
    end = query.end or reached or parts.clock()
    start = query.start or end - _DEFAULT_SPAN
    _check_order(start, end)
    first, last = minute_of(start), minute_of(end + MINUTE - timedelta(microseconds=1))
    step = query.step // MINUTE
    count = -(-(last - first) // step)
    if count > parts.policy.max_windows:
        raise InvalidInput(
            "too_many_windows",
            f"from, to and step ask for {count} windows; at most {parts.policy.max_windows} are answered at once: "
            "use a larger step or a shorter span",
        )
    series = parts.windows.series(Subject.parse(subject), first, last, step)
    return WindowsView(
        subject=subject,
        start=start_of(first),
        end=start_of(last),
        step_seconds=step * 60,
        watermark=reached,
        windows=[WindowView.of(stats) for stats in series],
    )


@router.get("/documents", summary="Documents, the newest first")
def documents(parts: GivenParts, query: Annotated[DocumentsQuery, Query()]) -> DocumentsView:
    """Documents published in [from, to), with what people corrected; `label` asks for what the model says. A page ends
    with a cursor when there are more."""
    _check_order(query.start, query.end)
    page = parts.history.documents(
        DocumentQuery(
            start=query.start,
            end=query.end,
            subject=_subject(query.subject),
            source=query.source,
            label=query.label,
            limit=query.limit,
            cursor=query.cursor,
        )
    )
    said: defaultdict[str, list[Correction]] = defaultdict(list)
    for one in parts.corrections.standing_of([stored.scored.document.id for stored in page.documents]):
        said[one.document_id].append(one)
    return DocumentsView(
        documents=[DocumentView.of(stored, said[stored.scored.document.id]) for stored in page.documents],
        cursor=page.cursor,
    )


@router.get("/alerts", summary="Alerts, the newest start first")
def alerts(parts: GivenParts, query: Annotated[AlertsQuery, Query()]) -> AlertsView:
    """Alerts with their evidence."""
    found = parts.history.alerts(statuses=query.status, subject=_subject(query.subject), limit=query.limit)
    return AlertsView(alerts=[AlertView.of(alert) for alert in found])


@router.get("/deliveries", summary="Attempts at calling receivers, the newest first")
def deliveries(parts: GivenParts, query: Annotated[DeliveriesQuery, Query()]) -> DeliveriesView:
    """Every attempt is kept, with its outcome."""
    found = parts.history.deliveries(fingerprint=query.fingerprint, limit=query.limit)
    return DeliveriesView(deliveries=[DeliveryView.of(delivery) for delivery in found])


def _subject(text: str | None) -> Subject | None:
    return None if text is None else Subject.parse(text)


def _check_order(start: datetime | None, end: datetime | None) -> None:
    if start is not None and end is not None and start >= end:
        raise InvalidInput("bad_span", f"from ({to_rfc3339(start)}) must be before to ({to_rfc3339(end)})")
