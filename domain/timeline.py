"""Event time: UTC everywhere, minutes as whole numbers since the epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(3000, 1, 1, tzinfo=UTC)
"""Nothing is published before the one, or from the other on: event time only goes forward, and must not go so far."""
MINUTE = timedelta(minutes=1)

Minute = int
"""Whole minutes since 1970-01-01T00:00Z; the minute m covers [m·60 s, (m+1)·60 s)."""


def require_utc(name: str, at: datetime) -> None:
    """Raise ValueError unless `at` is aware and in UTC."""
    if at.utcoffset() != timedelta(0):
        raise ValueError(f"{name} must be an aware datetime in UTC, got {at!r}")


def minute_of(at: datetime) -> Minute:
    """The minute that `at` falls in."""
    return (at - EPOCH) // MINUTE


def start_of(minute: Minute) -> datetime:
    """The instant at which `minute` begins."""
    return EPOCH + minute * MINUTE


def from_epoch_ms(milliseconds: int) -> datetime:
    """An aware UTC datetime, exact to the millisecond."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def to_epoch_us(at: datetime) -> int:
    """Whole microseconds since the epoch: the finest that Postgres keeps."""
    return (at - EPOCH) // timedelta(microseconds=1)


def to_rfc3339(at: datetime, *, timespec: str = "auto") -> str:
    """`2014-01-06T14:00:00Z`, for an instant in UTC; `timespec` as of datetime.isoformat."""
    return at.isoformat(timespec=timespec).replace("+00:00", "Z")
