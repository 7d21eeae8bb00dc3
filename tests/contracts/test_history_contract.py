"""What domain.ports.History and store.rebuild_source.RebuildSource promise, on every implementation."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest
from support.builders import (
    at,
    comments_partition,
    entity,
    make_batch,
    make_document,
    make_mark,
    make_record,
    make_scored,
    news_partition,
    scored_partition,
    topic,
)
from support.fake_history import FakeHistory
from support.histories import append, changes_of
from support.postgres_databases import LATENESS, history_at

from domain.classification import Unscored
from domain.document import Kind
from domain.errors import Conflict
from domain.log import MarkStatus
from domain.ports import History
from domain.timeline import minute_of
from domain.watermark import watermark
from domain.window import UNKNOWN_PUBLISHER, Counts
from store.postgres.history import PostgresHistory

P = scored_partition()
M = minute_of(at())
EARNINGS, ACME = topic("Earnings"), entity("ACME")
BAD = {"negative": 0.9}  # with the rest shared: polarity −0.85
ONE_NEUTRAL = Counts(count=1, neutral=1)
ONE_BAD = Counts(count=1, negative=1, polarity_sum=-8_500, polarity_squares=72_250_000)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def history(request: pytest.FixtureRequest) -> Iterator[FakeHistory | PostgresHistory]:
    if request.param == "memory":
        yield FakeHistory(lateness=LATENESS)
        return
    with history_at(request.getfixturevalue("database")) as postgres:
        yield postgres


def test_nothing_is_known_of_a_partition_that_was_never_recorded(history: History) -> None:
    assert history.next_offset(P) is None
    changes = changes_of(history, P, 0)
    assert (changes.start, changes.end, changes.counts, changes.marks) == (0, 0, {}, ())


def test_a_document_adds_to_its_topic_and_to_each_of_its_symbols(history: History) -> None:
    appended = append(history, make_batch([make_record("a", symbols=["ACME"], **BAD)], start=7))

    assert (appended.new, appended.duplicates, appended.late, appended.refused) == (1, 0, 0, ())
    assert history.next_offset(P) == 8
    changes = changes_of(history, P, 7)
    assert (changes.partition, changes.start, changes.end) == (P, 7, 8)
    assert changes.counts == {(EARNINGS, M): ONE_BAD, (ACME, M): ONE_BAD}
    assert changes.negative_publishers == {
        (EARNINGS, M): frozenset({"Example Wire"}),
        (ACME, M): frozenset({"Example Wire"}),
    }


def test_a_symbol_that_the_text_names_counts_what_is_said_of_it(history: FakeHistory | PostgresHistory) -> None:
    """Good for the document and ACME, bad for EXMP, and of XYZ nothing in particular."""
    record = make_record(
        "a",
        symbols=["ACME", "EXMP", "XYZ"],
        positive=0.9,
        entities={"ACME": {"positive": 1.0}, "EXMP": {"negative": 0.9}},
    )
    append(history, make_batch([record, make_record("b", symbols=["EXMP"])]))
    changes = changes_of(history, P, 0)
    good = Counts(count=1, positive=1, polarity_sum=8_500, polarity_squares=72_250_000)
    assert changes.counts == {
        (EARNINGS, M): good + ONE_NEUTRAL,
        (ACME, M): Counts(count=1, positive=1, polarity_sum=10_000, polarity_squares=100_000_000),
        (entity("EXMP"), M): ONE_BAD + ONE_NEUTRAL,
        (entity("XYZ"), M): good,
    }
    assert changes.negative_publishers == {(entity("EXMP"), M): {"Example Wire"}}
    with history.window_source() as source:
        rebuilt = {(one.subject, one.minute): one.counts for one in source.increments(M)}
    assert rebuilt == changes.counts


def test_publishers_are_noted_of_negative_documents_alone(history: History) -> None:
    said = make_document("c", kind=Kind.COMMENT, author="ann", source="Forum")
    unknown = make_document("d", source=None)
    records = [
        make_record("a", positive=0.9),
        make_record("b"),
        make_record(make_scored(said, **BAD)),
        make_record(make_scored(unknown, **BAD)),
    ]
    append(history, make_batch(records))

    assert changes_of(history, P, 0).negative_publishers == {(EARNINGS, M): frozenset({"ann", UNKNOWN_PUBLISHER})}


def test_a_batch_that_comes_again_changes_nothing(history: History) -> None:
    batch = make_batch([make_record("a"), make_record("b", **BAD)], [make_mark()])
    append(history, batch)
    before = changes_of(history, P, 0)

    again = append(history, batch)

    assert (again.new, again.duplicates) == (0, 2)
    assert changes_of(history, P, 0) == before
    assert history.next_offset(P) == 3


def test_a_batch_that_overlaps_adds_only_what_is_new(history: History) -> None:
    a, b, c = (make_record(name) for name in "abc")
    append(history, make_batch([a, b]))

    appended = append(history, make_batch([b, c], start=1))

    assert (appended.new, appended.duplicates) == (1, 1)
    assert changes_of(history, P, 0).counts[EARNINGS, M].count == 3
    assert changes_of(history, P, 2).counts[EARNINGS, M].count == 1


def test_a_document_sent_twice_counts_at_its_first_message(history: History) -> None:
    appended = append(history, make_batch([make_record("a"), make_record("a"), make_record("b")]))

    assert (appended.new, appended.duplicates) == (2, 1)
    assert changes_of(history, P, 0).counts[EARNINGS, M].count == 2
    assert changes_of(history, P, 1).counts[EARNINGS, M].count == 1


def test_a_document_in_two_partitions_counts_in_the_one_that_came_first(history: History) -> None:
    other = scored_partition(1)
    append(history, make_batch([make_record("a")]))
    appended = append(history, make_batch([make_record("a"), make_record("b")], partition=other))

    assert (appended.new, appended.duplicates) == (1, 1)
    assert changes_of(history, P, 0).counts[EARNINGS, M].count == 1
    assert changes_of(history, other, 0).counts[EARNINGS, M].count == 1


def test_batches_of_several_partitions_are_written_together_and_told_apart(history: History) -> None:
    other, third = scored_partition(1), scored_partition(2)
    append(history, make_batch([make_record("a"), make_record("b")], partition=other, start=4))

    told = history.append(
        [
            make_batch([make_record("c"), make_record("c")], [make_mark(high_time=at(9))], partition=third),
            make_batch([make_record("a"), make_record("b"), make_record("d")], partition=other, start=4),
            make_batch([make_record("e", published_at=at(3)), make_record("f", high_time=at(60))], start=2),
        ]
    )

    assert [(appended.new, appended.duplicates, appended.late) for appended in told] == [
        (1, 1, 0),
        (1, 2, 0),
        (2, 0, 1),
    ]
    assert [history.next_offset(partition) for partition in (P, other, third)] == [4, 7, 3]
    anew = scored_partition(3)
    asked = {other: 6, anew: 0, P: 0, third: 3}
    read = history.changes(asked)
    assert [(changes.partition, changes.start, changes.end) for changes in read] == [
        (other, 6, 7),
        (anew, 0, 0),
        (P, 0, 4),
        (third, 3, 3),
    ]
    assert [changes.counts for changes in read] == [
        {(EARNINGS, M): ONE_NEUTRAL},
        {},
        {(EARNINGS, M + 3): ONE_NEUTRAL},
        {},
    ]
    assert [[mark.high_time for mark in changes.marks] for changes in read] == [[], [], [], [at(9)]]


def test_no_batches_and_no_partitions_are_nothing(history: History) -> None:
    assert history.append([]) == ()
    assert history.changes({}) == ()


def test_a_history_that_holds_less_than_it_must_is_not_written_to(history: History) -> None:
    other = scored_partition(1)
    append(history, make_batch([make_record("a"), make_record("b")]))
    batches = [make_batch([make_record("c")], partition=other), make_batch([make_record("d")], start=3)]

    with pytest.raises(Conflict, match="went back"):
        history.append(batches, recorded={P: 3, other: 0})

    assert (history.next_offset(P), history.next_offset(other)) == (2, None)
    assert [appended.new for appended in history.append(batches, recorded={P: 2, scored_partition(9): 7})] == [1, 1]


def test_offsets_may_have_gaps_and_batches_may_hold_marks_alone(history: History) -> None:
    append(history, make_batch([(3, make_record("a")), (9, make_record("b"))], [(12, make_mark())], start=2, end=20))
    append(history, make_batch([], [make_mark(high_time=at(1))], start=25))

    assert history.next_offset(P) == 26
    assert changes_of(history, P, 4).counts[EARNINGS, M].count == 1
    assert changes_of(history, P, 10).counts == {}


def test_a_topic_made_anew_under_its_old_name_starts_from_nothing(history: History) -> None:
    append(history, make_batch([make_record("a")], start=5))
    anew = scored_partition(0, UUID(int=99))

    assert history.next_offset(anew) is None
    append(history, make_batch([make_record("b")], partition=anew))
    assert (history.next_offset(P), history.next_offset(anew)) == (6, 1)


def test_a_document_without_a_score_is_stored_and_adds_nothing(history: History) -> None:
    appended = append(history, make_batch([make_record("a", unscored=Unscored.LANGUAGE, symbols=["ACME"])]))

    assert appended.new == 1
    assert changes_of(history, P, 0).counts == {}


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


def test_when_kafka_loses_its_tail_new_messages_at_the_old_offsets_count(history: History) -> None:
    append(history, make_batch([make_record("a"), make_record("b"), make_record("c")]))

    history.truncate(P, 1)

    assert history.next_offset(P) == 1
    assert changes_of(history, P, 0).counts[EARNINGS, M].count == 1
    appended = append(history, make_batch([make_record("d"), make_record("b")], start=1))
    assert (appended.new, appended.duplicates) == (1, 1)
    assert changes_of(history, P, 1).counts[EARNINGS, M].count == 1


def test_truncating_beyond_what_is_recorded_changes_nothing(history: History) -> None:
    append(history, make_batch([make_record("a")]))
    history.truncate(P, 5)
    history.truncate(scored_partition(7), 0)

    assert history.next_offset(P) == 1
    assert changes_of(history, P, 0).counts[EARNINGS, M].count == 1


def test_a_rebuild_reads_everything_in_time_by_rising_minute(history: FakeHistory | PostgresHistory) -> None:
    records = [
        make_record("a", symbols=["ACME"], **BAD),
        make_record(make_scored("b", source=None, **BAD)),
        make_record("c", published_at=at(200)),
        make_record("late", published_at=at(2), high_time=at(200)),
    ]
    append(history, make_batch(records, [make_mark()]))
    append(history, make_batch([make_record("d", published_at=at(1))], partition=scored_partition(1)))
    history.truncate(P, 2)

    with history.window_source() as snapshot:
        assert snapshot.guards == {P: 2, scored_partition(1): 1}
        assert [state.source for state in snapshot.marks] == [news_partition()]
        everything = list(snapshot.increments(0))
        recent = list(snapshot.increments(M + 1))

    minutes = [increment.minute for increment in everything]
    assert minutes == sorted(minutes)
    sums = {(one.subject, one.minute): (one.counts.count, one.negative_publishers) for one in everything}
    assert sums == {
        (EARNINGS, M): (2, frozenset({"Example Wire", UNKNOWN_PUBLISHER})),
        (ACME, M): (1, frozenset({"Example Wire"})),
        (EARNINGS, M + 1): (1, frozenset()),
        (EARNINGS, M + 200): (1, frozenset()),
    }
    assert [increment.minute for increment in recent] == [M + 1, M + 200]


def test_a_rebuild_from_an_empty_history_reads_nothing(history: FakeHistory | PostgresHistory) -> None:
    with history.window_source() as snapshot:
        assert snapshot.guards == {}
        assert snapshot.marks == ()
        assert list(snapshot.increments(0)) == []
