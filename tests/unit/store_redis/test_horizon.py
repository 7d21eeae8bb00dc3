"""How far back the windows reach."""

from __future__ import annotations

from datetime import datetime, timedelta

from support.builders import at, comments_partition, news_partition, scored_partition

from domain.log import MarkStatus, Partition
from domain.timeline import minute_of
from domain.watermark import MarkState
from store.redis.horizon import EVERYTHING, first_horizon, horizon

RETENTION, LATENESS = timedelta(hours=1), timedelta(minutes=5)


def state(high_time: datetime | None, *, source: Partition | None = None, unread: bool = False) -> MarkState:
    return MarkState(
        scored=scored_partition(),
        source=source or news_partition(),
        status=MarkStatus.UNREAD if unread else MarkStatus.READING,
        next_offset=1,
        high_time=high_time,
        ended_at=None,
        fan_out=1,
    )


def test_it_follows_the_slowest_partition() -> None:
    states = [state(at(100)), state(at(90), source=comments_partition())]

    assert horizon(states, retention=RETENTION, lateness=LATENESS) == minute_of(at(90 - 5 - 60))
    assert first_horizon(states, retention=RETENTION, lateness=LATENESS) == minute_of(at(90 - 5 - 60))


def test_a_retention_that_is_no_whole_number_of_minutes_is_rounded_up() -> None:
    retention = timedelta(minutes=59, seconds=1)

    assert horizon([state(at(100))], retention=retention, lateness=LATENESS) == minute_of(at(35))


def test_nothing_expires_while_the_watermark_is_unknown() -> None:
    states = [state(at(100)), state(None, source=comments_partition(), unread=True)]

    assert horizon(states, retention=RETENTION, lateness=LATENESS) is None
    assert horizon([], retention=RETENTION, lateness=LATENESS) is None


def test_windows_made_anew_go_by_the_newest_event_time_while_the_watermark_is_unknown() -> None:
    states = [state(at(100)), state(at(30), source=comments_partition(), unread=True)]
    unknown = [*states, state(None, source=comments_partition(1), unread=True)]

    assert first_horizon(unknown, retention=RETENTION, lateness=LATENESS) == minute_of(at(35))


def test_windows_of_a_history_without_event_times_leave_nothing_out() -> None:
    assert first_horizon([], retention=RETENTION, lateness=LATENESS) == EVERYTHING
    assert first_horizon([state(None)], retention=RETENTION, lateness=LATENESS) == EVERYTHING
