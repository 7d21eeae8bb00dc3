"""What domain.ports.Windows promises, on every implementation."""

from __future__ import annotations

from uuid import UUID

import pytest
from support.builders import at, comments_partition, entity, news_partition, scored_partition, topic
from support.fake_ledger import Row
from support.window_worlds import WindowWorld, in_memory, in_redis, total

from domain.errors import WindowsNotWhole
from domain.timeline import minute_of
from domain.window import Changes, Counts

M = minute_of(at())
OIL, ACME = topic("Energy | Oil"), entity("ACME")
BAD = Row(id="bad", subjects=(OIL, ACME), minute=M, polarity=-9_000, publisher="Wire")
GOOD = Row(id="good", subjects=(OIL,), minute=M + 1, polarity=7_000)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def world(request: pytest.FixtureRequest) -> WindowWorld:
    return in_memory() if request.param == "memory" else in_redis(request.getfixturevalue("fresh_redis"))


@pytest.fixture
def whole(world: WindowWorld) -> WindowWorld:
    world.windows.rebuild()
    return world


def test_windows_that_were_never_made_are_not_whole(world: WindowWorld) -> None:
    with pytest.raises(WindowsNotWhole):
        world.windows.guard(scored_partition())
    with pytest.raises(WindowsNotWhole):
        world.windows.apply(Changes(partition=scored_partition(), start=0, end=1))


def test_a_rebuild_from_an_empty_history_makes_empty_windows_that_are_whole(whole: WindowWorld) -> None:
    assert whole.windows.guard(scored_partition()) is None
    assert whole.reader.buckets(M, M + 10).counts == {}
    assert whole.reader.marks() == ()


def test_an_unknown_guard_counts_as_zero(whole: WindowWorld) -> None:
    whole.ledger.append(scored_partition(), [BAD])

    assert whole.windows.apply(whole.ledger.changes(scored_partition(), 0)) is None
    assert whole.windows.guard(scored_partition()) == 1
    assert whole.reader.buckets(M, M + 1).counts[M] == {OIL: BAD.counts, ACME: BAD.counts}


def test_changes_that_do_not_start_at_the_guard_are_refused_and_change_nothing(whole: WindowWorld) -> None:
    whole.ledger.append(scored_partition(), [BAD, GOOD])
    assert whole.windows.apply(whole.ledger.changes(scored_partition(), 1)) == 0, "the guard is behind"
    assert whole.reader.observed(M, M + 5) == []

    assert whole.windows.apply(whole.ledger.changes(scored_partition(), 0)) is None
    assert whole.windows.apply(whole.ledger.changes(scored_partition(), 0)) == 2, "the guard is ahead"
    assert whole.windows.apply(whole.ledger.changes(scored_partition(), 1)) == 2
    assert total(whole.reader, OIL, M, M + 5) == BAD.counts + GOOD.counts


def test_a_document_sent_again_adds_nothing(whole: WindowWorld) -> None:
    whole.ledger.append(scored_partition(0), [BAD])
    whole.ledger.append(scored_partition(1), [BAD, GOOD])
    for number in (0, 1):
        assert whole.reconcile(scored_partition(number)) == 1

    assert total(whole.reader, OIL, M, M + 5) == BAD.counts + GOOD.counts


def test_changes_without_documents_move_the_guard(whole: WindowWorld) -> None:
    whole.ledger.append(scored_partition(), [BAD])
    whole.reconcile(scored_partition())

    assert whole.windows.apply(Changes(partition=scored_partition(), start=1, end=7)) is None
    assert whole.windows.guard(scored_partition()) == 7


def test_a_guard_never_goes_back_by_changes(whole: WindowWorld) -> None:
    assert whole.windows.apply(Changes(partition=scored_partition(), start=0, end=7)) is None

    with pytest.raises(ValueError, match="can't end"):
        whole.windows.apply(Changes(partition=scored_partition(), start=7, end=3))
    assert whole.windows.guard(scored_partition()) == 7


def test_partitions_are_counted_apart_and_a_topic_made_anew_begins_at_zero(whole: WindowWorld) -> None:
    anew = scored_partition(topic_id=UUID(int=7))
    whole.ledger.append(scored_partition(0), [BAD, GOOD])
    whole.reconcile(scored_partition(0))

    assert whole.windows.guard(scored_partition(1)) is None
    assert whole.windows.guard(anew) is None
    whole.ledger.append(anew, [Row(id="new", subjects=(ACME,), minute=M)])
    assert whole.reconcile(anew) == 1
    assert whole.windows.guard(scored_partition(0)) == 2
    assert total(whole.reader, ACME, M, M + 1).count == 2


def test_offsets_are_exact_up_to_64_bits(whole: WindowWorld) -> None:
    far = 2**60 + 1
    assert whole.windows.apply(Changes(partition=scored_partition(), start=0, end=far)) is None
    assert whole.windows.apply(Changes(partition=scored_partition(), start=far - 1, end=far + 1)) == far
    assert whole.windows.guard(scored_partition()) == far


def test_sums_are_exact_where_a_float_is_not(whole: WindowWorld) -> None:
    huge = Counts(count=2**40 + 1, negative=2**40 + 1, polarity_sum=-(2**50) - 1, polarity_squares=2**53 - 3)
    rows = {(OIL, M + minute): huge for minute in range(3)}
    assert whole.windows.apply(Changes(partition=scored_partition(), start=0, end=1, counts=rows)) is None

    expected = huge + huge + huge
    assert total(whole.reader, OIL, M, M + 3) == expected
    assert whole.reader.buckets(M, M + 1).counts[M][OIL] == huge
    assert whole.reader.series(OIL, M, M + 3, 3)[0].counts == expected


def test_any_name_can_be_counted(whole: WindowWorld) -> None:
    names = ["", "a:b", "with space", "sub\x1fject", "Zürich 銀行", "'\"\\", "x" * 300]
    subjects = tuple(entity(name) for name in names if name)
    rows = [
        Row(id=str(index), subjects=subjects, minute=M, polarity=-9_000, publisher=name)
        for index, name in enumerate(names)
    ]
    whole.ledger.append(scored_partition(), rows)
    whole.reconcile(scored_partition())

    assert whole.reader.buckets(M, M + 1).counts[M] == whole.ledger.buckets(M, M + 1)[M]
    assert whole.reader.negative_publishers(subjects[0], M, M + 1) == len(names)


def test_one_batch_may_touch_very_many_subjects_minutes_and_publishers(whole: WindowWorld) -> None:
    crowd = [
        Row(id=f"crowd-{index}", subjects=(OIL, entity(f"S{index}")), minute=M, polarity=-9_000, publisher=f"P{index}")
        for index in range(1_300)
    ]
    spread = [Row(id=f"spread-{index}", subjects=(OIL, ACME), minute=M + index) for index in range(1_300)]
    whole.ledger.append(scored_partition(), crowd + spread)
    whole.reconcile(scored_partition())

    assert whole.reader.buckets(M, M + 1_300).counts == whole.ledger.buckets(M, M + 1_300)
    assert whole.reader.negative_publishers(OIL, M, M + 1_300) == pytest.approx(1_300, rel=0.03)


def test_marks_are_those_of_the_newest_changes_of_each_partition(whole: WindowWorld) -> None:
    for number, minute in ((0, 1), (1, 2), (0, 3)):
        whole.ledger.mark(scored_partition(number), at(minute), fan_out=2)
        whole.ledger.mark(scored_partition(number), at(minute), source=comments_partition(), fan_out=2)
        whole.reconcile(scored_partition(number), whole.windows.guard(scored_partition(number)) or 0)

    marks = {(mark.scored.number, mark.source): mark for mark in whole.reader.marks()}
    assert len(marks) == 4
    assert marks[0, news_partition()].high_time == at(3)
    assert marks[1, comments_partition()] == whole.ledger.states[scored_partition(1), comments_partition()]


def test_when_scored_is_made_anew_its_marks_replace_those_of_its_former_self_source_by_source(
    whole: WindowWorld,
) -> None:
    anew, comments = scored_partition(topic_id=UUID(int=7)), comments_partition()
    for number in (0, 1):
        whole.ledger.mark(scored_partition(number), at(1), fan_out=2)
        whole.ledger.mark(scored_partition(number), at(1), source=comments, fan_out=2)
        whole.reconcile(scored_partition(number))
    whole.ledger.mark(anew, at(2))
    whole.reconcile(anew)

    counting = {(anew, news_partition()), (scored_partition(0), comments), (scored_partition(1), comments)}
    assert {(mark.scored, mark.source) for mark in whole.reader.marks()} == counting
    whole.windows.rebuild()
    assert {(mark.scored, mark.source) for mark in whole.reader.marks()} == counting


def test_the_marks_of_a_source_topic_made_anew_replace_those_of_its_former_self(whole: WindowWorld) -> None:
    for partition in (scored_partition(), scored_partition(topic_id=UUID(int=7))):
        former, anew = (news_partition(0, UUID(int=partition.topic_id.int + n)) for n in (10, 11))
        whole.ledger.mark(partition, at(1), source=former)
        whole.reconcile(partition, whole.windows.guard(partition) or 0)
        assert [(mark.scored, mark.source) for mark in whole.reader.marks()] == [(partition, former)]

        whole.ledger.mark(partition, at(2), source=anew)
        whole.reconcile(partition, whole.windows.guard(partition) or 0)
        assert [(mark.scored, mark.source) for mark in whole.reader.marks()] == [(partition, anew)]


def test_a_rebuild_holds_what_was_recorded_and_counting_goes_on_from_there(whole: WindowWorld) -> None:
    whole.ledger.append(scored_partition(0), [BAD])
    whole.ledger.append(scored_partition(1), [GOOD], gap=10)
    whole.ledger.mark(scored_partition(1), at(2))
    whole.lose()
    with pytest.raises(WindowsNotWhole):
        whole.windows.guard(scored_partition())
    whole.windows.rebuild()

    assert whole.windows.guard(scored_partition(0)) == 1
    assert whole.windows.guard(scored_partition(1)) == 12
    assert whole.reader.buckets(M, M + 5).counts == whole.ledger.buckets(M, M + 5)
    assert whole.reader.marks() == tuple(whole.ledger.states.values())
    whole.ledger.append(scored_partition(0), [Row(id="third", subjects=(OIL,), minute=M)])
    assert whole.windows.apply(whole.ledger.changes(scored_partition(0), 1)) is None
    assert whole.reader.buckets(M, M + 5).counts == whole.ledger.buckets(M, M + 5)


def test_a_rebuild_of_whole_windows_counts_nothing_twice(whole: WindowWorld) -> None:
    whole.ledger.append(scored_partition(), [BAD, GOOD])
    whole.reconcile(scored_partition())
    whole.windows.rebuild()
    whole.windows.rebuild()

    assert whole.windows.guard(scored_partition()) == 2
    assert whole.windows.apply(whole.ledger.changes(scored_partition(), 2)) is None
    assert whole.reader.buckets(M, M + 5).counts == whole.ledger.buckets(M, M + 5)


def test_a_rebuild_puts_a_guard_back_that_was_beyond_the_history(whole: WindowWorld) -> None:
    assert whole.windows.apply(Changes(partition=scored_partition(), start=0, end=100)) is None
    whole.ledger.append(scored_partition(), [BAD])
    whole.windows.rebuild()

    assert whole.windows.guard(scored_partition()) == 1
    assert total(whole.reader, OIL, M, M + 1) == BAD.counts
