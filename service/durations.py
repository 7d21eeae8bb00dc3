"""Spans of time as people write them: `90`, `15m`, `1h30m`, `500ms`, `PT15M`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_NUMBER = r"\d+(?:\.\d+)?"
_PART = re.compile(rf"({_NUMBER})(ms|s|m|h|d|w)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")
# ISO 8601 durations without years and months, whose length is not fixed.
_ISO = re.compile(
    rf"P(?!$)(?:(?P<w>{_NUMBER})W)?(?:(?P<d>{_NUMBER})D)?"
    rf"(?:T(?!$)(?:(?P<h>{_NUMBER})H)?(?:(?P<m>{_NUMBER})M)?(?:(?P<s>{_NUMBER})S)?)?"
)
ALLOWED = "a duration such as 500ms, 90s, 15m, 24h, 1h30m, 30d, PT15M, or a number of seconds"


def parse_duration(value: object) -> timedelta:
    """A non-negative span of time. Raises ValueError saying what is allowed."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = repr(value)
    elif isinstance(value, str):
        text = value.strip()
    else:
        raise ValueError(f"must be {ALLOWED}")
    try:
        if re.fullmatch(_NUMBER, text):
            return timedelta(seconds=float(text))
        if _WHOLE.fullmatch(text.replace(" ", "").lower()):
            parts = _PART.findall(text.replace(" ", "").lower())
            return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())
        if iso := _ISO.fullmatch(text.upper()):
            return sum((float(n) * _UNITS[unit] for unit, n in iso.groupdict().items() if n), timedelta())
    except OverflowError:
        pass
    raise ValueError(f"must be {ALLOWED}")


def format_duration(value: timedelta) -> str:
    """The shortest way to write it with the units above: `parse_duration` reads it back to the millisecond."""
    milliseconds = round(value / _UNITS["ms"])
    if milliseconds == 0:
        return "0s"
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        number, milliseconds = divmod(milliseconds, round(_UNITS[unit] / _UNITS["ms"]))
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts)


Duration = Annotated[timedelta, BeforeValidator(parse_duration), PlainSerializer(format_duration, return_type=str)]
