"""Marks and lateness: what a history knows of how far its sources have come."""

from __future__ import annotations

from uuid import UUID

import pytest
from support.builders import (
    at,
    comments_partition,
    entity,
    make_batch,
    make_mark,
    make_record,
    news_partition,
    scored_partition,
    topic,
)
from support.fake_history import FakeHistory
from support.histories import append, changes_of
from support.postgres_databases import LATENESS

from domain.log import MarkStatus
from domain.ports import History
from domain.timeline import minute_of
from domain.watermark import watermark
from domain.window import Counts
from store.postgres.history import PostgresHistory

P = scored_partition()
M = minute_of(at())
EARNINGS, ACME = topic("Earnings"), entity("ACME")
BAD = {"negative": 0.9}  # with the rest shared: polarity −0.85
ONE_NEUTRAL = Counts(count=1, neutral=1)
ONE_BAD = Counts(count=1, negative=1, polarity_sum=-8_500, polarity_squares=72_250_000)


def test_a_document_is_late_when_it_is_older_than_its_source_partition_had_come_less_the_lateness(
    history: History,
) -> None:
    records = [
        make_record("newest", published_at=at(10)),
        make_record("just in time", published_at=at(5), high_time=at(10)),
        make_record("late", published_at=at(5, -1), high_time=at(10)),
        make_record("of another partition", published_at=at(0), source=comments_partition()),
    ]
    appended = append(history, make_batch(records))

    assert (appended.new, appended.late) == (4, 1)
    assert sum(counts.count for counts in changes_of(history, P, 0).counts.values()) == 3


def test_lateness_goes_by_marks_too_so_that_a_restarted_classifier_forgets_nothing(history: History) -> None:
    append(history, make_batch([], [make_mark(high_time=at(30))]))

    restarted = make_record("late", published_at=at(20), high_time=at(20))
    assert append(history, make_batch([restarted], start=1)).late == 1


def test_a_mark_speaks_only_for_what_lies_behind_it(history: History) -> None:
    before = make_record("before the mark", published_at=at(0), high_time=at(0))
    behind = make_record("behind the mark", published_at=at(0), high_time=at(0))
    appended = append(history, make_batch([(0, before), (2, behind)], [(1, make_mark(high_time=at(30)))], end=3))

    assert appended.late == 1
    assert changes_of(history, P, 0).counts[EARNINGS, M].count == 1
    assert changes_of(history, P, 1).counts == {}


def test_lateness_is_decided_once_however_often_the_message_comes(history: History) -> None:
    batch = make_batch([make_record("a", published_at=at(0)), make_record("b", published_at=at(60))])
    append(history, batch)
    append(history, batch)

    assert changes_of(history, P, 0).counts[EARNINGS, M].count == 1


def test_marks_add_up_to_a_state_whose_maxima_never_go_back(history: History) -> None:
    marks = [
        make_mark(next_offset=10, high_time=at(10), fan_out=2),
        make_mark(status=MarkStatus.ENDED, next_offset=12, high_time=at(8), ended_at=at(20), fan_out=2),
        make_mark(next_offset=11, high_time=None, fan_out=3),
    ]
    for offset, mark in enumerate(marks):
        append(history, make_batch([], [mark], start=offset))

    (state,) = changes_of(history, P, 0).marks
    assert (state.scored, state.source) == (P, news_partition())
    assert (state.status, state.next_offset, state.high_time) == (MarkStatus.READING, 12, at(10))
    assert (state.ended_at, state.fan_out) == (at(20), 3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, MarkStatus.UNREAD),
        (MarkStatus.UNREAD, MarkStatus.UNREAD),
        (MarkStatus.READING, MarkStatus.READING),
        (MarkStatus.IDLE, MarkStatus.READING),
        (MarkStatus.ENDED, MarkStatus.ENDED),
    ],
)
def test_unread_is_only_news_of_what_was_unknown_or_idle(
    history: History, before: MarkStatus | None, after: MarkStatus
) -> None:
    known = [] if before is None else [make_mark(status=before, ended_at=at() if before is MarkStatus.ENDED else None)]
    append(history, make_batch([], known, end=1))
    append(history, make_batch([], [make_mark(status=MarkStatus.UNREAD, next_offset=0, high_time=None)], start=1))

    (state,) = changes_of(history, P, 0).marks
    assert state.status is after


def test_a_source_topic_made_anew_leaves_nothing_of_its_former_self_to_hold_the_watermark_back(
    history: FakeHistory | PostgresHistory,
) -> None:
    anew, comments = news_partition(topic_id=UUID(int=7)), comments_partition()
    marks = [make_mark(news_partition(0)), make_mark(news_partition(1)), make_mark(comments)]
    append(history, make_batch([], marks))
    append(history, make_batch([make_record("of the new one", source=anew)], start=3))
    former = {mark.partition for mark in marks}
    assert {mark.source for mark in changes_of(history, P, 0).marks} == former, "nothing is said of the new one yet"

    append(history, make_batch([], [make_mark(anew, status=MarkStatus.UNREAD, high_time=None)], start=4))

    assert {mark.source for mark in changes_of(history, P, 0).marks} == {anew, comments}
    with history.window_source() as snapshot:
        assert {mark.source for mark in snapshot.marks} == {anew, comments}


def test_of_a_cluster_that_was_left_and_came_back_only_what_is_heard_of_again_counts(history: History) -> None:
    elsewhere = news_partition(topic_id=UUID(int=7))
    for offset, (source, minute) in enumerate([(news_partition(), 1), (elsewhere, 2), (news_partition(), 3)]):
        append(history, make_batch([], [make_mark(source, high_time=at(minute))], start=offset))

    (mark,) = changes_of(history, P, 0).marks
    assert (mark.source, mark.high_time) == (news_partition(), at(3))


def test_when_scored_is_made_anew_a_source_counts_through_it_from_its_first_mark_there(
    history: FakeHistory | PostgresHistory,
) -> None:
    anew, comments = scored_partition(topic_id=UUID(int=7)), comments_partition()
    for number in (0, 1):
        marks = [make_mark(high_time=at(1), fan_out=2), make_mark(comments, high_time=at(2), fan_out=2)]
        append(history, make_batch([], marks, partition=scored_partition(number)))
    append(history, make_batch([], [make_mark(high_time=at(3))], partition=anew))

    expected = {(anew, news_partition()), (scored_partition(0), comments), (scored_partition(1), comments)}
    with history.window_source() as snapshot:
        assert {(mark.scored, mark.source) for mark in snapshot.marks} == expected
        assert watermark(snapshot.marks, LATENESS).at == at(2) - LATENESS
    for partition in (P, scored_partition(1), anew):
        told = {(mark.scored, mark.source) for mark in changes_of(history, partition, 0).marks}
        assert told == {pair for pair in expected if pair[0] == partition}


def test_when_all_topics_are_made_anew_nothing_of_the_former_ones_counts(
    history: FakeHistory | PostgresHistory,
) -> None:
    append(history, make_batch([], [make_mark(news_partition(number)) for number in range(4)]))
    anew, source = scored_partition(topic_id=UUID(int=7)), news_partition(topic_id=UUID(int=8))
    append(history, make_batch([], [make_mark(source)], partition=anew))

    with history.window_source() as snapshot:
        assert [(mark.scored, mark.source) for mark in snapshot.marks] == [(anew, source)]
    assert changes_of(history, P, 0).marks == ()


def test_an_older_mark_that_comes_again_says_nothing(history: History) -> None:
    older = make_batch([], [make_mark(next_offset=5)])
    append(history, older)
    append(history, make_batch([], [make_mark(status=MarkStatus.IDLE, next_offset=9)], start=1))
    append(history, older)

    (state,) = changes_of(history, P, 0).marks
    assert (state.status, state.next_offset) == (MarkStatus.IDLE, 9)
