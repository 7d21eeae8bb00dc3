"""What domain.ports.HistoryReader promises of documents, subjects and evidence, on every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from support.builders import (
    at,
    entity,
    make_alert,
    make_batch,
    make_change,
    make_document,
    make_record,
    make_scored,
    news_partition,
    topic,
)
from support.fake_store import FakeAlertStore, FakeDocuments, FakeHistoryReader
from support.postgres_databases import history_at

from domain.alert import AlertStatus, PublisherCount
from domain.classification import Label, ScoredDocument, Unscored
from domain.document import Kind
from domain.errors import InvalidInput
from domain.ports import AlertStore, DocumentQuery, HistoryReader
from domain.subject import SubjectKind
from domain.timeline import minute_of
from domain.window import Counts
from store.postgres.alerts import PostgresAlertStore
from store.postgres.connection import Postgres
from store.postgres.reader import PostgresReader

FULL = make_document(
    "näive ☂\n",
    kind=Kind.COMMENT,
    title="A title\twith a tab",
    text="Down 5 % \\ “oh no”\r\n" * 1000,
    source="Forum",
    author="ann",
    url="https://example.com/?a=b&c",
    lang="en-GB",
    symbols=["ZZZ", "ACME"],
    published_at=at(3, 0.123456),
)


@dataclass(frozen=True, kw_only=True)
class World:
    """A reader, and how to put in what it reads."""

    reader: HistoryReader
    alerts: AlertStore
    add: Callable[..., None]
    """Adds scored documents in order; `late` ones are."""


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        history, store = FakeDocuments(), FakeAlertStore()
        yield World(reader=FakeHistoryReader(history, store), alerts=store, add=history.add)
        return
    dsn = request.getfixturevalue("database")
    postgres = Postgres(dsn, application_name="test")
    with history_at(dsn) as real:
        offset = 0

        def add(*documents: ScoredDocument, late: bool = False) -> None:
            nonlocal offset
            records = [
                # Each from a source partition of its own, so that none makes another late.
                make_record(one, source=news_partition(offset + index), high_time=at(10_000) if late else None)
                for index, one in enumerate(documents)
            ]
            real.append([make_batch(records, start=offset)])
            offset += len(documents)

        yield World(reader=PostgresReader(postgres), alerts=PostgresAlertStore(postgres), add=add)
    postgres.close()


def ids(world: World, **query: object) -> list[str]:
    page = world.reader.documents(DocumentQuery(**query))  # type: ignore[arg-type]
    return [stored.scored.document.id for stored in page.documents]


def test_a_document_comes_back_as_it_was_with_every_probability(world: World) -> None:
    scored = make_scored(FULL, negative=0.123456789012345, neutral=0.5, topic="Energy | Oil")
    world.add(scored)

    (stored,) = world.reader.documents(DocumentQuery()).documents
    assert stored.scored.document == FULL
    assert not stored.late
    assert stored.scored.classification is not None
    assert scored.classification is not None
    assert stored.scored.classification.sentiment == scored.classification.sentiment
    assert stored.scored.classification.tasks["topic"] == pytest.approx(scored.classification.tasks["topic"])
    assert stored.scored.classification.model == scored.classification.model
    assert stored.scored.classification.input_hash == scored.classification.input_hash
    assert stored.scored.config_hash == scored.config_hash


def test_a_document_without_a_score_comes_back_with_the_reason(world: World) -> None:
    world.add(make_scored(FULL, unscored=Unscored.LANGUAGE))

    (stored,) = world.reader.documents(DocumentQuery()).documents
    assert (stored.scored.classification, stored.scored.unscored) == (None, Unscored.LANGUAGE)


def test_documents_come_newest_first_late_ones_too(world: World) -> None:
    world.add(make_scored("old"), make_scored("newest", published_at=at(9)), make_scored("newer", published_at=at(2)))
    world.add(make_scored("late", published_at=at(1)), late=True)

    assert ids(world) == ["newest", "newer", "late", "old"]
    assert [stored.late for stored in world.reader.documents(DocumentQuery()).documents] == [False, False, True, False]


def test_documents_are_found_by_time_subject_source_and_label(world: World) -> None:
    world.add(
        make_scored("a", published_at=at(1), negative=0.9, symbols=["ACME"]),
        make_scored("b", published_at=at(2), positive=0.9, symbols=["ACME"], source="Other"),
        make_scored("c", published_at=at(3), negative=0.9, topic="Fed", source="Other"),
        make_scored("d", published_at=at(4), unscored=Unscored.LANGUAGE, source="Other"),
    )

    assert ids(world, start=at(2)) == ["d", "c", "b"]
    assert ids(world, end=at(2)) == ["a"], "the end is not part of it"
    assert ids(world, start=at(2), end=at(4)) == ["c", "b"]
    assert ids(world, subject=entity("ACME")) == ["b", "a"]
    assert ids(world, subject=topic("Fed")) == ["c"]
    assert ids(world, subject=topic("never heard of")) == []
    assert ids(world, source="Other") == ["d", "c", "b"]
    assert ids(world, source="never heard of") == []
    assert ids(world, label=Label.NEGATIVE) == ["c", "a"]
    assert ids(world, label=Label.NEGATIVE, subject=entity("ACME"), source="Example Wire", start=at(1)) == ["a"]
    assert ids(world, label=Label.POSITIVE, subject=entity("ACME"), source="Example Wire") == []


@pytest.mark.parametrize("query", [{}, {"subject": topic("Earnings")}, {"source": "Example Wire"}])
def test_pages_follow_each_other_without_gap_or_overlap_also_among_equals(
    world: World, query: dict[str, object]
) -> None:
    world.add(*(make_scored(f"doc-{number}", published_at=at(number // 4)) for number in range(11)))

    seen: list[str] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor is not None:
        page = world.reader.documents(DocumentQuery(limit=3, cursor=cursor, **query))  # type: ignore[arg-type]
        seen += [stored.scored.document.id for stored in page.documents]
        cursor = page.cursor
        pages += 1

    assert pages == 4
    assert len(seen) == 11
    assert seen == ids(world)


@pytest.mark.parametrize("cursor", ["nonsense", "ÄÖ", "=", "a" * 5000])
def test_a_cursor_that_is_not_ours_is_refused(world: World, cursor: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        world.reader.documents(DocumentQuery(cursor=cursor))
    assert refused.value.reason == "cursor"


def test_subjects_come_busiest_first_with_their_sums(world: World) -> None:
    world.add(
        make_scored("a", published_at=at(0), negative=0.9, symbols=["ZZZ", "ACME"]),
        make_scored("b", published_at=at(5), positive=0.9, symbols=["ACME"]),
        make_scored("c", published_at=at(6), topic="Fed"),
    )
    world.add(make_scored("late", published_at=at(7), topic="Fed"), late=True)

    found = world.reader.subjects(start=None, end=None, kind=None, limit=10)
    assert [one.subject for one in found] == [entity("ACME"), topic("Earnings"), entity("ZZZ"), topic("Fed")]
    assert found[0].counts == Counts(count=2, negative=1, positive=1, polarity_sum=0, polarity_squares=2 * 72_250_000)
    assert found[0].last_minute == minute_of(at(5))

    def some(**given: object) -> list[object]:
        asked = {"start": None, "end": None, "kind": None, "limit": 10} | given
        return [one.subject for one in world.reader.subjects(**asked)]  # type: ignore[arg-type]

    assert some(kind=SubjectKind.TOPIC) == [topic("Earnings"), topic("Fed")]
    assert some(limit=1) == [entity("ACME")]
    assert some(start=at(5), end=at(6)) == [entity("ACME"), topic("Earnings")]
    assert some(start=at(60)) == []


def test_the_most_negative_documents_are_in_time_on_the_subject_and_negative(world: World) -> None:
    world.add(
        make_scored("worst", negative=0.99, published_at=at(2)),
        make_scored("bad, later", negative=0.8, published_at=at(3)),
        make_scored("bad, b", negative=0.8, published_at=at(1)),
        make_scored("bad, a", negative=0.8, published_at=at(1)),
        make_scored("good", positive=0.9, published_at=at(1)),
        make_scored("elsewhere", negative=0.99, topic="Fed"),
        make_scored("too early", negative=0.99, published_at=at(0)),
        make_scored("too new", negative=0.99, published_at=at(4)),
    )
    world.add(make_scored("late", negative=0.99, published_at=at(2)), late=True)

    def worst(limit: int) -> list[str]:
        found = world.reader.most_negative(topic("Earnings"), at(1), at(4), limit)
        return [document.id for document in found]

    assert worst(10) == ["worst", "bad, a", "bad, b", "bad, later"]
    assert worst(2) == ["worst", "bad, a"]


def test_evidence_carries_the_words_the_publisher_and_the_score(world: World) -> None:
    scored = make_scored(FULL, negative=0.75)
    world.add(scored)

    (evidence,) = world.reader.most_negative(entity("ACME"), at(0), at(10), 5)
    assert scored.classification is not None
    assert (evidence.id, evidence.kind, evidence.published_at) == (FULL.id, Kind.COMMENT, FULL.published_at)
    assert (evidence.title, evidence.text, evidence.url, evidence.publisher) == (FULL.title, FULL.text, FULL.url, "ann")
    assert (evidence.sentiment, evidence.model) == (scored.classification.sentiment, scored.classification.model)


def test_of_a_symbol_that_the_text_names_evidence_and_label_are_what_is_said_of_it(world: World) -> None:
    scored = make_scored(FULL, positive=0.9, entities={"ACME": {"negative": 0.75}})
    world.add(scored)

    (evidence,) = world.reader.most_negative(entity("ACME"), at(0), at(10), 5)
    assert scored.classification is not None
    assert evidence.sentiment == scored.classification.sentiment_of("ACME")
    assert evidence.sentiment.negative == 0.75
    assert world.reader.most_negative(entity("ZZZ"), at(0), at(10), 5) == []
    (stored,) = world.reader.documents(DocumentQuery()).documents
    assert stored.scored.classification is not None
    assert stored.scored.classification.entities == scored.classification.entities
    assert ids(world, subject=entity("ACME"), label=Label.NEGATIVE) == [FULL.id]
    assert ids(world, subject=entity("ZZZ"), label=Label.NEGATIVE) == []
    assert ids(world, label=Label.NEGATIVE) == []


def test_publishers_of_negative_documents_come_busiest_first_then_by_name(world: World) -> None:
    sources = ["b", "b", "a", "a", None, "Z", "c", "c", "c"]
    world.add(
        *(make_scored(f"{number}", negative=0.9, source=source) for number, source in enumerate(sources)),
        make_scored("good", positive=0.9, source="Z"),
    )
    world.add(make_scored("late", negative=0.9, source="Z"), late=True)

    found = world.reader.publishers(topic("Earnings"), at(0), at(1), 10)
    assert [(one.publisher, one.negative) for one in found] == [("c", 3), ("a", 2), ("b", 2), (None, 1), ("Z", 1)]
    assert list(world.reader.publishers(topic("Earnings"), at(0), at(1), 1)) == [
        PublisherCount(publisher="c", negative=3)
    ]
    assert list(world.reader.publishers(entity("never heard of"), at(0), at(1), 1)) == []


def test_alerts_come_newest_start_first_by_status_and_subject(world: World) -> None:
    old = make_alert(status=AlertStatus.RESOLVED, starts_at=at(0), fired_at=at(1), ends_at=at(20))
    firing = make_alert(entity("ACME"), status=AlertStatus.FIRING, starts_at=at(5), fired_at=at(6))
    pending = replace(old, status=AlertStatus.PENDING, starts_at=at(30), fired_at=None, ends_at=None)
    changes = [make_change(alert) for alert in (old, firing, pending)]
    world.alerts.save(expected=None, evaluated_through=minute_of(at(30)), changes=changes)

    assert list(world.reader.alerts()) == [pending, firing, old]
    assert list(world.reader.alerts(limit=1)) == [pending]
    assert list(world.reader.alerts(statuses=[AlertStatus.FIRING, AlertStatus.RESOLVED])) == [firing, old]
    assert list(world.reader.alerts(subject=entity("ACME"))) == [firing]
    assert list(world.reader.deliveries()) == []
