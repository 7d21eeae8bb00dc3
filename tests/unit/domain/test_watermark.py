"""How far event time has come, over all source partitions."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from domain.log import MarkStatus, Partition
from domain.watermark import MarkState, Watermark, watermark

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LATENESS = timedelta(minutes=5)
SCORED = [Partition(topic="scored", topic_id=UUID(int=1), number=n) for n in range(2)]
NEWS = [Partition(topic="news", topic_id=UUID(int=2), number=n) for n in range(2)]


def state(
    source: Partition,
    *,
    on: int = 0,
    minutes: float | None = 0,
    status: MarkStatus = MarkStatus.READING,
    ended: float | None = None,
    fan_out: int = 1,
) -> MarkState:
    return MarkState(
        scored=SCORED[on],
        source=source,
        status=status,
        next_offset=1,
        high_time=None if minutes is None else NOON + timedelta(minutes=minutes),
        ended_at=None if ended is None else NOON + timedelta(minutes=ended),
        fan_out=fan_out,
    )


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def test_nothing_known_is_no_watermark() -> None:
    assert watermark([], LATENESS).at is None


def test_it_is_the_slowest_partitions_newest_time_less_lateness_and_names_it() -> None:
    found = watermark([state(NEWS[0], minutes=10), state(NEWS[1], minutes=3)], LATENESS)
    assert found.at == at(-2)
    assert found.held_by == (NEWS[1],)


def test_an_idle_partition_does_not_hold_it_back() -> None:
    idle = state(NEWS[1], minutes=3, status=MarkStatus.IDLE)
    assert watermark([state(NEWS[0], minutes=10), idle], LATENESS).at == at(5)


def test_an_empty_idle_partition_says_nothing() -> None:
    empty = state(NEWS[1], minutes=None, status=MarkStatus.IDLE)
    assert watermark([empty], LATENESS).at is None
    assert watermark([state(NEWS[0], minutes=10), empty], LATENESS).at == at(5)


def test_when_all_are_idle_time_has_come_as_far_as_the_furthest() -> None:
    states = [state(NEWS[n], minutes=3 + n, status=MarkStatus.IDLE) for n in range(2)]
    assert watermark(states, LATENESS).at == at(-1)


def test_an_unread_partition_makes_it_unknown() -> None:
    unread = state(NEWS[1], minutes=None, status=MarkStatus.UNREAD)
    found = watermark([state(NEWS[0], minutes=10), unread], LATENESS)
    assert found.at is None
    assert found.held_by == (NEWS[1],)


def test_a_mark_counts_once_every_partition_of_the_scored_log_has_it() -> None:
    half = [state(NEWS[0], minutes=10, on=0, fan_out=2)]
    assert watermark(half, LATENESS).at is None
    assert watermark([*half, state(NEWS[0], minutes=8, on=1, fan_out=2)], LATENESS).at == at(3)


def test_when_the_scored_log_grows_a_mark_to_the_new_partitions_is_awaited_in_all_of_them() -> None:
    before = [state(NEWS[0], minutes=10, on=0), state(NEWS[1], minutes=8, on=0)]
    assert watermark(before, LATENESS).at == at(3), "those that say nothing new need the old partitions only"

    half = state(NEWS[0], minutes=12, on=0, fan_out=2)
    assert watermark([half, before[1]], LATENESS) == Watermark(at=None, held_by=(NEWS[0],))
    grown = [half, state(NEWS[0], minutes=12, on=1, fan_out=2), before[1]]
    assert watermark(grown, LATENESS).at == at(3)


def test_a_source_that_is_gone_for_good_holds_nothing_back_once_it_was_read_to_its_end() -> None:
    gone = state(NEWS[1], minutes=3, status=MarkStatus.IDLE)
    for minutes in range(10, 2_000, 500):
        assert watermark([state(NEWS[0], minutes=minutes), gone], LATENESS).at == at(minutes - 5)


def test_a_declared_end_counts_without_lateness() -> None:
    ended = state(NEWS[0], minutes=10, status=MarkStatus.ENDED, ended=11)
    assert watermark([ended], LATENESS).at == at(11)


def test_an_early_end_does_not_pull_it_back() -> None:
    ended = state(NEWS[0], minutes=30, status=MarkStatus.ENDED, ended=11)
    assert watermark([ended], LATENESS).at == at(25)
