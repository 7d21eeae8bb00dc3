"""Documents in: validated as the classify stage would, then put on Kafka."""

from __future__ import annotations

import math
import sys
from datetime import datetime

import msgspec
from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from domain.document import Kind
from service.http.bodies import BoundedBody, items_of
from service.http.errors import PROBLEMS, Problem
from service.http.parts import GivenParts

router = APIRouter(prefix="/v1", responses=PROBLEMS)

_MOST_DIGITS = sys.int_info.default_max_str_digits


class AcceptedDocument(BaseModel):
    """A document that Kafka has acknowledged."""

    id: str = Field(description="As given, or derived from source, url and text.")
    kind: Kind
    published_at: datetime


class Accepted(BaseModel):
    """In the order in which they were sent."""

    accepted: int = Field(examples=[1])
    documents: list[AcceptedDocument]


_EXAMPLE = {
    "kind": "news",
    "source": "Example Wire",
    "title": "Example Corp cuts its forecast",
    "text": "Example Corp ($EXMP) cut its forecast for the year after losing its largest customer.",
    "symbols": ["EXMP"],
    "published_at": "2026-01-31T09:30:00Z",
}
_DOCUMENT_SCHEMA = {
    "type": "object",
    "required": ["text"],
    "properties": {
        "kind": {"enum": ["news", "comment"], "default": "news", "description": "Which topic it goes to."},
        "text": {"type": "string"},
        "id": {"type": "string", "description": "Without it, one is derived from source, url and text."},
        "title": {"type": "string"},
        "source": {"type": "string", "description": "The publisher of a news item."},
        "author": {"type": "string", "description": "The publisher of a comment."},
        "url": {"type": "string"},
        "lang": {"type": "string", "description": "BCP 47."},
        "symbols": {"type": "array", "items": {"type": "string"}},
        "published_at": {
            "oneOf": [{"type": "string", "format": "date-time"}, {"type": "number"}],
            "description": "RFC 3339, or epoch seconds or milliseconds; without it, the time of arrival.",
        },
    },
}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [_DOCUMENT_SCHEMA, {"type": "array", "items": _DOCUMENT_SCHEMA}]},
                "examples": {"one": {"value": _EXAMPLE}, "many": {"value": [_EXAMPLE]}},
            }
        },
    }
}


@router.post(
    "/documents",
    status_code=202,
    summary="Send one document, or many",
    openapi_extra=_BODY,
    responses={413: {"model": Problem, "description": "The body is too large, or holds too many documents."}},
)
async def post_documents(parts: GivenParts, body: BoundedBody) -> Accepted:
    """All of them or none: when one is not valid, `errors` names each by its index and reason, and none is
    accepted. 202 means that Kafka has acknowledged all; they are classified and counted soon after."""
    items = items_of(body, noun="document", limit=parts.policy.max_documents, parse_float=_float, parse_int=_int)
    documents = await run_in_threadpool(parts.publisher.publish, items)
    return Accepted(
        accepted=len(documents),
        documents=[AcceptedDocument(id=d.id, kind=d.kind, published_at=d.published_at) for d in documents],
    )


def _float(text: str) -> object:
    # What is beyond Python's numbers is passed on as it stands, so that the same check as on Kafka names its field.
    number = float(text)
    return number if math.isfinite(number) else msgspec.Raw(text.encode())


def _int(text: str) -> object:
    return int(text) if len(text) <= _MOST_DIGITS else msgspec.Raw(text.encode())
