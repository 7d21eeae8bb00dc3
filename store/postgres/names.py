"""Gives names their small numbers: partitions, subjects, publishers, models."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any, Generic, TypeVar
from uuid import UUID

from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class

from domain.log import Partition
from domain.subject import Subject, SubjectKind

K = TypeVar("K", bound=Hashable)

ModelLabels = tuple[str, str, str]
"""Name, version, and the labels beside sentiment as JSON."""

_CACHED = 100_000


class Names(Generic[K]):
    """One dictionary table, as far as this session has used it.

    It belongs to one session, whose connection is in autocommit mode: what is remembered is committed, and a database
    that was restored (or failed over) to an earlier state, in which a number may mean another name, ends the session
    and with it this memory. `trim` bounds it.
    """

    def __init__(
        self,
        table: str,
        number: str,
        columns: dict[str, str],
        row_of: Callable[[K], tuple[Any, ...]],
        key_of: Callable[..., K],
    ) -> None:
        """`columns`: name → type of what identifies a row; `row_of` and `key_of` turn keys into such rows and back."""
        self._row_of = row_of
        self._key_of = key_of
        self._ids: dict[K, int] = {}
        self._keys: dict[int, K] = {}
        names = ", ".join(columns)
        given = f"unnest({', '.join(f'%s::{type_}[]' for type_ in columns.values())}) AS given ({names})"
        returned = f"named.{number}, {', '.join(f'named.{name}' for name in columns)}"
        self._find = f"SELECT {returned} FROM {table} named JOIN {given} USING ({names})"  # noqa: S608 - names of ours
        # Sorted, so that two sessions that add the same names wait for each other in the same order.
        self._add = (
            f"INSERT INTO {table} ({names}) SELECT {names} FROM {given} ORDER BY {names} "  # noqa: S608
            "ON CONFLICT DO NOTHING"
        )
        self._read = f"SELECT {returned} FROM {table} named WHERE {number} = ANY (%s)"  # noqa: S608

    def __contains__(self, key: K) -> bool:
        return key in self._ids

    def __getitem__(self, key: K) -> int:
        """The number of a key that was resolved before."""
        return self._ids[key]

    def trim(self) -> None:
        """Forget everything when there is too much of it."""
        if len(self._ids) > _CACHED:
            self._ids.clear()
            self._keys.clear()

    def resolve(self, cursor: Cursor, keys: Collection[K]) -> None:
        """Number the keys, adding those that the table does not have. Call it outside of any transaction."""
        if missing := self._known(cursor, [key for key in keys if key not in self._ids]):
            cursor.execute(self._add, self._arrays(missing))
            self._known(cursor, missing)

    def keys(self, cursor: Cursor, numbers: Iterable[int]) -> dict[int, K]:
        """The keys that the numbers stand for; numbers that stand for nothing are absent."""
        wanted = set(numbers)
        if missing := [number for number in wanted if number not in self._keys]:
            cursor.execute(self._read, (missing,))
            self._remember(cursor.fetchall())
        return {number: self._keys[number] for number in wanted if number in self._keys}

    def find(self, cursor: Cursor, key: K) -> int | None:
        """The number of a key; None when the table does not have it."""
        self._known(cursor, [] if key in self._ids else [key])
        return self._ids.get(key)

    def _known(self, cursor: Cursor, keys: list[K]) -> list[K]:
        """Look the keys up; returns those that the table does not have."""
        if keys:
            cursor.execute(self._find, self._arrays(keys))
            self._remember(cursor.fetchall())
        return [key for key in keys if key not in self._ids]

    def _remember(self, rows: list[tuple[Any, ...]]) -> None:
        for number, *values in rows:
            key = self._key_of(*values)
            self._ids[key] = number
            self._keys[number] = key

    def _arrays(self, keys: list[K]) -> tuple[list[Any], ...]:
        return tuple(list(column) for column in zip(*map(self._row_of, keys), strict=True))


def partition_names() -> Names[Partition]:
    """Partitions of Kafka topics."""
    return Names(
        "kafka_partition",
        "partition_id",
        {"topic": "text", "topic_id": "uuid", "number": "integer"},
        lambda partition: (partition.topic, str(partition.topic_id), partition.number),
        lambda topic, topic_id, number: Partition(topic=topic, topic_id=UUID(topic_id), number=number),
    )


def subject_names() -> Names[Subject]:
    """Subjects."""
    return Names(
        "subject",
        "subject_id",
        {"kind": "text", "name": "text"},
        lambda subject: (subject.kind.value, subject.name),
        lambda kind, name: Subject(SubjectKind(kind), name),
    )


def publisher_names() -> Names[str]:
    """Sources and authors."""
    return Names("publisher", "publisher_id", {"name": "text"}, lambda name: (name,), lambda name: str(name))


def model_names() -> Names[ModelLabels]:
    """Models with their labels."""
    return Names(
        "model",
        "model_id",
        {"name": "text", "version": "text", "labels": "text"},
        lambda model: model,
        lambda name, version, labels: (name, version, labels),
    )
