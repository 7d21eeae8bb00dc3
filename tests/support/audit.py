"""Recomputes what Groundswell counted from the documents that it keeps, and compares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg2

from domain.subject import Subject
from domain.timeline import Minute, minute_of
from domain.window import Counts
from service import connections, wiring
from service.settings import Settings

MENTIONS = """
    SELECT s.kind || ':' || s.name, floor(extract(epoch FROM d.published_at) / 60)::bigint, d.late,
           count(*), count(*) FILTER (WHERE s.label = -1), count(*) FILTER (WHERE s.label = 0),
           count(*) FILTER (WHERE s.label = 1), sum(s.polarity), sum(s.polarity::bigint * s.polarity)
    FROM document d
    JOIN score c ON c.document_id = d.document_id AND c.published_at = d.published_at
    CROSS JOIN LATERAL (
        SELECT 'topic' AS kind, name, c.label, c.polarity FROM subject WHERE subject_id = c.topic_subject_id
        UNION ALL
        SELECT 'entity', symbol, CASE WHEN said IS NULL THEN c.label WHEN negative = most THEN -1 WHEN neutral = most
               THEN 0 ELSE 1 END, CASE WHEN said IS NULL THEN c.polarity ELSE round((positive - negative) * 10000) END
        FROM unnest(d.symbols) symbol, LATERAL (SELECT c.entities -> symbol AS said) asked, LATERAL (
            SELECT (said ->> 'negative')::float8, (said ->> 'neutral')::float8, (said ->> 'positive')::float8
        ) AS p (negative, neutral, positive), LATERAL (SELECT greatest(negative, neutral, positive) AS most) top
    ) s
    GROUP BY 1, 2, 3
"""
ROLLUPS = """
    SELECT s.kind || ':' || s.name, floor(extract(epoch FROM r.minute) / 60)::bigint, r.late,
           r.count, r.negative, r.neutral, r.positive, r.polarity_sum, r.polarity_squares
    FROM rollup_minute r JOIN subject s USING (subject_id)
"""

Buckets = dict[tuple[Subject, Minute, bool], Counts]


def query(settings: Settings, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a statement, by a connection of its own."""
    connection = psycopg2.connect(connections.postgres_dsn(settings))
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall()
    finally:
        connection.close()


def recomputed(settings: Settings) -> Buckets:
    """From documents and scores alone."""
    return _buckets(query(settings, MENTIONS))


def rolled_up(settings: Settings) -> Buckets:
    """As the record stage kept it."""
    return _buckets(query(settings, ROLLUPS))


def in_redis(settings: Settings, start: Minute, end: Minute) -> Mapping[tuple[Subject, Minute], Counts]:
    """What the windows hold of [start, end)."""
    reader = wiring.window_reader(settings, "test", connections.postgres(settings, "test"))
    buckets = reader.buckets(start, end)
    return {(subject, minute): counts for minute, all_ in buckets.counts.items() for subject, counts in all_.items()}


def assert_counted_exactly(settings: Settings, ids: set[str]) -> None:
    """Every document once; roll-ups equal to the documents over all of time, windows over their retention."""
    stored = [row[0] for row in query(settings, "SELECT given_id FROM document")]
    assert len(stored) == len(set(stored)), "a document is stored twice"
    assert set(stored) == ids, f"{len(ids - set(stored))} documents are missing, {len(set(stored) - ids)} are too many"
    expected, kept = recomputed(settings), rolled_up(settings)
    wrong = {key: (expected.get(key), kept.get(key)) for key in expected.keys() | kept.keys()
             if expected.get(key) != kept.get(key)}  # fmt: skip
    assert not wrong, f"{len(wrong)} roll-ups are wrong, such as {list(wrong.items())[:3]}"
    newest = max(minute for _, minute, _ in expected) + 1
    oldest = newest - int(settings.windows.retention.total_seconds()) // 60 + 60
    within = {
        (subject, minute): counts
        for (subject, minute, late), counts in expected.items()
        if not late and minute >= oldest
    }
    held = in_redis(settings, oldest, newest)
    assert held == within, f"{len(set(held.items()) ^ set(within.items()))} windows differ"


def alerts(settings: Settings) -> list[tuple[Any, ...]]:
    """What fired and when, in event time."""
    return query(
        settings,
        "SELECT rule, subject_kind || ':' || subject_name, status, starts_at, fired_at, ends_at, baseline, "
        "evidence::text FROM alert ORDER BY starts_at, 2",
    )


def _buckets(rows: list[tuple[Any, ...]]) -> Buckets:
    return {
        (Subject.parse(subject), minute, late): Counts(*(int(value) for value in sums))
        for subject, minute, late, *sums in rows
    }


__all__ = ["alerts", "assert_counted_exactly", "minute_of", "query", "recomputed", "rolled_up"]
