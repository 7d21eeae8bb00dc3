"""How far sources have come, and which documents are late, message by message."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.builders import at, comments_partition, make_batch, make_mark, make_record, news_partition

from domain.log import MarkStatus, ScoredRecord
from store.postgres.lateness import SourceState, walk

LATENESS = timedelta(minutes=5)
NEWS, COMMENTS = news_partition(), comments_partition()


def test_a_batch_without_messages_from_there_on_changes_nothing() -> None:
    batch = make_batch([make_record("a", published_at=at(9))], [make_mark(high_time=at(9))])
    walked = walk(batch, 2, {NEWS: SourceState(high_time=at(1))}, LATENESS)
    assert (walked.late, walked.states) == (frozenset(), {})


def test_only_states_that_changed_are_told() -> None:
    known = {NEWS: SourceState(high_time=at(9)), COMMENTS: SourceState(high_time=at(1))}
    batch = make_batch([make_record("a", published_at=at(8)), make_record("b", published_at=at(2), source=COMMENTS)])
    assert walk(batch, 0, known, LATENESS).states == {COMMENTS: SourceState(high_time=at(2))}


def test_a_document_exactly_as_old_as_allowed_is_in_time() -> None:
    known = {NEWS: SourceState(high_time=at(10))}
    batch = make_batch(
        [
            make_record("in time", published_at=at(5)),
            make_record("late", published_at=at(5) - timedelta(microseconds=1)),
        ]
    )
    assert walk(batch, 0, known, LATENESS).late == {1}


def test_a_source_has_no_status_before_its_first_mark() -> None:
    (state,) = walk(make_batch([make_record("a")]), 0, {}, LATENESS).states.values()
    assert state == SourceState(status=None, high_time=at(0))


def test_an_unread_mark_of_a_source_known_by_documents_alone_makes_it_unread() -> None:
    known = {NEWS: SourceState(high_time=at(3))}
    mark = make_mark(status=MarkStatus.UNREAD, next_offset=0, high_time=None, fan_out=4)
    (state,) = walk(make_batch([], [mark]), 0, known, LATENESS).states.values()
    assert state == SourceState(status=MarkStatus.UNREAD, high_time=at(3), fan_out=4)


def test_idle_then_a_document_and_its_mark_reads_again() -> None:
    known = {NEWS: SourceState(status=MarkStatus.IDLE, high_time=at(3), next_offset=4, fan_out=1)}
    batch = make_batch([make_record("a", published_at=at(4))], [make_mark(next_offset=5, high_time=at(4))])
    (state,) = walk(batch, 0, known, LATENESS).states.values()
    assert state == SourceState(status=MarkStatus.READING, high_time=at(4), next_offset=5, fan_out=1)


@given(
    minutes=st.lists(st.integers(0, 40), min_size=1, max_size=30),
    cuts=st.sets(st.integers(0, 30)),
    again=st.integers(0, 10),
)
def test_batches_may_be_cut_anywhere_and_overlap(minutes: list[int], cuts: set[int], again: int) -> None:
    """Cutting the log into batches, each beginning some messages too early, decides the same documents to be late."""
    records: list[ScoredRecord] = []
    high = at(0)
    for number, minute in enumerate(minutes):
        high = max(high, at(minute))
        records.append(make_record(f"{number}", published_at=at(minute), high_time=high))
    whole = walk(make_batch(records), 0, {}, LATENESS)

    late: set[int] = set()
    states: dict[object, SourceState] = {}
    done = 0
    for end in sorted({cut for cut in cuts if cut < len(records)} | {len(records)}):
        start = max(0, done - again)
        walked = walk(make_batch(records[start:end], start=start), done, states, LATENESS)  # type: ignore[arg-type]
        late |= walked.late
        states |= walked.states
        done = end
    assert late == whole.late
    assert late == {number for number, minute in enumerate(minutes) if minute < max(minutes[: number + 1]) - 5}
