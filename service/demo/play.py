"""The demonstration as it goes: looks at what Groundswell knows a few times a second, and tells it."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape

from domain.alert import Alert, AlertStatus
from domain.errors import PermanentError, TemporaryError
from domain.timeline import Minute, minute_of
from domain.watermark import watermark
from service import connections, wiring
from service.demo.board import SPAN, Row, render, rows_of
from service.demo.receiver import LocalReceiver, Received
from service.settings import Settings
from service.supervise import ChildProcess, Supervisor

ROWS = 10
"""Subjects in the table."""
EVENTS = 8
"""Newest events under the live table; on a pipe every event is a line of its own."""
PATIENCE = 120.0
"""Seconds after the feed's end for everything to be counted, evaluated and delivered."""
_REFRESH_SECONDS = 0.25


class Play:
    """Belongs to the main thread, which the children were started from."""

    def __init__(
        self,
        settings: Settings,
        *,
        supervisor: Supervisor,
        feed: ChildProcess,
        receiver: LocalReceiver,
        console: Console,
    ) -> None:
        self._supervisor, self._feed, self._receiver, self._console = supervisor, feed, receiver, console
        self._api = f"http://{settings.http.host}:{settings.http.port}"
        self._lateness = settings.event_time.lateness
        database = connections.postgres(settings, "demo")
        self._history = wiring.history_reader(database)
        self._windows = wiring.window_reader(settings, "demo", database)
        self._alerts = wiring.alert_store(database)
        self._outbox = wiring.outbox(database)
        self._known: dict[tuple[str, object], AlertStatus] = {}
        self._events: list[str] = []
        self._rows: list[Row] = []
        self._until: Minute | None = None
        self._received: list[Received] = []

    def to_the_end(self) -> None:
        """Feed the stream and show what comes of it, until all of it has been counted, evaluated and delivered.

        Raises PermanentError when the feed fails or the rest takes too long.
        """
        self._feed.start()
        deadline: float | None = None
        with Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False) as live:
            while True:
                self._supervisor.tick(time.monotonic())
                self._look()
                live.update(self._picture(), refresh=self._console.is_terminal)
                if self._feed.poll() is not None:
                    deadline = deadline or time.monotonic() + PATIENCE
                    if self._feed.poll() != 0:
                        raise PermanentError(f"the feed failed: see {self._feed.log}")
                    if self._all_done():
                        break
                    if time.monotonic() > deadline:
                        raise PermanentError(
                            f"not all was counted within {PATIENCE:.0f} s of the feed's end: the logs beside "
                            f"{self._feed.log} say why"
                        )
                time.sleep(_REFRESH_SECONDS)
        self._look()
        self._console.print(self._picture(), markup=False)

    def summarise(self) -> None:
        """What came in, what fired, what was delivered, and where to look further."""
        subjects = self._history.subjects(start=None, end=None, kind=None, limit=1000)
        topics = [subject for subject in subjects if subject.subject.kind == "topic"]
        documents = sum(subject.counts.count for subject in topics)
        alerts = self._history.alerts()
        genuine = Counter(received.genuine for received in self._received)[True]
        self._console.print(
            f"\n{documents} documents on {len(topics)} topics and {len(subjects) - len(topics)} entities; "
            f"{len(alerts)} alerts; {len(self._received)} webhooks received, {genuine} with a genuine signature.\n"
            f"API: {self._api}/docs   e.g. {self._api}/v1/alerts",
            highlight=False,
        )

    def stay(self) -> None:
        """Keep everything running until Ctrl-C."""
        self._console.print("Everything stays up. Ctrl-C ends it.")
        while True:
            self._supervisor.tick(time.monotonic())
            time.sleep(_REFRESH_SECONDS)

    def _look(self) -> None:
        try:
            self._look_at_windows()
            for alert in reversed(self._history.alerts()):
                self._note_alert(alert)
        except TemporaryError:
            pass  # the windows are not made yet, or a server is being started again
        for received in self._receiver.new():
            self._received.append(received)
            self._tell(_webhook_line(received))

    def _look_at_windows(self) -> None:
        times = [mark.high_time for mark in self._windows.marks() if mark.high_time is not None]
        if times:
            until = minute_of(max(times)) + 1
            self._rows = rows_of(self._windows.buckets(until - SPAN, until), ROWS)
            self._until = until

    def _note_alert(self, alert: Alert) -> None:
        key = (alert.fingerprint, alert.starts_at)
        if self._known.get(key) is not alert.status:
            self._known[key] = alert.status
            self._tell(_alert_line(alert))

    def _all_done(self) -> bool:
        """The end marks' time has been evaluated, and nothing waits in the outbox."""
        try:
            marks = self._windows.marks()
            ends = [mark.ended_at for mark in marks if mark.ended_at is not None]
            reached = watermark(marks, self._lateness).at
            through = self._alerts.load().evaluated_through
            return (
                bool(ends)
                and reached is not None
                and reached >= max(ends)
                and through is not None
                and through >= minute_of(reached)
                and self._outbox.next_due() is None
            )
        except TemporaryError:
            return False

    def _tell(self, line: str) -> None:
        self._events.append(line)
        if not self._console.is_terminal:
            self._console.print(line, highlight=False)

    def _picture(self) -> RenderableType:
        feeding = "feeding the sample stream" if self._feed.poll() is None else "the stream has ended"
        events = self._events[-EVENTS:] if self._console.is_terminal else []
        return render(self._rows, until=self._until, events=events, progress=feeding)


def _alert_line(alert: Alert) -> str:
    at = {AlertStatus.PENDING: alert.starts_at, AlertStatus.FIRING: alert.fired_at, AlertStatus.RESOLVED: alert.ends_at}
    when, subject = at[alert.status] or alert.starts_at, escape(str(alert.subject))
    if alert.status is AlertStatus.FIRING and alert.evidence:
        seen = alert.evidence
        return (
            f"[bold red]{when:%H:%M} FIRING[/]   {subject}: {seen.negative} negative documents from "
            f"{seen.negative_publishers} publishers, {seen.expected_negative:.1f} expected"
        )
    style = "yellow" if alert.status is AlertStatus.PENDING else "green"
    return f"[{style}]{when:%H:%M} {alert.status.value.upper():<8}[/] {subject}"


def _webhook_line(received: Received) -> str:
    alert = received.payload.get("data", {}).get("alert", {})
    checked = "signature genuine" if received.genuine else "[bold red]signature wrong[/]"
    what = f"{received.payload.get('type')} {alert.get('subject', '')}"
    return f"[cyan]      WEBHOOK [/] {escape(what)} ({received.webhook_id[:16]}…, {checked})"
