"""An alert's evidence as JSON, and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from domain.alert import Evidence, EvidenceDocument, PublisherCount
from domain.classification import ModelRef, Sentiment
from domain.document import Kind


def to_json(evidence: Evidence) -> dict[str, Any]:
    """What `alert.evidence` holds: the fields under their own names, times in RFC 3339."""
    return {
        "window_start": evidence.window_start.isoformat(),
        "window_end": evidence.window_end.isoformat(),
        "count": evidence.count,
        "negative": evidence.negative,
        "negative_share": evidence.negative_share,
        "negative_publishers": evidence.negative_publishers,
        "expected_negative": evidence.expected_negative,
        "baseline_minutes": evidence.baseline_minutes,
        "documents": [_document_to_json(document) for document in evidence.documents],
        "publishers": [{"publisher": one.publisher, "negative": one.negative} for one in evidence.publishers],
        "models": [_model_to_json(model) for model in evidence.models],
    }


def from_json(data: dict[str, Any]) -> Evidence:
    """The inverse of `to_json`."""
    return Evidence(
        window_start=datetime.fromisoformat(data["window_start"]),
        window_end=datetime.fromisoformat(data["window_end"]),
        count=data["count"],
        negative=data["negative"],
        negative_share=data["negative_share"],
        negative_publishers=data["negative_publishers"],
        expected_negative=data["expected_negative"],
        baseline_minutes=data["baseline_minutes"],
        documents=tuple(_document_from_json(document) for document in data["documents"]),
        publishers=tuple(PublisherCount(**one) for one in data["publishers"]),
        models=tuple(ModelRef(**model) for model in data["models"]),
    )


def _document_to_json(document: EvidenceDocument) -> dict[str, Any]:
    return {
        "id": document.id,
        "kind": document.kind.value,
        "published_at": document.published_at.isoformat(),
        "publisher": document.publisher,
        "title": document.title,
        "text": document.text,
        "url": document.url,
        "sentiment": {
            "negative": document.sentiment.negative,
            "neutral": document.sentiment.neutral,
            "positive": document.sentiment.positive,
        },
        "model": _model_to_json(document.model),
    }


def _document_from_json(data: dict[str, Any]) -> EvidenceDocument:
    return EvidenceDocument(
        id=data["id"],
        kind=Kind(data["kind"]),
        published_at=datetime.fromisoformat(data["published_at"]),
        publisher=data["publisher"],
        title=data["title"],
        text=data["text"],
        url=data["url"],
        sentiment=Sentiment(**data["sentiment"]),
        model=ModelRef(**data["model"]),
    )


def _model_to_json(model: ModelRef) -> dict[str, str]:
    return {"name": model.name, "version": model.version}
