"""Migrated databases and direct looks at what they hold, for tests of the history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg2

from domain.classification import Label, ScoredDocument, Sentiment
from domain.subject import Subject, SubjectKind, sentiments_of
from domain.timeline import Minute, minute_of
from domain.window import Counts
from store.postgres.connection import Postgres, Timeouts
from store.postgres.history import PostgresHistory
from store.tables import metadata

LATENESS = timedelta(minutes=5)

Sums = dict[tuple[Subject, Minute, bool], Counts]
"""By subject, minute and whether late."""


@contextmanager
def history_at(dsn: str, *, timeouts: Timeouts | None = None) -> Iterator[PostgresHistory]:
    """A history on a migrated database, as a worker process would have it."""
    history = PostgresHistory(Postgres(dsn, application_name="test", timeouts=timeouts), lateness=LATENESS)
    try:
        yield history
    finally:
        history.close()


def rows(dsn: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """What a query returns, on a connection of its own, committed."""
    connection = psycopg2.connect(dsn)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def rolled_up(dsn: str) -> Sums:
    """The minute roll-ups as they stand."""
    found = rows(
        dsn,
        "SELECT kind, name, minute, late, count, negative, neutral, positive, polarity_sum, polarity_squares"
        " FROM rollup_minute JOIN subject USING (subject_id)",
    )
    return {
        (Subject(SubjectKind(kind), name), minute_of(minute), late): Counts(*counts)
        for kind, name, minute, late, *counts in found
    }


def recomputed(documents: Iterable[tuple[ScoredDocument, bool]]) -> Sums:
    """What the roll-ups of these documents (late or not) must be."""
    sums: Sums = defaultdict(Counts)
    for scored, late in documents:
        for subject, sentiment in sentiments_of(scored):
            sums[subject, minute_of(scored.document.published_at), late] += counts_of(sentiment)
    return dict(sums)


def counts_of(sentiment: Sentiment) -> Counts:
    """What one scored document adds to a subject of which it says this."""
    polarity = sentiment.scaled_polarity
    return Counts(
        count=1,
        negative=int(sentiment.label is Label.NEGATIVE),
        neutral=int(sentiment.label is Label.NEUTRAL),
        positive=int(sentiment.label is Label.POSITIVE),
        polarity_sum=polarity,
        polarity_squares=polarity**2,
    )


def empty(dsn: str) -> None:
    """Delete everything from a migrated database; its partitions stay. Far quicker than a database for each test."""
    rows(dsn, ";".join(f"DELETE FROM {table.name}" for table in reversed(metadata.sorted_tables)))
