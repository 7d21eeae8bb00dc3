"""The minute roll-ups, read: what the windows would say of minutes that they no longer hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from domain.classification import Label
from domain.subject import Subject, SubjectKind
from domain.timeline import Minute, start_of
from domain.window import Counts, WindowStats
from store.postgres.connection import Postgres
from store.tables import LABELS, mention, rollup_minute, subject

_SUMS = ("count", "negative", "neutral", "positive", "polarity_sum", "polarity_squares")
_columns = [rollup_minute.c[name] for name in _SUMS]
_sums = [sa.cast(sa.func.sum(column), sa.BigInteger) for column in _columns]
_minute = sa.cast(sa.extract("epoch", rollup_minute.c.minute) / 60, sa.Integer)


class PostgresRollUps:
    """What domain.ports.WindowReader says of each method, from the history. Thread-safe."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def buckets(self, start: Minute, end: Minute) -> Mapping[Minute, Mapping[Subject, Counts]]:
        query = (
            sa.select(_minute, subject.c.kind, subject.c.name, *_columns)
            .join_from(rollup_minute, subject, rollup_minute.c.subject_id == subject.c.subject_id)
            .where(*_within(start, end))
            .order_by(rollup_minute.c.minute)
        )
        buckets: dict[Minute, dict[Subject, Counts]] = {}
        subjects: dict[tuple[str, str], Subject] = {}
        for minute, kind, name, *counts in self._read(query):
            known = subjects.setdefault((kind, name), Subject(SubjectKind(kind), name))
            buckets.setdefault(minute, {})[known] = Counts(*counts)
        return buckets

    def observed(self, start: Minute, end: Minute) -> Sequence[Minute]:
        query = sa.select(_minute).where(*_within(start, end)).distinct().order_by(_minute)
        return [minute for (minute,) in self._read(query)]

    def negative_publishers(self, subject: Subject, start: Minute, end: Minute) -> int:
        # The unknown publishers count as one; 0 is nobody's number.
        query = sa.select(sa.func.count(sa.distinct(sa.func.coalesce(mention.c.publisher_id, 0)))).where(
            mention.c.subject_id == number_of(subject),
            mention.c.label == LABELS[Label.NEGATIVE],
            ~mention.c.late,
            mention.c.published_at >= start_of(start),
            mention.c.published_at < start_of(end),
        )
        ((publishers,),) = self._read(query)
        return int(publishers)

    def series(self, subject: Subject, start: Minute, end: Minute, step: int) -> Sequence[WindowStats]:
        if step < 1:
            raise ValueError(f"the step of a series must be at least one minute, got {step}")
        window = sa.cast(sa.func.floor((_minute - start) / sa.cast(step, sa.Numeric)), sa.Integer)
        query = (
            sa.select(window, *_sums)
            .where(rollup_minute.c.subject_id == number_of(subject), *_within(start, end))
            .group_by(window)
        )
        found = {index: Counts(*sums) for index, *sums in self._read(query)}
        return [
            WindowStats(
                subject=subject,
                start=start_of(begin),
                end=start_of(min(begin + step, end)),
                counts=found.get(index, Counts()),
            )
            for index, begin in enumerate(range(start, end, step))
        ]

    def _read(self, query: sa.Select[*tuple[Any, ...]]) -> Sequence[Any]:
        with self._postgres.transaction(snapshot=True) as connection:
            return connection.execute(query).all()


def number_of(one: Subject) -> sa.ScalarSelect[int]:
    """The subject's number, as a subquery; null for one that was never seen."""
    return (
        sa.select(subject.c.subject_id)
        .where(subject.c.kind == one.kind.value, subject.c.name == one.name)
        .scalar_subquery()
    )


def _within(start: Minute, end: Minute) -> tuple[sa.ColumnElement[bool], ...]:
    minute = rollup_minute.c.minute
    return minute >= start_of(start), minute < start_of(end), ~rollup_minute.c.late
