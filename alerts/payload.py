"""The JSON that receivers get. The same alert and transition give the same bytes, whoever renders them and whenever.

All times in it are event times; docs/alerts.md describes it, docs/webhook.schema.json is its JSON Schema.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from domain.alert import Alert, Evidence, EvidenceDocument, Transition
from domain.classification import ModelRef
from domain.timeline import to_rfc3339

EXCERPT = 600
"""Characters of a document's text that are quoted: Standard Webhooks advises payloads below 20 kB."""

_DIGITS = 4
"""Decimal places: more would show how a store rounds its floats."""


def render(alert: Alert, transition: Transition) -> bytes:
    """UTF-8 JSON about `alert` having made `transition`. Raises ValueError for an alert that has not made it."""
    at = alert.fired_at if transition is Transition.FIRING else alert.ends_at
    if at is None or alert.evidence is None:
        raise ValueError(f"alert {alert.fingerprint} has not made the transition to {transition}")
    payload = {
        "type": f"alert.{transition.value}",
        "timestamp": _time(at),
        "data": {
            "schema": 1,
            "alert": _alert(alert, transition),
            **_measured(alert.evidence),
            "documents": [_document(document) for document in alert.evidence.documents],
            "publishers": [{"publisher": one.publisher, "negative": one.negative} for one in alert.evidence.publishers],
            "models": [_model(model) for model in alert.evidence.models],
        },
    }
    return json.dumps(payload, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _alert(alert: Alert, transition: Transition) -> dict[str, Any]:
    resolved = transition is Transition.RESOLVED
    return {
        "fingerprint": alert.fingerprint,
        "rule": alert.rule,
        "subject": str(alert.subject),
        "severity": alert.severity.value,
        "status": transition.value,
        "starts_at": _time(alert.starts_at),
        "fired_at": _time(alert.fired_at),
        "ends_at": _time(alert.ends_at) if resolved else None,
        "negative_now": round(alert.value),
    }


def _measured(evidence: Evidence) -> dict[str, Any]:
    expected = evidence.expected_negative
    return {
        "window": {
            "start": _time(evidence.window_start),
            "end": _time(evidence.window_end),
            "documents": evidence.count,
            "negative": evidence.negative,
            "negative_share": round(evidence.negative_share, _DIGITS),
            "negative_publishers": evidence.negative_publishers,
        },
        "baseline": {
            "expected_negative": round(expected, _DIGITS),
            "observed_minutes": evidence.baseline_minutes,
            "height": round(evidence.negative / expected, _DIGITS) if expected else None,
        },
    }


def _document(document: EvidenceDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "kind": document.kind.value,
        "published_at": _time(document.published_at),
        "publisher": document.publisher,
        "title": document.title,
        "text": document.text[:EXCERPT],
        "text_cut": len(document.text) > EXCERPT,
        "url": document.url,
        "sentiment": {
            "negative": round(document.sentiment.negative, _DIGITS),
            "neutral": round(document.sentiment.neutral, _DIGITS),
            "positive": round(document.sentiment.positive, _DIGITS),
        },
        "polarity": round(document.sentiment.polarity, _DIGITS),
        "model": _model(document.model),
    }


def _model(model: ModelRef) -> dict[str, str]:
    return {"name": model.name, "version": model.version}


def _time(at: datetime | None) -> str | None:
    return None if at is None else to_rfc3339(at)
