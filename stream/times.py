"""Times as senders write them: RFC 3339, or seconds or milliseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from domain.timeline import END, EPOCH

_RFC_3339: Final = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", flags=re.ASCII)
_NUMBER: Final = re.compile(r"\d{9,17}(\.\d+)?", flags=re.ASCII)
_SECOND: Final = timedelta(seconds=1)

_MILLISECONDS_FROM: Final = 1e11
"""A number from here on counts milliseconds: as seconds it would be the year 5138, as milliseconds it is 1973."""
_MILLISECONDS_TO: Final = 1e14


class BadTime(ValueError):
    """It is not a time; the text says why, and goes on from the name of the field."""


def parse_time(given: str | float) -> datetime:
    """The instant in UTC, to the microsecond. Raises BadTime.

    A text is RFC 3339 with its offset (`2014-01-06T14:00:00Z`; any offset, a leap second is the second after), or a
    number of at least nine digits. A number counts seconds since the epoch below 10¹¹, milliseconds from there on.
    Nothing before 1970 or after 2999 is a time.
    """
    if not isinstance(given, str):
        return _from_number(given)
    text = given.strip()
    if match := _RFC_3339.fullmatch(text):
        return _from_parts(text, match)
    if _NUMBER.fullmatch(text):
        return _from_number(float(text))
    raise BadTime(f"{text[:40]!r} is not a date: write RFC 3339 (2014-01-06T14:00:00Z) or epoch (milli)seconds")


def _from_parts(text: str, match: re.Match[str]) -> datetime:
    day, minutes, seconds, fraction, offset = match.groups()
    if offset is None:
        raise BadTime(f"{text!r} has no offset from UTC: append Z, or an offset such as +01:00")
    leap = seconds == "60"
    iso = f"{day}T{minutes}{'59' if leap else seconds}{(fraction or '')[:7]}{offset.upper()}"
    try:
        at = datetime.fromisoformat(iso).astimezone(UTC) + (_SECOND if leap else timedelta(0))
    except (ValueError, OverflowError) as error:
        raise BadTime(f"{text!r} is not a date: {error}") from error
    return in_range(text, at)


def in_range(given: object, at: datetime) -> datetime:
    """`at`, which is how `given` was read. Raises BadTime."""
    if not EPOCH <= at < END:
        raise BadTime(f"{given!s} is before 1970 or after 2999")
    return at


def _from_number(number: float) -> datetime:
    if not 0 <= number < _MILLISECONDS_TO:
        raise BadTime(f"{number!r} is out of range: write seconds or milliseconds since 1970")
    unit = timedelta(milliseconds=1) if number >= _MILLISECONDS_FROM else _SECOND
    return in_range(number, EPOCH + number * unit)
