"""Marks say how far each source partition was read, and what its sender declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import at, news_partition

from domain.errors import InvalidInput
from domain.log import MarkStatus
from stream.incoming import TopicPartition
from stream.marks import Progress, decode_end, encode_end, end_headers, is_end
from stream.messages import Reason
from stream.times import parse_time

P0, P1, P2 = (TopicPartition("news", number) for number in range(3))
MINUTE = timedelta(minutes=1)
READING, IDLE, UNREAD, ENDED = MarkStatus.READING, MarkStatus.IDLE, MarkStatus.UNREAD, MarkStatus.ENDED


def begun(*owned: TopicPartition, start: int = 0, end: int = 0, now: float = 0) -> Progress:
    progress = Progress(fan_out=3)
    progress.begin(
        owned={place: news_partition(place.partition) for place in owned},
        others={},
        starts=dict.fromkeys(owned, start),
        ends=dict.fromkeys(owned, end),
        now=now,
    )
    return progress


def test_who_joins_tells_what_is_unread_whoever_owns_it_and_what_of_its_own_is_at_its_end() -> None:
    marks = Progress(fan_out=3).begin(
        owned={P0: news_partition(0), P1: news_partition(1)},
        others={P2: news_partition(2), TopicPartition("news", 3): news_partition(3)},
        starts={P0: 5, P1: 7, P2: 2, TopicPartition("news", 3): 4},
        ends={P0: 9, P1: 7, P2: 3, TopicPartition("news", 3): 4},
        now=0,
    )
    assert {(m.partition.number, m.status, m.next_offset, m.high_time, m.fan_out) for m in marks} == {
        (0, UNREAD, 5, None, 3),
        (1, IDLE, 7, None, 3),
        (2, UNREAD, 2, None, 3),
    }


def test_a_mark_covers_what_was_passed_with_the_running_maximum() -> None:
    progress = begun(P0, P1)
    progress.passed(P0, 4, 0)
    assert progress.published(P0, 4, at(3)).high_time == at(3)
    progress.passed(P0, 5, 0)
    assert progress.published(P0, 5, at(1)).high_time == at(3)
    progress.passed(P0, 6, 0)
    (mark,) = progress.take_marks()
    assert (mark.partition, mark.status, mark.next_offset, mark.high_time) == (news_partition(0), READING, 7, at(3))
    assert progress.take_marks() == ()


def test_what_was_only_refused_moves_the_offset_and_not_the_time() -> None:
    progress = begun(P0)
    progress.passed(P0, 0, 0)
    (mark,) = progress.take_marks()
    assert (mark.next_offset, mark.high_time) == (1, None)


@given(st.lists(st.integers(min_value=0, max_value=100), min_size=1, max_size=30))
def test_the_high_time_of_an_origin_is_the_maximum_so_far(minutes: list[int]) -> None:
    progress = begun(P0)
    for offset, minute in enumerate(minutes):
        progress.passed(P0, offset, 0)
        assert progress.published(P0, offset, at(minute)).high_time == at(max(minutes[: offset + 1]))


def test_an_end_is_marked_once_and_a_document_behind_it_makes_it_reading_again() -> None:
    progress = begun(P0)
    progress.passed(P0, 0, 0)
    progress.published(P0, 0, at(1))
    progress.passed(P0, 1, 0)
    progress.ended(P0, at(2))
    (mark,) = progress.take_marks()
    assert (mark.status, mark.next_offset, mark.high_time, mark.ended_at) == (ENDED, 2, at(1), at(2))
    assert progress.take_marks() == ()
    progress.passed(P0, 2, 0)
    progress.published(P0, 2, at(3))
    (mark,) = progress.take_marks()
    assert (mark.status, mark.next_offset, mark.high_time, mark.ended_at) == (READING, 3, at(3), None)


def test_an_end_with_documents_behind_it_in_the_same_batch_is_two_marks_in_order() -> None:
    progress = begun(P0)
    progress.passed(P0, 0, 0)
    progress.ended(P0, at(2))
    progress.passed(P0, 1, 0)
    progress.published(P0, 1, at(3))
    assert [(m.status, m.next_offset, m.high_time) for m in progress.take_marks()] == [
        (ENDED, 1, None),
        (READING, 2, at(3)),
    ]


def test_a_source_is_quiet_after_a_while_and_idle_when_told_and_again_after_each_while() -> None:
    progress = begun(P0, P1, end=1, now=100)
    progress.passed(P0, 0, 110)
    assert progress.quiet(30, 129) == frozenset()
    assert progress.quiet(30, 130) == {P1}
    assert progress.quiet(30, 140) == {P0, P1}
    (mark,) = progress.idle({P1: 0}, 140)
    assert (mark.partition.number, mark.status) == (1, IDLE)
    assert progress.quiet(30, 169) == {P0}
    assert progress.quiet(30, 170) == {P0, P1}
    progress.passed(P1, 0, 1000)
    assert progress.quiet(30, 1000) == {P0}


def test_a_source_is_through_when_every_message_of_it_passed() -> None:
    progress = begun(P0, start=3, end=9)
    assert progress.is_through(P0, 3)
    assert not progress.is_through(P0, 5)
    progress.passed(P0, 4, 0)
    assert progress.is_through(P0, 5)


def test_an_idle_source_whose_log_has_grown_is_unread_until_it_is_idle_again() -> None:
    progress = begun(P0, P1, start=3, end=3)
    assert progress.unheld == {P0, P1}
    assert progress.woke({P0: 3, P1: 3}, 30, asked=50, now=50) == ()
    (mark,) = progress.woke({P0: 3, P1: 8}, 30, asked=51, now=51)
    assert (mark.partition.number, mark.status, mark.next_offset) == (1, UNREAD, 3)
    assert progress.unheld == {P0}
    assert progress.quiet(30, 80) == {P0}
    progress.idle({P1: 8}, 90)
    assert progress.unheld == {P0, P1}
    assert progress.woke({P1: 8}, 30, asked=91, now=91) == ()


def test_a_message_ends_the_rest_of_a_source() -> None:
    progress = begun(P0, P1)
    progress.passed(P0, 0, 1)
    assert progress.unheld == {P1}


def joined_by_another() -> Progress:
    progress = Progress(fan_out=3)
    progress.begin(
        owned={P0: news_partition(0)}, others={P1: news_partition(1)}, starts={P0: 0, P1: 4}, ends={P0: 9, P1: 4}, now=0
    )
    return progress


def test_another_s_source_is_unread_when_it_grew_after_a_silence_in_which_it_may_have_become_idle() -> None:
    progress = joined_by_another()
    assert progress.unheld == {P1}
    (mark,) = progress.woke({P1: 5}, 30, asked=10, now=10)
    assert (mark.partition.number, mark.status, mark.next_offset, mark.high_time) == (1, UNREAD, 4, None)
    assert progress.unheld == {P1}, "only its owner knows when it is read"


def test_a_batch_before_which_nobody_was_asked_says_nothing_of_when_a_source_grew() -> None:
    progress = joined_by_another()
    progress.woke({P1: 4}, 30, asked=1, now=1)
    progress.woke({}, 30, asked=50, now=50)
    assert progress.woke({P1: 5}, 30, asked=51, now=51)
    # Message 4 came between 1 and 51: its owner may have called the source idle before message 5.
    assert progress.woke({P1: 6}, 30, asked=60, now=60)


def test_another_s_source_that_brings_something_all_the_time_is_let_alone() -> None:
    progress = joined_by_another()
    progress.woke({P1: 4}, 30, asked=9, now=9)
    assert progress.woke({P1: 5}, 30, asked=10, now=10)
    # Message 4 came between 9 and 10, so that before 39 it cannot have become idle.
    assert progress.woke({P1: 6}, 30, asked=38.9, now=38.9) == ()
    # Message 5 came between 10 and 38.9: by 40 that may be 30 seconds ago. Its owner may not have passed it yet.
    (mark,) = progress.woke({P1: 7}, 30, asked=40, now=40)
    assert mark.next_offset == 4
    assert progress.woke({P1: 8}, 30, asked=68, now=68) == ()


def test_a_log_that_begins_again_is_noticed_and_starts_anew() -> None:
    progress = begun(P0, start=5, end=9)
    assert not progress.went_back(P0, 5)
    progress.passed(P0, 5, 0)
    progress.published(P0, 5, at(9))
    assert progress.went_back(P0, 5)
    progress.restart(P0, news_partition(0))
    progress.passed(P0, 0, 0)
    assert progress.published(P0, 0, at(1)).high_time == at(1)


def test_an_end_mark_comes_back_as_it_was_sent() -> None:
    end = datetime(2014, 1, 6, 14, 1, 2, 345678, tzinfo=UTC)
    assert is_end(end_headers())
    assert not is_end((("groundswell.mark", b"begin"), ("x", None)))
    assert decode_end(encode_end(end), 1389016920000, MINUTE) == end


@pytest.mark.parametrize(
    "value", [None, b"", b"{}", b'{"at":5}', b'{"at":"later"}', b'{"at":"2014-01-06T14:00:00"}', b"\xff"]
)
def test_an_end_mark_that_says_nothing_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_end(value, 1389016920000, MINUTE)
    assert caught.value.reason == Reason.BAD_END_MARK


def test_an_end_mark_from_the_future_is_refused() -> None:
    received = parse_time("2014-01-06T14:00:00Z")
    received_ms = round(received.timestamp() * 1000)
    assert decode_end(encode_end(received + MINUTE), received_ms, MINUTE) == received + MINUTE
    with pytest.raises(InvalidInput) as caught:
        decode_end(encode_end(received + MINUTE + timedelta(microseconds=1)), received_ms, MINUTE)
    assert caught.value.reason == Reason.DATE_AHEAD


@pytest.mark.parametrize("timestamp_ms", [-1, 1_700_000_000_000_000_000, 2**63 - 1, -(2**63)])
def test_an_end_mark_whose_record_has_no_timestamp_is_judged_by_the_clock(timestamp_ms: int) -> None:
    end = parse_time("2014-01-06T14:00:00Z")
    assert decode_end(encode_end(end), timestamp_ms, MINUTE) == end
    with pytest.raises(InvalidInput) as caught:
        decode_end(encode_end(parse_time("2998-01-01T00:00:00Z")), timestamp_ms, MINUTE)
    assert caught.value.reason == Reason.DATE_AHEAD
