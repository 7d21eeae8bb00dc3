"""A batch becomes documents, then marks, per partition of the scored topic; what was refused becomes letters."""

from __future__ import annotations

from datetime import UTC, datetime

from support.builders import at, make_classification, make_document, news_partition

from domain.classification import Classification, Unscored
from domain.errors import InvalidInput
from domain.log import Mark, MarkStatus, ScoredRecord
from stream import wire
from stream.compose import SCORED_TOO_LARGE, Composed, Composer, End, Item, places_of
from stream.incoming import Incoming, TopicPartition
from stream.marks import Progress
from stream.producer import partition_for

NOW = datetime(2014, 1, 6, 14, 0, tzinfo=UTC)
P0, P1 = TopicPartition("news", 0), TopicPartition("news", 1)
COMPOSER = Composer(stage="classify", scored_topic="scored", max_scored_bytes=10_000)


def incoming(offset: int, place: TopicPartition = P0) -> Incoming:
    return Incoming(
        topic=place.topic, partition=place.partition, offset=offset, timestamp_ms=0, key=None, value=b"original"
    )


def scored(offset: int, minute: float = 0, place: TopicPartition = P0, text: str = "Oil falls.") -> Item:
    document = make_document(id=f"doc-{place.partition}-{offset}", published_at=at(minute), text=text)
    return Item(incoming(offset, place), document, make_classification())


def compose(*items: Item, fan_out: int = 2) -> Composed:
    progress = Progress(fan_out=fan_out)
    owned = {place: news_partition(place.partition) for place in (P0, P1)}
    progress.begin(owned=owned, others={}, starts=dict.fromkeys(owned, 0), ends=dict.fromkeys(owned, 9), now=0)
    return COMPOSER.compose(items, progress, config_hash="c0ffee", now=NOW, monotonic=0)


def content(composed: Composed, number: int) -> list[ScoredRecord | tuple[Mark, ...]]:
    return [wire.decode(record.value) for record in composed.runs[TopicPartition("scored", number)]]


def test_each_document_goes_to_the_partition_of_its_id_and_marks_to_all_behind_them() -> None:
    items = [scored(n) for n in range(20)]
    composed = compose(*items, fan_out=3)
    found = {}
    for number in range(3):
        *documents, marks = content(composed, number)
        for document in documents:
            assert isinstance(document, ScoredRecord)
            found[document.scored.document.id] = number
        assert marks == composed.marks
    assert found == {f"doc-0-{n}": partition_for(f"doc-0-{n}".encode(), 3) for n in range(20)}
    assert len(set(found.values())) == 3


def test_a_document_says_where_it_came_from_and_the_newest_time_until_then() -> None:
    composed = compose(scored(0, 5), scored(1, 3), scored(2, 7, P1), fan_out=1)
    first, second, third, marks = content(composed, 0)
    assert isinstance(first, ScoredRecord)
    assert isinstance(second, ScoredRecord)
    assert isinstance(third, ScoredRecord)
    assert (first.origin.partition, first.origin.offset, first.origin.high_time) == (news_partition(0), 0, at(5))
    assert (second.origin.offset, second.origin.high_time) == (1, at(5))
    assert (third.origin.partition, third.origin.high_time) == (news_partition(1), at(7))
    assert isinstance(marks, tuple)
    assert {(mark.partition.number, mark.next_offset, mark.high_time) for mark in marks} == {
        (0, 2, at(5)),
        (1, 3, at(7)),
    }
    assert (first.scored.config_hash, composed.scored) == ("c0ffee", 3)


def test_what_was_refused_becomes_a_letter_and_moves_only_the_offset() -> None:
    refused = InvalidInput("no_text", "it has no text")
    poisonous = Item(incoming(1), make_document(published_at=at(9)), InvalidInput("model_failed", "it failed"))
    composed = compose(Item(incoming(0), refused), poisonous)
    assert [(letter.offset, letter.reason, letter.value, letter.at) for letter in composed.letters] == [
        (0, "no_text", b"original", NOW),
        (1, "model_failed", b"original", NOW),
    ]
    (mark,) = composed.marks
    assert (mark.status, mark.next_offset, mark.high_time) == (MarkStatus.READING, 2, None)
    assert composed.scored == 0


def test_a_document_without_a_score_says_why() -> None:
    composed = compose(Item(incoming(0), make_document(), Unscored.LANGUAGE), fan_out=1)
    record = content(composed, 0)[0]
    assert isinstance(record, ScoredRecord)
    assert record.scored.unscored is Unscored.LANGUAGE
    assert (composed.unscored, composed.scored) == (1, 0)


def test_a_scored_document_that_the_topic_would_not_take_becomes_a_letter() -> None:
    composed = compose(scored(0, text="\x01" * 3000))
    assert [letter.reason for letter in composed.letters] == [SCORED_TOO_LARGE]


def test_an_end_is_a_mark_and_no_document() -> None:
    composed = compose(scored(0), Item(incoming(1), End(at(30))), fan_out=1)
    document, marks = content(composed, 0)
    assert isinstance(document, ScoredRecord)
    assert isinstance(marks, tuple)
    assert [(mark.status, mark.next_offset, mark.ended_at) for mark in marks] == [(MarkStatus.ENDED, 2, at(30))]


def test_nothing_becomes_nothing() -> None:
    composed = compose()
    assert not composed.runs
    assert not composed.marks


def test_the_places_of_a_batch_are_named_with_their_first_offset() -> None:
    assert places_of([scored(3), scored(7, place=P1), scored(4)]) == {P0: 3, P1: 7}


def test_classifications_are_passed_on_as_they_are() -> None:
    item = scored(0)
    record = content(compose(item, fan_out=1), 0)[0]
    assert isinstance(record, ScoredRecord)
    assert isinstance(item.outcome, Classification)
    assert record.scored.classification == item.outcome


def test_marks_that_go_first_lie_before_every_document() -> None:
    progress = Progress(fan_out=2)
    owned = {place: news_partition(place.partition) for place in (P0, P1)}
    progress.begin(owned=owned, others={}, starts=dict.fromkeys(owned, 0), ends={P0: 9, P1: 0}, now=0)
    woken = progress.woke({P1: 4}, 30, asked=1, now=1)
    items = [scored(n) for n in range(20)]
    composed = COMPOSER.compose(items, progress, first=woken, config_hash="c0ffee", now=NOW, monotonic=1)
    for number in range(2):
        first, *documents, last = content(composed, number)
        assert first == woken
        assert len(documents) > 1
        assert isinstance(last, tuple)
        assert [(m.partition.number, m.status) for m in last] == [(0, MarkStatus.READING)]
