"""How far back the windows reach: expiry follows event time, never the wall clock."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from domain.timeline import MINUTE, Minute, minute_of
from domain.watermark import MarkState, watermark

EVERYTHING = minute_of(datetime.min.replace(tzinfo=UTC))
"""A horizon before which nothing can lie: the first minute that a datetime can name."""


def horizon(states: Iterable[MarkState], *, retention: timedelta, lateness: timedelta) -> Minute | None:
    """The oldest minute to be kept: the watermark's, less `retention` in whole minutes, rounded up. None while the
    watermark is unknown: nothing expires then."""
    at = watermark(states, lateness).at
    return None if at is None else minute_of(at) + (-retention // MINUTE)


def first_horizon(states: Iterable[MarkState], *, retention: timedelta, lateness: timedelta) -> Minute:
    """The horizon of windows that are made anew. While the watermark is unknown it goes by the newest event time, and
    readers get what is older from the history; without any event time there is nothing to leave out."""
    states = tuple(states)
    known = horizon(states, retention=retention, lateness=lateness)
    if known is not None:
        return known
    newest = max((state.high_time for state in states if state.high_time is not None), default=None)
    return EVERYTHING if newest is None else minute_of(newest - lateness) + (-retention // MINUTE)
