"""What the rules say at one minute boundary after another, and what that makes of the alerts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from alerts.evidence import Witness
from alerts.life import Move, live, retire
from alerts.rolling import Span, Sums, Timeline
from alerts.route import route
from alerts.surge import Decision, Measured, Reason, SurgeRule, decide, expected_negative
from domain.alert import Alert, AlertChange, Transition
from domain.subject import Subject
from domain.timeline import Minute, start_of

Key = tuple[str, Subject]
"""Rule and subject: at most one alert is open for it."""

_TOLD = {Move.FIRED: Transition.FIRING, Move.RESOLVED: Transition.RESOLVED}


class Evaluation:
    """The rules at a boundary: the minutes they look back on, the alerts that are open, and what changed since the
    last call of `take_changes`. What was not saved is thrown away whole: make another from what was."""

    def __init__(
        self, rules: Sequence[SurgeRule], witness: Witness, boundary: Minute, open_alerts: Iterable[Alert]
    ) -> None:
        self.timeline = Timeline(
            boundary,
            [Span(window=rule.window_minutes, baseline=rule.baseline_minutes, hot_at=rule.min_count) for rule in rules],
        )
        self._rules = tuple(rules)
        self._witness = witness
        self._open: dict[Key, Alert] = {(alert.rule, alert.subject): alert for alert in open_alerts}
        self._saved = dict(self._open)
        self._changes: list[AlertChange] = []
        self._unsaved: dict[Key, Alert] = {}

    @property
    def boundary(self) -> Minute:
        """The boundary up to which the rules have been evaluated."""
        return self.timeline.boundary

    @property
    def open_alerts(self) -> tuple[Alert, ...]:
        """Pending and firing ones."""
        return tuple(self._open.values())

    @property
    def transitions(self) -> int:
        """How many changes wait to be taken, but for new values of open alerts."""
        return len(self._changes)

    def advance(self) -> None:
        """Evaluate the next boundary. Its minutes must have been put into the timeline."""
        self.timeline.advance()
        if self._open:
            self._retire()
        for rule, sums in zip(self._rules, self.timeline.sums, strict=True):
            if sums.hot or self._open:
                self._judge(rule, sums)

    def skip_to(self, boundary: Minute) -> bool:
        """Evaluate all boundaries up to `boundary` at once, if nothing can come of them: nothing was observed in any
        rule's span nor since, and no alert is open. False, changing nothing, when it isn't so."""
        if self._open or not self.timeline.empty:
            return False
        self.timeline.jump(boundary)
        return True

    def take_changes(self) -> tuple[AlertChange, ...]:
        """What happened since the last call, in order; then alerts of which only the numbers changed."""
        touched = [AlertChange(alert=alert) for key, alert in self._unsaved.items() if alert != self._saved.get(key)]
        changes = (*self._changes, *touched)
        self._changes, self._unsaved, self._saved = [], {}, dict(self._open)
        return changes

    def _judge(self, rule: SurgeRule, sums: Sums) -> None:
        subjects = sums.hot | {subject for name, subject in self._open if name == rule.name}
        if not subjects:
            return
        observed = self.timeline.observed_minutes(sums)
        for subject in sorted(subjects):
            alert = self._open.get((rule.name, subject))
            decision = self._decide(rule, sums, subject, alert, observed)
            now, move = live(rule, subject, alert, start_of(self.boundary), decision)
            if now is not None:
                self._note(rule, now, move, decision)

    def _decide(self, rule: SurgeRule, sums: Sums, subject: Subject, alert: Alert | None, observed: int) -> Decision:
        if alert is None:
            expected, minutes = expected_negative(rule, sums.baseline.get(subject, 0), observed), observed
        else:
            expected, minutes = alert.baseline, alert.baseline_minutes
        measured = Measured(
            count=self.timeline.documents(subject, rule.window_minutes),
            negative=sums.window.get(subject, 0),
            expected=expected,
            baseline_minutes=minutes,
        )
        decision = decide(rule, subject, measured)
        if decision.reason is Reason.PUBLISHERS_NOT_COUNTED:
            publishers = self._witness.count_publishers(rule, subject, self.boundary)
            decision = decide(rule, subject, replace(measured, publishers=publishers))
        return decision

    def _note(self, rule: SurgeRule, alert: Alert, move: Move, decision: Decision) -> None:
        if move is Move.FIRED:
            evidence = self._witness.gather(rule, alert.subject, self.boundary, decision)
            alert = replace(alert, evidence=evidence)
        self._record(alert, move, rule.receivers)

    def _record(self, alert: Alert, move: Move, receivers: Iterable[str]) -> None:
        key = (alert.rule, alert.subject)
        self._open[key] = self._unsaved[key] = alert
        transition = _TOLD.get(move)
        if transition is not None:
            del self._unsaved[key]
            notifications = route(alert, transition, receivers)
            self._changes.append(AlertChange(alert=alert, transition=transition, notifications=notifications))
        if move is Move.FORGOTTEN:
            del self._unsaved[key]
            if self._was_saved(key, alert.starts_at):
                self._changes.append(AlertChange(alert=alert, forgotten=True))
        if move in (Move.RESOLVED, Move.FORGOTTEN):
            del self._open[key]

    def _was_saved(self, key: Key, starts_at: datetime) -> bool:
        saved = self._saved.get(key)
        return saved is not None and saved.starts_at == starts_at

    def _retire(self) -> None:
        """End the alerts of rules that are gone. Who was told that they fire is not known here: all receivers are."""
        names = {rule.name for rule in self._rules}
        receivers = dict.fromkeys(receiver for rule in self._rules for receiver in rule.receivers)
        for alert in [alert for alert in self._open.values() if alert.rule not in names]:
            self._record(*retire(alert, start_of(self.boundary)), receivers)
