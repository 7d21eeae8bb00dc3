"""What an answer means, and when the next attempt is due."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest
from support.builders import at

from alerts.delivery.schedule import Reason, Schedule, Verdict, judge, parse_retry_after
from alerts.delivery.send import Answer
from domain.alert import Outcome

SCHEDULE = Schedule(jitter=0.0)
NOW = at(0)


def after(answer: Answer, attempt: int = 1, schedule: Schedule = SCHEDULE, chance: float = 0.0) -> Verdict:
    return judge(schedule, attempt=attempt, answer=answer, now=NOW, chance=chance)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert after(Answer(status=status)) == Verdict(outcome=Outcome.DELIVERED, reason=Reason.DELIVERED)


def test_410_is_final_whatever_is_left_of_the_schedule() -> None:
    assert after(Answer(status=410)) == Verdict(outcome=Outcome.FAILED, reason=Reason.GONE)


@pytest.mark.parametrize("status", [100, 301, 302, 308, 400, 401, 404, 409, 413, 429, 500, 502, 503, 504, None])
def test_everything_else_is_tried_again(status: int | None) -> None:
    verdict = after(Answer(status=status, error="…"))
    assert (verdict.outcome, verdict.reason) == (Outcome.RETRY, Reason.WILL_RETRY)
    assert verdict.next_attempt_at == NOW + timedelta(seconds=5)


def test_the_schedule_is_the_one_that_the_specification_suggests() -> None:
    """Standard Webhooks 1.0, "Deliverability and reliability": the last attempt is 75 h 35 min 5 s after the first."""
    elapsed = timedelta(0)
    for attempt in range(1, 10):
        verdict = after(Answer(status=500), attempt)
        assert verdict.next_attempt_at is not None
        elapsed += verdict.next_attempt_at - NOW
    assert elapsed == timedelta(hours=75, minutes=35, seconds=5)
    assert after(Answer(status=500), 10) == Verdict(outcome=Outcome.FAILED, reason=Reason.SCHEDULE_ENDED)


def test_the_last_attempt_may_still_deliver() -> None:
    assert after(Answer(status=200), 10).outcome is Outcome.DELIVERED


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 5.0), (0.5, 5.5), (0.999, 5.999)])
def test_jitter_only_ever_adds(chance: float, seconds: float) -> None:
    verdict = after(Answer(status=500), schedule=Schedule(jitter=0.2), chance=chance)
    assert verdict.next_attempt_at == NOW + timedelta(seconds=seconds)


def test_a_later_retry_after_is_honoured() -> None:
    verdict = after(Answer(status=429, retry_after="120"))
    assert (verdict.reason, verdict.next_attempt_at) == (Reason.ASKED_TO_WAIT, NOW + timedelta(seconds=120))


def test_an_earlier_retry_after_does_not_use_up_the_schedule_sooner() -> None:
    verdict = after(Answer(status=503, retry_after="1"), attempt=2)
    assert (verdict.reason, verdict.next_attempt_at) == (Reason.WILL_RETRY, NOW + timedelta(minutes=5))


def test_a_receiver_cannot_put_us_off_for_ever() -> None:
    verdict = after(Answer(status=503, retry_after="9" * 50))
    assert verdict.next_attempt_at == NOW + timedelta(hours=24)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        (" 30 ", 30),
        ("-5", 0),
        ("1.5", 0),
        ("soon", 0),
        ("٣", 0),
        ("Wed, 99 Foo 2014 99:99:99 GMT", 0),
        ("Fri, 31 Dec 99999999999 23:59:59 GMT", 0),
        ("Fri, 31 Dec 2014 23:59:59 +99999999999999999999", 0),
        (format_datetime(at(2), usegmt=True), 120),
        (format_datetime(at(-2), usegmt=True), 0),
        ("Monday, 06-Jan-14 14:01:00 GMT", 60),
        ("Mon Jan  6 14:01:00 2014", 60),
    ],
)
def test_retry_after_is_seconds_or_a_date_in_any_of_its_three_forms(text: str | None, seconds: float) -> None:
    assert parse_retry_after(text, NOW) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("field", "value"),
    [("delays", (timedelta(0),)), ("jitter", -0.1), ("jitter", 1.5), ("longest_retry_after", timedelta(-1))],
)
def test_a_schedule_that_makes_no_sense_is_refused_and_names_the_field(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        Schedule(**{field: value})  # type: ignore[arg-type]
