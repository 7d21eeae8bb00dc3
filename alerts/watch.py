"""The watcher: evaluates the rules at every minute boundary up to the watermark, in order, each exactly once.

How far it has come is saved in the transaction of what came of it, and what it looks at are closed minutes. So it
gives the same alerts whether it runs all the time, catches up after an outage, or is restarted at any moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.evaluate import Evaluation
from alerts.evidence import Witness
from alerts.surge import SurgeRule
from domain.alert import Alert, AlertChange, AlertStatus, Transition
from domain.errors import Conflict, TemporaryError, WindowsNotWhole
from domain.log import Partition
from domain.ports import AlertStore, HistoryReader, NoTelemetry, Telemetry, WindowReader
from domain.timeline import Minute, minute_of, start_of
from domain.watermark import Watermark, watermark
from domain.window import Buckets

log = logging.getLogger(__name__)

MOST_CHANGES = 200
"""A tick ends early when it has that many changes to save: it bounds the transaction."""

FIRST_SPAN = 90 * 24 * 60
"""Minutes that are asked for at a time while looking for the first document of all."""


@dataclass(frozen=True, kw_only=True)
class WatchPolicy:
    """How the watcher reads and waits."""

    poll: timedelta = timedelta(seconds=1)
    """How often it looks whether the watermark has moved."""
    most_wait: timedelta = timedelta(seconds=30)
    """The longest wait between tries while a server is down."""
    first_read: int = 240
    """Minutes that the first read covers; then it adapts to how much a read brought."""
    most_read: int = 10_080
    """Minutes that one read covers at most."""
    buckets_per_read: int = 50_000
    """How many buckets (a minute and a subject) one read should bring at most."""


class TickReason(StrEnum):
    """What a tick did, or why it did nothing."""

    EVALUATED = "evaluated"
    UP_TO_DATE = "up_to_date"
    NO_WATERMARK = "no_watermark"
    """Event time is not known: a source partition has not been read yet."""
    NOTHING_OBSERVED = "nothing_observed"
    """There has not been a single document."""
    WINDOWS_NOT_WHOLE = "windows_not_whole"
    """The windows are being rebuilt, or fell back behind what was known."""
    CONFLICT = "conflict"
    """Another watcher moved on first; this one goes on from there."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What a tick did."""

    reason: TickReason
    evaluated_through: Minute | None = None
    boundaries: int = 0
    """How many were evaluated."""
    behind: bool = False
    """There is more to evaluate at once."""
    changes: tuple[AlertChange, ...] = ()
    """What was saved."""
    watermark: datetime | None = None
    held_by: tuple[Partition, ...] = ()
    """The source partitions that hold the watermark back."""

    def told(self, transition: Transition) -> tuple[Alert, ...]:
        """The alerts that made this transition."""
        return tuple(change.alert for change in self.changes if change.transition is transition)


@dataclass
class _Progress:
    """What the watcher knows; made from what was saved, and dropped whenever that may not be the same."""

    saved: Minute | None
    """As the store has it."""
    evaluation: Evaluation | None = None
    """None while nothing has been observed."""
    known: bool = False
    """The timeline holds what came before the boundary."""
    open_alerts: tuple[Alert, ...] = ()


class Watcher:
    """Watches the rules. One thread; several watchers may run against the same store, and one of them gets on."""

    def __init__(
        self,
        rules: Sequence[SurgeRule],
        *,
        windows: WindowReader,
        history: HistoryReader,
        alerts: AlertStore,
        lateness: timedelta,
        telemetry: Telemetry | None = None,
        policy: WatchPolicy | None = None,
    ) -> None:
        names = [rule.name for rule in rules]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"rules must have different names, and there must be one at least, got {names}")
        self._rules = tuple(rules)
        self._windows = windows
        self._witness = Witness(history, windows)
        self._alerts = alerts
        self._lateness = lateness
        self._telemetry = telemetry or NoTelemetry()
        self._policy = policy or WatchPolicy()
        self._read_minutes = self._policy.first_read
        self._progress: _Progress | None = None

    def run(self, stop: threading.Event) -> None:
        """Tick until `stop` is set. A server that is down is waited for; PermanentError is raised."""
        wait = poll = self._policy.poll.total_seconds()
        said: str | None = None
        while not stop.is_set():
            try:
                tick = self.tick()
                wait, saying = poll, _say(tick)
            except TemporaryError as error:
                wait = min(max(wait * 2, error.delay or 0), self._policy.most_wait.total_seconds())
                tick, saying = None, f"Waiting: {error}"
            if saying != said:
                log.info("%s", saying or "Going on")
            said = saying
            for change in tick.changes if tick else ():
                if change.transition is not None:
                    log.info("Alert %s: %s on %s", change.transition, change.alert.rule, change.alert.subject)
            if tick is None or not tick.behind:
                stop.wait(wait)

    def tick(self) -> Tick:
        """Evaluate what has become due, at most one read's worth, and save it. Raises what the ports raise.

        Whatever goes wrong, nothing is half done: it is all done again from what was saved.
        """
        progress, self._progress = self._progress, None
        try:
            progress = progress or self._load()
            tick = self._evaluate(progress)
        except Conflict:
            return Tick(reason=TickReason.CONFLICT)
        except WindowsNotWhole:
            return Tick(reason=TickReason.WINDOWS_NOT_WHOLE)
        self._progress = progress
        return tick

    def _load(self) -> _Progress:
        state = self._alerts.load()
        progress = _Progress(saved=state.evaluated_through, open_alerts=state.open_alerts)
        if state.evaluated_through is not None:
            progress.evaluation = Evaluation(self._rules, self._witness, state.evaluated_through, state.open_alerts)
            # Also when nothing is due for long: that it stands still is what is to be seen.
            self._measure(progress.evaluation, (), 0)
        return progress

    def _evaluate(self, progress: _Progress) -> Tick:
        mark = watermark(self._windows.marks(), self._lateness)
        if mark.at is None:
            return _tick(TickReason.NO_WATERMARK, progress, mark)
        self._telemetry.gauge("watermark_timestamp_seconds", mark.at.timestamp())
        if progress.evaluation is None:
            first = self._first_observed(minute_of(mark.at))
            if first is None:
                return _tick(TickReason.NOTHING_OBSERVED, progress, mark)
            progress.evaluation = Evaluation(self._rules, self._witness, first, progress.open_alerts)
            progress.known = True
        evaluation = progress.evaluation
        due = minute_of(mark.at)
        if due <= evaluation.boundary:
            return _tick(TickReason.UP_TO_DATE, progress, mark)
        if not progress.known:
            self._look_back(evaluation)
            progress.known = True
        start = evaluation.boundary
        end = min(start + self._read_minutes, due)
        self._read(evaluation, start - evaluation.timeline.longest_window, end)
        if not evaluation.skip_to(end):
            while evaluation.boundary < end and evaluation.transitions < MOST_CHANGES:
                evaluation.advance()
        changes = evaluation.take_changes()
        self._alerts.save(expected=progress.saved, evaluated_through=evaluation.boundary, changes=changes)
        progress.saved = evaluation.boundary
        self._measure(evaluation, changes, evaluation.boundary - start)
        return Tick(
            reason=TickReason.EVALUATED,
            evaluated_through=evaluation.boundary,
            boundaries=evaluation.boundary - start,
            behind=evaluation.boundary < due,
            changes=changes,
            watermark=mark.at,
            held_by=mark.held_by,
        )

    def _first_observed(self, end: Minute) -> Minute | None:
        """The first minute before `end` with a document; none before 1970 is watched. It is asked for span by span,
        since a long history has very many minutes."""
        for start in range(0, end, FIRST_SPAN):
            observed = self._windows.observed(start, min(start + FIRST_SPAN, end))
            if observed:
                return observed[0]
        return None

    def _look_back(self, evaluation: Evaluation) -> None:
        """Read what lies before the boundary, as far as the rules look back."""
        start = evaluation.boundary - evaluation.timeline.longest
        while start < evaluation.boundary:
            end = min(start + self._read_minutes, evaluation.boundary)
            self._read(evaluation, start, end)
            start = end

    def _read(self, evaluation: Evaluation, start: Minute, end: Minute) -> None:
        """Put [start, end) into the timeline. Minutes are closed only if the same snapshot says that they are: the
        windows may have fallen back to an older state since the watermark was read."""
        buckets = self._windows.buckets(start, end)
        closed = watermark(buckets.marks, self._lateness).at
        if closed is None or minute_of(closed) < end:
            raise WindowsNotWhole("the windows fell back behind the watermark")
        evaluation.timeline.put(buckets.counts, start, end)
        self._adapt(buckets)

    def _adapt(self, buckets: Buckets) -> None:
        found = sum(len(subjects) for subjects in buckets.counts.values())
        fitting = (buckets.end - buckets.start) * self._policy.buckets_per_read // max(found, 1)
        self._read_minutes = max(1, min(fitting, self._read_minutes * 4, self._policy.most_read))

    def _measure(self, evaluation: Evaluation, changes: Sequence[AlertChange], boundaries: int) -> None:
        telemetry = self._telemetry
        telemetry.count("boundaries_evaluated_total", boundaries)
        telemetry.gauge("evaluated_through_timestamp_seconds", start_of(evaluation.boundary).timestamp())
        for change in changes:
            if change.transition is not None:
                telemetry.count("alerts_total", rule=change.alert.rule, transition=change.transition.value)
        for rule in self._rules:
            for status in (AlertStatus.PENDING, AlertStatus.FIRING):
                found = sum(a.rule == rule.name and a.status is status for a in evaluation.open_alerts)
                telemetry.gauge("alerts_open", found, rule=rule.name, status=status.value)


def _tick(reason: TickReason, progress: _Progress, mark: Watermark) -> Tick:
    return Tick(reason=reason, evaluated_through=progress.saved, watermark=mark.at, held_by=mark.held_by)


def _say(tick: Tick) -> str | None:
    """A line for the log when a tick waits for something; None when all is as it should be."""
    if tick.reason is TickReason.NO_WATERMARK:
        held = ", ".join(f"{partition.topic}[{partition.number}]" for partition in tick.held_by)
        return f"Waiting: event time is not known yet{', held by ' + held if held else ''}"
    if tick.reason is TickReason.WINDOWS_NOT_WHOLE:
        return "Waiting: the windows are not whole"
    if tick.reason is TickReason.CONFLICT:
        return "Another watcher is at work; going on from where it is"
    return None
