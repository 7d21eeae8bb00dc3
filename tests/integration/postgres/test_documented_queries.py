"""The queries in docs/sql.md run as they stand, for someone who may read the views and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.builders import at, entity, make_alert, make_batch, make_change, make_document, make_record, make_scored
from support.histories import append
from support.postgres_databases import history_at, rows

from domain.alert import AlertStatus, Evidence, Transition
from domain.document import Kind
from domain.timeline import minute_of
from store.postgres.alerts import PostgresAlertStore
from store.postgres.connection import Postgres
from store.views import READER_ROLE, VIEWS

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_ten_and_every_view_is_named() -> None:
    assert len(QUERIES) == 10
    assert all(f"`{view.name}`" in PAGE for view in VIEWS)


@pytest.fixture
def told(database: str) -> str:
    """Two days of documents on several topics, news and comments, and an alert that fired and resolved."""
    records = []
    for number in range(40):
        document = make_document(
            f"doc-{number}",
            kind=Kind.NEWS if number % 2 else Kind.COMMENT,
            published_at=at(-1440 if number < 20 else number - 20),
            source=f"Wire {number % 3}",
            author="ann",
            symbols=["ACME"] if number % 3 else [],
        )
        topic = ["Earnings", "Fed"][number % 4 // 2]
        records.append(make_record(make_scored(document, negative=0.9 if number % 5 else 0.1, topic=topic)))
    with history_at(database) as history:
        append(history, make_batch(records))
    evidence = Evidence(
        window_start=at(-5),
        window_end=at(10),
        count=12,
        negative=10,
        negative_share=0.83,
        negative_publishers=3,
        expected_negative=2.5,
        baseline_minutes=600,
    )
    of_topic = make_alert(
        status=AlertStatus.RESOLVED, starts_at=at(8), fired_at=at(10), ends_at=at(40), clear_since=at(30)
    )
    of_topic = replace(of_topic, evidence=evidence)
    of_symbol = make_alert(entity("ACME"), status=AlertStatus.FIRING, starts_at=at(8), fired_at=at(10))
    postgres = Postgres(database, application_name="test")
    PostgresAlertStore(postgres).save(
        expected=None,
        evaluated_through=minute_of(at(40)),
        changes=[make_change(of_topic, Transition.FIRING, receivers=["risk"]), make_change(of_symbol)],
    )
    postgres.close()
    return database


@pytest.mark.servers
@pytest.mark.parametrize("query", QUERIES, ids=range(1, len(QUERIES) + 1))
def test_documented_queries_find_something(told: str, query: str) -> None:
    found = rows(told, f"SET LOCAL ROLE {READER_ROLE}; {query.replace('%', '%%')}")
    assert found
    assert any(value is not None for value in found[0])


@pytest.mark.servers
def test_a_bound_on_time_picks_the_partitions_of_all_tables(told: str) -> None:
    bound = "published_at >= '2014-02-01' AND published_at < '2014-03-01'"
    query = f"SELECT published_at, label, text FROM sentiment WHERE {bound}"
    plan = "\n".join(line for (line,) in rows(told, f"SET LOCAL ROLE {READER_ROLE}; EXPLAIN {query}"))
    assert "document_2014_02" in plan
    assert "document_text_2014_02" in plan
    assert "_2014_01" not in plan


@pytest.mark.servers
def test_the_sums_are_those_of_the_documents(told: str) -> None:
    (by_documents,) = rows(
        told,
        "SELECT count(*), count(*) FILTER (WHERE label = 'negative'), round(avg(polarity)::numeric, 9),"
        " round(stddev_pop(polarity)::numeric, 9) FROM sentiment WHERE topic = 'Fed' AND published_at >= '2014-01-06'",
    )
    (by_hour,) = rows(
        told,
        "SELECT documents, negative, round(polarity::numeric, 9), round(polarity_stddev::numeric, 9)"
        " FROM topic_sentiment_hourly WHERE topic = 'Fed' AND hour >= '2014-01-06'",
    )
    assert by_documents == by_hour
