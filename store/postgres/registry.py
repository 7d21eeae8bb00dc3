"""The registry of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from domain.classification import ModelRef
from domain.errors import Conflict, InvalidInput
from domain.registry import Promotion, RegisteredModel, TakeUp
from store.postgres.connection import Postgres
from store.postgres.locks import PROMOTION
from store.tables import promotion, registered_model, take_up


class PostgresModelRegistry:
    """domain.ports.ModelRegistry. Thread-safe; any number of processes may use it side by side."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    def register(self, ref: ModelRef, *, location: str, figures: Mapping[str, Any]) -> RegisteredModel:
        given = {"location": location, "figures": dict(figures)}
        statement = (
            insert(registered_model)
            .values(name=ref.name, version=ref.version, **given)
            .on_conflict_do_update(index_elements=registered_model.primary_key.columns, set_=given)
            .returning(registered_model)
        )
        with self._postgres.transaction() as connection:
            return _model_of(connection.execute(statement).one())

    def models(self) -> Sequence[RegisteredModel]:
        newest_first = sa.select(registered_model).order_by(
            registered_model.c.recorded_at.desc(), registered_model.c.name, registered_model.c.version
        )
        with self._postgres.transaction() as connection:
            return [_model_of(row) for row in connection.execute(newest_first)]

    def promoted(self) -> Sequence[RegisteredModel]:
        standing = (
            sa.select(registered_model)
            .join(promotion, _same_model(promotion.c.name, promotion.c.version))
            .where(_STANDS)
            .order_by(promotion.c.promotion_id.desc())
        )
        with self._postgres.transaction() as connection:
            return [_model_of(row) for row in connection.execute(standing)]

    def promote(
        self, ref: ModelRef, *, replaces: ModelRef | None, by: str, reason: str, forced: bool = False
    ) -> Promotion:
        known = sa.select(registered_model.c.name).where(_same_model(sa.literal(ref.name), sa.literal(ref.version)))
        with self._postgres.transaction() as connection:
            _take_turn(connection, replaces)
            if connection.execute(known).first() is None:
                raise InvalidInput("model_unknown", f"{ref} is not registered: groundswell models register FOLDER")
            return _add(connection, ref, replaces, undoes=None, by=by, reason=reason, forced=forced)

    def rollback(self, *, replaces: ModelRef | None, by: str, reason: str) -> Promotion:
        with self._postgres.transaction() as connection:
            standing = _take_turn(connection, replaces)
            if not standing:
                raise InvalidInput("nothing_promoted", "no model is promoted: there is nothing to roll back")
            back_to = _ref(standing[1].name, standing[1].version) if len(standing) > 1 else None
            return _add(
                connection, back_to, replaces, undoes=standing[0].promotion_id, by=by, reason=reason, forced=False
            )

    def promotions(self, limit: int = 20) -> Sequence[Promotion]:
        newest_first = sa.select(promotion).order_by(promotion.c.promotion_id.desc()).limit(limit)
        with self._postgres.transaction() as connection:
            return [_promotion_of(row) for row in connection.execute(newest_first)]

    def report(self, model: ModelRef, *, worker: str, error: str | None) -> None:
        with self._postgres.transaction() as connection:
            connection.execute(
                sa.insert(take_up).values(name=model.name, version=model.version, worker=worker, error=error)
            )

    def take_ups(self, limit: int = 100) -> Sequence[TakeUp]:
        newest_first = sa.select(take_up).order_by(take_up.c.take_up_id.desc()).limit(limit)
        with self._postgres.transaction() as connection:
            return [
                TakeUp(
                    model=ModelRef(name=row.name, version=row.version),
                    worker=row.worker,
                    error=row.error,
                    at=row.recorded_at,
                )
                for row in connection.execute(newest_first)
            ]


_undoing = promotion.alias("undoing")
_STANDS = sa.and_(promotion.c.undoes.is_(None), ~sa.exists().where(_undoing.c.undoes == promotion.c.promotion_id))
"""A promotion that is neither a rollback nor undone by one."""


def _take_turn(connection: sa.Connection, expected: ModelRef | None) -> Sequence[Any]:
    """Wait for others who change the model in force, and return the two newest standing promotions. Raises Conflict
    when the model in force isn't the expected one."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(PROMOTION)))
    standing = connection.execute(
        sa.select(promotion).where(_STANDS).order_by(promotion.c.promotion_id.desc()).limit(2)
    ).all()
    actual = _ref(standing[0].name, standing[0].version) if standing else None
    if actual != expected:
        raise Conflict(f"meanwhile {actual or 'no model'} is in force, not {expected or 'none'}: look again")
    return standing


def _add(
    connection: sa.Connection,
    model: ModelRef | None,
    replaced: ModelRef | None,
    *,
    undoes: int | None,
    by: str,
    reason: str,
    forced: bool,
) -> Promotion:
    row = connection.execute(
        sa.insert(promotion)
        .values(
            name=model and model.name,
            version=model and model.version,
            replaced_name=replaced and replaced.name,
            replaced_version=replaced and replaced.version,
            undoes=undoes,
            by=by,
            reason=reason,
            forced=forced,
        )
        .returning(promotion)
    ).one()
    return _promotion_of(row)


def _same_model(name: sa.ColumnElement[Any], version: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.and_(registered_model.c.name == name, registered_model.c.version == version)


def _model_of(row: Any) -> RegisteredModel:
    return RegisteredModel(
        ref=ModelRef(name=row.name, version=row.version),
        location=row.location,
        figures=row.figures,
        registered_at=row.recorded_at,
    )


def _promotion_of(row: Any) -> Promotion:
    return Promotion(
        number=row.promotion_id,
        model=_ref(row.name, row.version),
        replaced=_ref(row.replaced_name, row.replaced_version),
        undoes=row.undoes,
        by=row.by,
        reason=row.reason,
        forced=row.forced,
        at=row.recorded_at,
    )


def _ref(name: str | None, version: str | None) -> ModelRef | None:
    return None if name is None or version is None else ModelRef(name=name, version=version)
