"""Query parameters: parsed strictly, with errors that say what is allowed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

from domain.subject import Subject, SubjectKind
from domain.timeline import EPOCH

_LATEST = datetime(9999, 1, 1, tzinfo=UTC)
"""Leaves room for what is computed from a time."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)")


def _parse_time(value: object) -> datetime | None:
    if value is None or isinstance(value, datetime):
        return value
    # A plus sign that was not percent-encoded arrives as a space.
    text = re.sub(r" (\d\d:\d\d)$", r"+\1", str(value))
    try:
        if not _RFC3339.fullmatch(text):
            raise ValueError
        at = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"must be an RFC 3339 time with its offset, such as 2026-01-31T09:30:00Z, got {str(value)[:40]!r}"
        ) from None
    if not EPOCH <= at <= _LATEST:
        raise ValueError(f"must lie in the years from 1970 to 9998, got {str(value)[:40]!r}")
    return at


def _check_subject(text: str) -> str:
    """As it is kept: symbols are in capitals."""
    try:
        subject = Subject.parse(text)
    except ValueError:
        raise ValueError(f"must be topic:NAME or entity:SYMBOL, got {text[:40]!r}") from None
    return str(replace(subject, name=subject.name.upper()) if subject.kind is SubjectKind.ENTITY else subject)


Time = Annotated[
    datetime, BeforeValidator(_parse_time), WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation")
]
"""An RFC 3339 time, in UTC."""

SubjectText = Annotated[str, AfterValidator(_check_subject)]
"""A subject as it is written: `topic:Energy | Oil`, `entity:AAPL`."""


class Parameters(BaseModel):
    """Query parameters; a misspelt one is an error, not ignored."""

    model_config = ConfigDict(extra="forbid")
