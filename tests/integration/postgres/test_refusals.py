"""Documents that can't be stored are found and left out; all others are stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from support.builders import at, make_batch, make_document, make_record, make_scored, scored_partition
from support.histories import append
from support.postgres_databases import history_at, rows

from domain.document import Document
from domain.errors import PermanentError
from domain.log import ScoredRecord
from store.postgres.errors import REFUSED
from store.postgres.history import PostgresHistory

pytestmark = pytest.mark.servers

P = scored_partition()


@pytest.fixture
def history(database: str) -> Iterator[PostgresHistory]:
    with history_at(database) as history:
        yield history


@pytest.fixture
def poisoned(database: str) -> Iterator[None]:
    """A Postgres that refuses texts with `poison` in them (SQLSTATE 23514)."""
    rows(database, "ALTER TABLE document_text ADD CONSTRAINT pure CHECK (text NOT LIKE '%%poison%%')")
    yield
    rows(database, "ALTER TABLE document_text DROP CONSTRAINT pure")


def said(text: str, id: str) -> ScoredRecord:  # noqa: A002
    return make_record(make_scored(make_document(id, text=text)))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (make_document("bad", text="a NUL \0 in the text"), "text_not_storable"),
        (make_document("bad", title="half \udc80 a pair"), "text_not_storable"),
        (make_document("bad\0"), "text_not_storable"),
        (make_document("bad \ud800"), "text_not_storable"),
        (make_document("bad", source="a\0b"), "text_not_storable"),
        (make_document("bad", symbols=["\ud800"]), "text_not_storable"),
        (make_document("bad", author="x" * 1025), "name_too_long"),
        (make_document("bad", symbols=["ä" * 513]), "name_too_long"),
        (make_document("bad", published_at=datetime(1969, 12, 31, 23, 59, tzinfo=UTC)), "published_at_out_of_range"),
        (make_document("bad", published_at=datetime(3000, 1, 1, tzinfo=UTC)), "published_at_out_of_range"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_stored_is_told_apart_without_asking(
    history: PostgresHistory, database: str, document: Document, reason: str
) -> None:
    batch = make_batch([make_record("good"), make_record(make_scored(document)), make_record("better")])
    appended = append(history, batch)

    assert [(refusal.offset, refusal.reason) for refusal in appended.refused] == [(1, reason)]
    assert (appended.new, appended.duplicates) == (2, 0)
    assert history.next_offset(P) == 3
    assert rows(database, "SELECT count(*) FROM document") == [(2,)]


@pytest.mark.usefixtures("poisoned")
def test_what_only_postgres_refuses_is_found_by_halving(history: PostgresHistory, database: str) -> None:
    texts = ["poison" if number in {0, 13, 14, 49} else "fine" for number in range(50)]
    appended = append(history, make_batch([said(text, f"{number}") for number, text in enumerate(texts)]))

    assert [refusal.offset for refusal in appended.refused] == [0, 13, 14, 49]
    assert {refusal.reason for refusal in appended.refused} == {REFUSED}
    assert "23514" in appended.refused[0].message
    assert "\n" not in appended.refused[0].message
    assert (appended.new, history.next_offset(P)) == (46, 50)
    assert rows(database, "SELECT count(*) FROM ledger") == [(46,)]


@pytest.mark.usefixtures("poisoned")
def test_refusals_are_told_with_the_partition_that_they_came_from(history: PostgresHistory) -> None:
    batches = [
        make_batch([said("fine", "a"), said("poison", "b")]),
        make_batch([said("fine", "c"), said("fine", "d\0"), said("fine", "e")], partition=scored_partition(1)),
        make_batch([said("fine", "f"), said("poison", "g")], partition=scored_partition(2), start=7),
    ]
    for _ in range(2):
        told = history.append(batches)
        assert [[refusal.offset for refusal in appended.refused] for appended in told] == [[1], [1], [8]]
    assert [appended.duplicates for appended in told] == [1, 2, 1]


@pytest.mark.usefixtures("poisoned")
def test_a_refusal_is_told_again_when_its_message_comes_again(history: PostgresHistory, database: str) -> None:
    """Whoever was told the first time may have died before the dead letter was written."""
    batch = make_batch([said("fine", "a"), said("poison", "b"), said("fine", "c\0")])
    first = append(history, batch)
    rows(
        database,
        "ALTER TABLE document_text DROP CONSTRAINT pure; ALTER TABLE document_text ADD CONSTRAINT pure CHECK (true)",
    )

    again = append(history, batch)
    assert again.refused == first.refused
    assert (again.new, again.duplicates) == (0, 1)
    assert rows(database, "SELECT count(*) FROM ledger") == [(1,)], "the windows have passed it: it stays out"


@pytest.mark.usefixtures("poisoned")
def test_a_good_document_behind_a_refused_one_of_the_same_id_is_kept(history: PostgresHistory) -> None:
    appended = append(history, make_batch([said("poison", "same"), said("fine", "same")]))

    assert [refusal.offset for refusal in appended.refused] == [0]
    assert appended.new == 1


@pytest.mark.usefixtures("poisoned")
def test_a_good_document_is_kept_also_when_the_refused_one_was_recorded_before(history: PostgresHistory) -> None:
    append(history, make_batch([said("poison", "same"), said("fine", "other")]))
    appended = append(history, make_batch([said("poison", "same"), said("fine", "other"), said("fine", "same")]))

    assert [refusal.offset for refusal in appended.refused] == [0]
    assert (appended.new, appended.duplicates) == (1, 1)


@pytest.mark.usefixtures("poisoned")
def test_refusals_of_later_messages_are_not_told_with_an_older_batch(history: PostgresHistory) -> None:
    older = make_batch([said("fine", "a")])
    append(history, older)
    append(history, make_batch([said("poison", "b")], start=1))

    assert append(history, older).refused == ()


def test_a_batch_of_nothing_but_refusals_moves_on(history: PostgresHistory) -> None:
    appended = append(history, make_batch([make_record("\0"), make_record("a\0")]))

    assert len(appended.refused) == 2
    assert history.next_offset(P) == 2


def test_a_refusal_of_the_batch_itself_stops_the_flow_rather_than_losing_documents(
    history: PostgresHistory, database: str
) -> None:
    append(history, make_batch([make_record("a")]))
    rows(database, "ALTER TABLE progress ADD CONSTRAINT stuck CHECK (next_offset < 2)")
    try:
        with pytest.raises(PermanentError, match="none of their documents alone"):
            append(history, make_batch([make_record("b", published_at=at(1)), make_record("c")], start=1))
    finally:
        rows(database, "ALTER TABLE progress DROP CONSTRAINT stuck")
    assert history.next_offset(P) == 1
