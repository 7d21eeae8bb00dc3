"""When each document is sent, and what its date is then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.document import Kind
from stream.feed import FeedPolicy, _Timetable
from stream.feed_reader import Survey
from stream.feed_rows import FeedDocument

TOPICS = {Kind.NEWS: "news", Kind.COMMENT: "comments"}
FIRST = datetime(2014, 1, 6, 14, tzinfo=UTC)
SPAN = timedelta(hours=2)
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def timetable(**policy: object) -> _Timetable:
    chosen = FeedPolicy(topics=TOPICS, **policy)  # type: ignore[arg-type]
    survey = Survey(total=9, last_us=_us(FIRST + SPAN))
    return _Timetable(chosen, survey, _us(FIRST), now=NOW)


def published(after_first: timedelta) -> FeedDocument:
    return FeedDocument(published_us=_us(FIRST + after_first), line=1, kind=Kind.NEWS, key=b"", body=b"")


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 3600), (60.0, 60), (0.5, 7200), (None, 0)])
def test_a_document_is_due_by_its_own_date_and_the_speed(speed: float | None, seconds: float) -> None:
    assert timetable(speed=speed).due_in(published(timedelta(hours=1))) == pytest.approx(seconds, abs=0.5)


def test_an_undated_document_is_due_at_once() -> None:
    table = timetable(undated=True)

    assert table.shift_us is None
    assert table.due_in(published(timedelta(0))) == 0


def test_dates_stay_as_they_are_unless_asked() -> None:
    assert timetable().shift_us == 0


@pytest.mark.parametrize("speed", [0.25, 1.0, 60.0, 7200.0])
def test_shifted_to_now_no_document_is_dated_later_than_it_is_sent_and_one_exactly_then(speed: float) -> None:
    shift = timetable(speed=speed, shift_to_now=True).shift_us
    assert shift is not None
    ahead = []
    for minutes in range(0, 121, 10):
        after = timedelta(minutes=minutes)
        sent_at = NOW + after / speed
        dated = FIRST + after + timedelta(microseconds=shift)
        ahead.append(dated - sent_at)

    assert max(ahead) == timedelta(0)
    if speed >= 1:
        assert ahead[-1] == timedelta(0)


def test_shifted_to_now_at_full_speed_the_last_document_is_of_the_start() -> None:
    shift = timetable(speed=None, shift_to_now=True).shift_us

    assert shift is not None
    assert FIRST + SPAN + timedelta(microseconds=shift) == NOW


@pytest.mark.parametrize(
    "wrong", [{"speed": 0}, {"speed": float("inf")}, {"settle": timedelta(-1)}, {"undated": True, "shift_to_now": True}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|have none"):
        FeedPolicy(topics=TOPICS, **wrong)  # type: ignore[arg-type]


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
