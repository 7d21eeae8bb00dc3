"""What domain.ports.History and store.rebuild_source.RebuildSource promise, on every implementation."""

from __future__ import annotations

from uuid import UUID

import pytest
from support.builders import (
    at,
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

from domain.classification import Unscored
from domain.document import Kind
from domain.errors import Conflict
from domain.ports import History
from domain.timeline import minute_of
from domain.window import UNKNOWN_PUBLISHER, Counts
from store.postgres.history import PostgresHistory

P = scored_partition()
M = minute_of(at())
EARNINGS, ACME = topic("Earnings"), entity("ACME")
BAD = {"negative": 0.9}  # with the rest shared: polarity −0.85
ONE_NEUTRAL = Counts(count=1, neutral=1)
ONE_BAD = Counts(count=1, negative=1, polarity_sum=-8_500, polarity_squares=72_250_000)


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
