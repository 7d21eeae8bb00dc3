"""When a surge is an alert."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.builders import entity, topic

from alerts.surge import Measured, Reason, SurgeRule, decide, expected_negative

RULE = SurgeRule(name="surge")
ACME = entity("ACME")
SURGE = Measured(count=20, negative=15, expected=2.0, baseline_minutes=600, publishers=5)


def reason(measured: Measured, rule: SurgeRule = RULE) -> Reason:
    return decide(rule, ACME, measured).reason


def test_a_surge_holds_when_everything_does() -> None:
    decision = decide(RULE, ACME, SURGE)
    assert decision.holds
    assert decision.reason is Reason.HOLDS
    assert decision.measured is SURGE


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"negative": 9}, Reason.TOO_FEW_NEGATIVE),
        ({"negative": 10, "count": 21}, Reason.SHARE_TOO_LOW),
        ({"baseline_minutes": 59}, Reason.BASELINE_TOO_SHORT),
        ({"baseline_minutes": 0, "expected": None}, Reason.BASELINE_TOO_SHORT),
        ({"expected": 5.1}, Reason.NOT_ABOVE_BASELINE),
        ({"publishers": 2}, Reason.TOO_FEW_PUBLISHERS),
        ({"publishers": None}, Reason.PUBLISHERS_NOT_COUNTED),
    ],
)
def test_each_condition_alone_prevents_it_and_is_named(change: dict[str, object], expected: Reason) -> None:
    assert reason(replace(SURGE, **change)) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"negative": 10, "count": 20},
        {"negative": 15, "expected": 5.0},
        {"baseline_minutes": 60},
        {"publishers": 3},
        {"expected": 0.0},
    ],
)
def test_a_threshold_that_is_just_reached_is_reached(change: dict[str, object]) -> None:
    assert reason(replace(SURGE, **change)) is Reason.HOLDS  # type: ignore[arg-type]


def test_exactly_height_times_the_baseline_does_not_hang_on_how_floats_round() -> None:
    for negatives in range(1, 2000):
        expected = expected_negative(RULE, negatives, 1440)
        assert expected is not None
        exact = 3 * negatives * 15 / 1440
        if exact == int(exact) and exact >= 10:
            measured = replace(SURGE, count=int(exact), negative=int(exact), expected=expected)
            assert reason(measured) is Reason.HOLDS


def test_nothing_is_expected_of_a_baseline_that_was_not_observed() -> None:
    assert expected_negative(RULE, 0, 0) is None
    assert expected_negative(RULE, 0, 60) == 0.0
    assert expected_negative(RULE, 8, 60) == 2.0


def test_publishers_are_asked_for_only_when_all_else_holds() -> None:
    assert reason(replace(SURGE, publishers=None, expected=100)) is Reason.NOT_ABOVE_BASELINE


@pytest.mark.parametrize(
    ("subjects", "except_subjects", "watched"),
    [
        (("*",), (), {"entity:ACME", "topic:Energy | Oil"}),
        (("topic:*",), (), {"topic:Energy | Oil"}),
        (("entity:A*", "topic:Energy | Oil"), (), {"entity:ACME", "topic:Energy | Oil"}),
        (("*",), ("entity:*",), {"topic:Energy | Oil"}),
        (("entity:acme",), (), set()),
    ],
)
def test_a_rule_watches_the_subjects_that_its_patterns_name(
    subjects: tuple[str, ...], except_subjects: tuple[str, ...], watched: set[str]
) -> None:
    rule = SurgeRule(name="surge", subjects=subjects, except_subjects=except_subjects)
    assert {str(one) for one in (ACME, topic("Energy | Oil")) if rule.watches(one)} == watched
    if not rule.watches(ACME):
        assert decide(rule, ACME, SURGE).reason is Reason.SUBJECT_EXCLUDED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", " "),
        ("window", timedelta(seconds=90)),
        ("window", timedelta(0)),
        ("baseline", timedelta(0)),
        ("min_baseline", timedelta(hours=25)),
        ("hold_for", timedelta(minutes=-1)),
        ("resolve_after", timedelta(seconds=1)),
        ("height", 0),
        ("height", float("nan")),
        ("height", float("inf")),
        ("min_count", 0),
        ("min_publishers", 0),
        ("min_share", 1.1),
        ("subjects", ()),
        ("subjects", "topic:*"),
        ("except_subjects", ("",)),
        ("receivers", ("desk", "desk")),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_and_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"rule .*: {field} must"):
        SurgeRule(**{"name": "surge", field: value})  # type: ignore[arg-type]
