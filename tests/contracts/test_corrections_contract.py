"""What domain.ports.Corrections promises, on every implementation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.builders import make_batch, make_document, make_record, make_scored
from support.fake_corrections import FakeCorrections
from support.fake_store import FakeDocuments
from support.postgres_databases import history_at, rows

from domain.correction import Correction, DocumentsUnknown
from domain.ports import Corrections
from store.postgres.connection import Postgres
from store.postgres.corrections import PostgresCorrections

DOCUMENTS = (
    make_scored(make_document("a", text="Ships are late.", title="Delays"), negative=0.9),
    make_scored(make_document("b", text="Ships are early."), positive=0.9),
    make_scored(make_document("c", text="Ships are on time.")),
)


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def corrections(request: pytest.FixtureRequest) -> Iterator[Corrections]:
    if request.param == "memory":
        documents = FakeDocuments()
        documents.add(*DOCUMENTS)
        yield FakeCorrections(documents)
        return
    dsn = request.getfixturevalue("database")
    with history_at(dsn) as history:
        history.append([make_batch([make_record(one) for one in DOCUMENTS])])
    postgres = Postgres(dsn, application_name="test")
    yield PostgresCorrections(postgres)
    postgres.close()


def correction(
    document_id: str, label: str | None = "positive", *, task: str = "sentiment", entity: str | None = None
) -> Correction:
    return Correction(document_id=document_id, task=task, label=label, entity=entity, by="ann", note="says so")


def standing(corrections: Corrections, task: str | None = None) -> list[Correction]:
    return [one.correction for one in corrections.standing(task=task)]


def test_what_is_said_stands_with_the_text_that_the_classifier_reads(corrections: Corrections) -> None:
    corrections.add([correction("a"), correction("b", "neutral")])

    first, second = corrections.standing()
    assert (first.correction, first.text) == (correction("a"), "Delays\n\nShips are late.")
    assert (second.correction, second.text) == (correction("b", "neutral"), "Ships are early.")
    assert first.recorded_at <= second.recorded_at


def test_the_newest_of_a_document_task_and_entity_counts(corrections: Corrections) -> None:
    corrections.add([correction("a"), correction("a", "Fed", task="topic")])
    corrections.add([correction("a", "negative", entity="NGB"), correction("a", "neutral")])

    assert standing(corrections) == [
        correction("a", "Fed", task="topic"),
        correction("a", "negative", entity="NGB"),
        correction("a", "neutral"),
    ]
    assert standing(corrections, "topic") == [correction("a", "Fed", task="topic")]


def test_a_correction_can_be_withdrawn_and_made_again(corrections: Corrections) -> None:
    corrections.add([correction("a"), correction("b")])
    corrections.add([correction("a", None)])
    assert standing(corrections) == [correction("b")]
    assert corrections.corrected(["a", "b"], ["sentiment"]) == {"b"}

    corrections.add([correction("a", "neutral")])
    assert standing(corrections) == [correction("b"), correction("a", "neutral")]


def test_it_is_known_which_documents_are_corrected(corrections: Corrections) -> None:
    corrections.add([correction("a"), correction("b", "Fed", task="topic")])

    assert corrections.corrected(["a", "b", "c", "never heard of"], ["sentiment", "topic"]) == {"a", "b"}
    assert corrections.corrected(["a", "b"], ["topic"]) == {"b"}
    assert corrections.corrected([], ["topic"]) == set()


def test_the_last_of_those_that_stand_can_be_asked_for(corrections: Corrections) -> None:
    corrections.add([correction("a"), correction("b"), correction("c"), correction("a", "Fed", task="topic")])
    corrections.add([correction("c", None)])

    assert [one.correction for one in corrections.standing(limit=2)] == [
        correction("b"),
        correction("a", "Fed", task="topic"),
    ]
    assert [one.correction for one in corrections.standing(task="sentiment", limit=1)] == [correction("b")]
    assert len(corrections.standing(limit=9)) == 3


def test_it_is_known_what_stands_of_some_documents(corrections: Corrections) -> None:
    corrections.add([correction("a"), correction("b"), correction("c"), correction("a", "Fed", task="topic")])
    corrections.add([correction("a", "negative", entity="NGB"), correction("a", "neutral"), correction("c", None)])

    assert corrections.standing_of(["a", "c", "never heard of"]) == [
        correction("a", "Fed", task="topic"),
        correction("a", "negative", entity="NGB"),
        correction("a", "neutral"),
    ]
    assert corrections.standing_of([]) == []


def test_all_are_put_on_record_or_none(corrections: Corrections) -> None:
    with pytest.raises(DocumentsUnknown, match="'yyy', 'zzz'") as refused:
        corrections.add([correction("a"), correction("zzz"), correction("yyy")])
    assert refused.value.ids == {"yyy", "zzz"}
    corrections.add([])
    assert standing(corrections) == []


@pytest.mark.servers
def test_analysts_see_the_corrected_labels_beside_the_models_in_one_row_for_each_document(database: str) -> None:
    with history_at(database) as history:
        history.append([make_batch([make_record(one) for one in DOCUMENTS])])
    postgres = Postgres(database, application_name="test")
    said = PostgresCorrections(postgres)
    said.add([correction("a"), correction("a", "neutral"), correction("a", "negative", entity="NGB")])
    said.add([correction("b", "Fed", task="topic"), correction("c"), correction("c", None)])
    postgres.close()

    assert rows(database, "SELECT id, label, corrected_label, corrected_topic FROM sentiment ORDER BY id") == [
        ("a", "negative", "neutral", None),
        ("b", "positive", None, "Fed"),
        ("c", "neutral", None, None),
    ]


@pytest.mark.servers
def test_queries_that_do_not_ask_for_corrections_do_not_read_them(database: str) -> None:
    plan = "\n".join(line for (line,) in rows(database, "EXPLAIN SELECT id, label FROM sentiment"))
    assert "correction" not in plan
    asked = "\n".join(line for (line,) in rows(database, "EXPLAIN SELECT id, corrected_label FROM sentiment"))
    assert "on correction" in asked
