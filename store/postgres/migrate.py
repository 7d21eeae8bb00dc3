"""Brings a database to the schema of this version, and proves that it has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from domain.errors import PermanentError
from store.postgres.catalog import describe
from store.postgres.connection import Postgres, Timeouts
from store.postgres.locks import MIGRATION
from store.tables import metadata
from store.views import READER_ROLE, VIEWS, statements

VERSION_TABLE = "schema_version"

_SCRATCH = "groundswell_check"
_TIMEOUTS = Timeouts(statement=3600, lock=60, idle_in_transaction=30)


def upgrade(dsn: str) -> str:
    """Bring the database to this version's schema and return its revision; does nothing when it is there already.

    Safe to run from several processes at once: one works, the others wait. Raises PermanentError when the user may not
    make tables or roles, TemporaryError when the server can't be reached.
    """
    with _connected(dsn) as connection:
        # Released with the transaction, so that a process that dies here holds nobody back.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        revision = _revision(connection)
    if revision is None:
        raise PermanentError("the migrations left no revision behind")
    return revision


def current(dsn: str) -> str | None:
    """The revision that the database is at; None when it was never migrated."""
    with _connected(dsn) as connection:
        return _revision(connection)


def head() -> str:
    """The revision that this version of the code needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    if revision is None:
        raise PermanentError("this installation has no migrations; install it again")
    return revision


def check(dsn: str) -> list[str]:
    """In what the database differs from `store/tables.py` and `store/views.py`, one line each; empty when in nothing.

    The tables are made anew in a schema that is rolled back, and both are described from Postgres's own catalogue:
    columns, types, defaults, constraints, indexes with their predicates, partition keys, views, comments, settings.
    Then every partition must be one whole month, and the reader role must see the views and nothing else.
    """
    with _connected(dsn) as connection:
        if (revision := _revision(connection)) != head():
            return [f"the database is at revision {revision or 'none'}, this version needs {head()}"]
        actual = describe(connection, _schema(connection), READER_ROLE)
        actual = {key: value for key, value in actual.items() if key.partition(" ")[2].split(".")[0] != VERSION_TABLE}
        expected = _expected(connection)
        connection.rollback()
    lines = [f"{key} is missing" for key in expected.keys() - actual.keys()]
    lines += [f"{key} is not in this version" for key in actual.keys() - expected.keys()]
    lines += [
        f"{key} is {actual[key]!r}, should be {expected[key]!r}"
        for key in expected.keys() & actual.keys()
        if expected[key] != actual[key]
    ]
    return sorted(lines)


def _expected(connection: sa.Connection) -> dict[str, str]:
    connection.execute(sa.text(f"CREATE SCHEMA {_SCRATCH}"))
    connection.execute(sa.text(f"SET LOCAL search_path = {_SCRATCH}"))
    metadata.create_all(connection, checkfirst=False)
    for view in VIEWS:
        for statement in statements(view):
            connection.exec_driver_sql(statement)
        connection.execute(sa.text(f"GRANT SELECT ON {view.name} TO {READER_ROLE}"))
    return describe(connection, _SCRATCH, READER_ROLE)


def _schema(connection: sa.Connection) -> str:
    return str(connection.execute(sa.select(sa.func.current_schema())).scalar_one())


def _revision(connection: sa.Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    return config


@contextmanager
def _connected(dsn: str) -> Iterator[sa.Connection]:
    postgres = Postgres(dsn, application_name="groundswell-migrate", timeouts=_TIMEOUTS, pool_size=1)
    try:
        with postgres.transaction() as connection:
            yield connection
    finally:
        postgres.close()
