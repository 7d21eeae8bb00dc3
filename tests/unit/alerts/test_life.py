"""The life of an alert, minute by minute: `+` a boundary at which the condition holds, `-` one at which it does not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.builders import at, entity, make_alert

from alerts.life import Move, live, retire
from alerts.surge import Decision, Measured, Reason, SurgeRule
from domain.alert import Alert, AlertStatus

ACME = entity("ACME")


def decision(holds: bool, minute: int) -> Decision:
    measured = Measured(count=50, negative=20 + minute, expected=4.0 + minute, baseline_minutes=600, publishers=3)
    return Decision(reason=Reason.HOLDS if holds else Reason.NOT_ABOVE_BASELINE, measured=measured)


def lives(story: str, *, hold_for: int = 1, resolve_after: int = 2) -> list[tuple[Alert | None, Move]]:
    """What each boundary, from minute 1 on, makes of the alert."""
    rule = SurgeRule(name="surge", hold_for=timedelta(minutes=hold_for), resolve_after=timedelta(minutes=resolve_after))
    alert: Alert | None = None
    moves = []
    for minute, sign in enumerate(story, start=1):
        alert, move = live(rule, ACME, alert, at(minute), decision(sign == "+", minute))
        moves.append((alert, move))
        if move in (Move.RESOLVED, Move.FORGOTTEN):
            alert = None
    return moves


N, S, H, F, C, R, X = (
    Move.NONE,
    Move.STARTED,
    Move.HELD,
    Move.FIRED,
    Move.CLEARING,
    Move.RESOLVED,
    Move.FORGOTTEN,
)


@pytest.mark.parametrize(
    ("story", "hold_for", "resolve_after", "moves"),
    [
        ("---", 1, 2, [N, N, N]),
        ("-++++", 1, 2, [N, S, F, H, H]),
        ("-++++", 0, 2, [N, F, H, H, H]),
        ("-++++", 3, 2, [N, S, H, H, F]),
        ("-+-++", 1, 2, [N, S, X, S, F]),
        ("-++-+-", 3, 2, [N, S, H, X, S, X]),
        ("++----", 1, 2, [S, F, C, C, R, N]),
        ("++----", 1, 0, [S, F, R, N, N, N]),
        ("++-+---", 1, 2, [S, F, C, H, C, C, R]),
        ("++---++", 1, 2, [S, F, C, C, R, S, F]),
    ],
)
def test_it_fires_when_it_has_held_and_resolves_when_it_has_been_false_for_long_enough(
    story: str, hold_for: int, resolve_after: int, moves: list[Move]
) -> None:
    assert [move for _, move in lives(story, hold_for=hold_for, resolve_after=resolve_after)] == moves


def test_its_times_are_those_of_the_boundaries() -> None:
    alert, move = lives("-+++---")[-1]
    assert move is Move.RESOLVED
    assert alert is not None
    assert alert.status is AlertStatus.RESOLVED
    assert (alert.starts_at, alert.fired_at, alert.clear_since, alert.ends_at) == (at(2), at(3), at(5), at(7))


def test_the_baseline_is_frozen_when_it_starts_and_the_value_is_the_newest() -> None:
    alert, _ = lives("-+++")[-1]
    assert alert is not None
    assert (alert.baseline, alert.value) == (6.0, 24.0)


def test_a_condition_that_holds_again_forgets_that_it_was_clearing() -> None:
    alert, _ = lives("++-+")[-1]
    assert alert is not None
    assert alert.clear_since is None


def test_an_alert_whose_rule_is_gone_ends() -> None:
    assert retire(make_alert(), at(9))[1] is Move.FORGOTTEN
    alert, move = retire(make_alert(status=AlertStatus.FIRING, fired_at=at(1)), at(9))
    assert (move, alert.status, alert.ends_at) == (Move.RESOLVED, AlertStatus.RESOLVED, at(9))
