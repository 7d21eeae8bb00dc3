"""Sliding sums over minutes: what a rule's window and baseline hold at each boundary, without adding it all up again.

A boundary b splits time: a rule's window is [b − window, b), its baseline [b − window − baseline, b − window).
Advancing by a minute touches three minutes only: one enters the window, one goes from the window to the baseline, one
leaves the baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from domain.subject import Subject
from domain.timeline import Minute
from domain.window import Counts

HOUR = 60

_Key = TypeVar("_Key", Subject, int)

Negatives = Mapping[Subject, int]
"""Negative documents of one minute; only subjects that have some."""

_NOTHING: Negatives = {}


@dataclass(frozen=True, kw_only=True)
class Span:
    """What one rule sums over, in minutes, and from how many negative documents on a subject is of interest to it."""

    window: int
    baseline: int
    hot_at: int


class Sums:
    """One rule's sums at a boundary."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.window: dict[Subject, int] = {}
        """Negative documents in the window; no zeros."""
        self.baseline: dict[Subject, int] = {}
        """Negative documents in the baseline; no zeros."""
        self.hours: dict[int, int] = {}
        """Observed minutes in the baseline by clock hour (minute // 60); no zeros."""
        self.hot: set[Subject] = set()
        """Subjects with at least `span.hot_at` negative documents in the window."""

    def into_window(self, negatives: Negatives, sign: int) -> None:
        """Add a minute to the window, or with −1 take it out."""
        for subject, negative in negatives.items():
            total = self.window.get(subject, 0) + sign * negative
            _set(self.window, subject, total)
            if total >= self.span.hot_at:
                self.hot.add(subject)
            else:
                self.hot.discard(subject)

    def into_baseline(self, minute: Minute, negatives: Negatives, sign: int) -> None:
        """Add an observed minute to the baseline, or with −1 take it out."""
        for subject, negative in negatives.items():
            _set(self.baseline, subject, self.baseline.get(subject, 0) + sign * negative)
        _set(self.hours, minute // HOUR, self.hours.get(minute // HOUR, 0) + sign)


class Timeline:
    """The minutes that the rules look back on at the boundary, and each rule's sums over them.

    Holds no more than the longest span needs, and what was put beyond the boundary. A minute is observed when it has
    a document on any subject.
    """

    def __init__(self, boundary: Minute, spans: Sequence[Span]) -> None:
        self.boundary = boundary
        self.sums = tuple(Sums(span) for span in spans)
        self.longest_window = max(span.window for span in spans)
        self.longest = max(span.window + span.baseline for span in spans)
        self._negatives: dict[Minute, Negatives] = {}
        self._counts: dict[Minute, Mapping[Subject, Counts]] = {}

    @property
    def empty(self) -> bool:
        """Nothing was observed in any rule's span, nor put beyond the boundary."""
        return not self._negatives

    def put(self, counts: Mapping[Minute, Mapping[Subject, Counts]], start: Minute, end: Minute) -> None:
        """Say what [start, end) holds; it replaces what was said before."""
        for minute in range(start, min(end, self.boundary)):
            self._replace(minute, counts.get(minute))
        for minute, held in counts.items():
            if self.boundary <= minute < end:
                self._hold(minute, held)

    def advance(self) -> None:
        """Move the boundary on by a minute."""
        entering = self._negatives.get(self.boundary)
        for sums in self.sums:
            if entering:
                sums.into_window(entering, +1)
            leaving_minute = self.boundary - sums.span.window
            leaving = self._negatives.get(leaving_minute)
            if leaving is not None:
                sums.into_window(leaving, -1)
                sums.into_baseline(leaving_minute, leaving, +1)
            gone_minute = leaving_minute - sums.span.baseline
            gone = self._negatives.get(gone_minute)
            if gone is not None:
                sums.into_baseline(gone_minute, gone, -1)
        self._counts.pop(self.boundary - self.longest_window, None)
        self._negatives.pop(self.boundary - self.longest, None)
        self.boundary += 1

    def jump(self, boundary: Minute) -> None:
        """Move an empty timeline's boundary on to `boundary`."""
        if not self.empty:
            raise ValueError("only an empty timeline can jump")
        self.boundary = boundary

    def documents(self, subject: Subject, window: int) -> int:
        """All documents on a subject in the `window` minutes before the boundary, at most the longest window."""
        found = (self._counts.get(minute, {}).get(subject) for minute in range(self.boundary - window, self.boundary))
        return sum(counts.count for counts in found if counts is not None)

    def observed_minutes(self, sums: Sums) -> int:
        """How many minutes of a rule's baseline were observed: from the first minute with a document on, all minutes
        of the clock hours in which the baseline has a document. An hour of silence says nothing of what to expect."""
        if not sums.hours:
            return 0
        end = self.boundary - sums.span.window
        first_hour, last_hour = min(sums.hours), max(sums.hours)
        first = max(first_hour * HOUR, end - sums.span.baseline)
        while first not in self._negatives:
            first += 1
        return len(sums.hours) * HOUR - (first - first_hour * HOUR) - max((last_hour + 1) * HOUR - end, 0)

    def _replace(self, minute: Minute, held: Mapping[Subject, Counts] | None) -> None:
        old = self._negatives.get(minute)
        new = None if held is None else _negatives(held)
        if new != old:
            for sums in self.sums:
                age = self.boundary - minute
                for negatives, sign in ((old, -1), (new, +1)):
                    if negatives is None:
                        continue
                    if age <= sums.span.window:
                        sums.into_window(negatives, sign)
                    elif age <= sums.span.window + sums.span.baseline:
                        sums.into_baseline(minute, negatives, sign)
        if held is None:
            self._negatives.pop(minute, None)
            self._counts.pop(minute, None)
        elif minute >= self.boundary - self.longest:
            self._hold(minute, held)

    def _hold(self, minute: Minute, held: Mapping[Subject, Counts]) -> None:
        self._negatives[minute] = _negatives(held)
        if minute >= self.boundary - self.longest_window:
            self._counts[minute] = held


def _negatives(held: Mapping[Subject, Counts]) -> Negatives:
    return {subject: counts.negative for subject, counts in held.items() if counts.negative} or _NOTHING


def _set(totals: dict[_Key, int], key: _Key, total: int) -> None:
    if total:
        totals[key] = total
    else:
        totals.pop(key, None)
