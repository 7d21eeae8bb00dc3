"""Schedule: what an answer means, and when to try again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from domain.alert import Outcome

if TYPE_CHECKING:
    from alerts.delivery.send import Answer

GONE = 410

STANDARD_DELAYS = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
"""What the Standard Webhooks specification 1.0 suggests ("Deliverability and reliability"): ten attempts over three
days."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When attempts are made. Raises ValueError naming the field that is wrong."""

    delays: tuple[timedelta, ...] = STANDARD_DELAYS
    """Between one attempt and the next; after the last one, it is given up."""
    jitter: float = 0.2
    """Up to this share of a delay is added to it at random, so that what failed together is not tried together."""
    longest_retry_after: timedelta = timedelta(hours=24)
    """A receiver cannot put us off for longer."""

    def __post_init__(self) -> None:
        if any(delay <= timedelta(0) for delay in self.delays):
            raise ValueError(f"delays must be above 0, got {self.delays!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, got {self.jitter!r}")
        if self.longest_retry_after < timedelta(0):
            raise ValueError(f"longest_retry_after must not be negative, got {self.longest_retry_after!r}")


class Reason(StrEnum):
    """Why a delivery goes on, or ended."""

    DELIVERED = "delivered"
    WILL_RETRY = "will_retry"
    ASKED_TO_WAIT = "asked_to_wait"
    """The receiver's Retry-After is later than our own schedule."""
    GONE = "gone"
    """410: the receiver wants no more of it."""
    SCHEDULE_ENDED = "schedule_ended"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of a delivery after an attempt."""

    outcome: Outcome
    reason: Reason
    next_attempt_at: datetime | None = None


def judge(schedule: Schedule, *, attempt: int, answer: Answer, now: datetime, chance: float) -> Verdict:
    """What the answer to the `attempt`-th attempt (1 is the first), which came at `now` (wall clock), means.

    2xx is delivered, 410 Gone is final; anything else, redirects too, is tried again until the schedule ends, and
    never earlier than a Retry-After asks. `chance` is a random number in [0, 1) for the jitter.
    """
    if answer.delivered:
        return Verdict(outcome=Outcome.DELIVERED, reason=Reason.DELIVERED)
    if answer.status == GONE:
        return Verdict(outcome=Outcome.FAILED, reason=Reason.GONE)
    if attempt > len(schedule.delays):
        return Verdict(outcome=Outcome.FAILED, reason=Reason.SCHEDULE_ENDED)
    delay = schedule.delays[attempt - 1] * (1 + schedule.jitter * chance)
    asked = min(parse_retry_after(answer.retry_after, now), schedule.longest_retry_after)
    reason = Reason.ASKED_TO_WAIT if asked > delay else Reason.WILL_RETRY
    return Verdict(outcome=Outcome.RETRY, reason=reason, next_attempt_at=now + max(delay, asked))


def parse_retry_after(text: str | None, now: datetime) -> timedelta:
    """How long `Retry-After` (RFC 9110, 10.2.3: seconds, or an HTTP date) asks to wait; 0 when it is not readable."""
    if text is None:
        return timedelta(0)
    text = text.strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text[:12]), 10**9))
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return timedelta(0)
    return max((at if at.tzinfo else at.replace(tzinfo=UTC)) - now, timedelta(0))
