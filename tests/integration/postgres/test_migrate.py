"""Migrations bring an empty database to the schema, and `check` sees every way in which one differs from it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from alembic import command
from support.builders import make_batch, make_record
from support.histories import append
from support.postgres_databases import history_at, rows

from domain.errors import PermanentError
from domain.ports import DocumentQuery
from store.postgres import migrate
from store.postgres.connection import Postgres
from store.postgres.reader import PostgresReader
from store.views import READER_ROLE, VIEWS, statements

pytestmark = pytest.mark.servers


def test_an_empty_database_is_brought_to_the_schema_by_whoever_comes_first(fresh_database: str) -> None:
    assert migrate.current(fresh_database) is None
    assert migrate.check(fresh_database) == [f"the database is at revision none, this version needs {migrate.head()}"]
    with pytest.raises(PermanentError, match="groundswell db upgrade"):
        PostgresReader(Postgres(fresh_database, application_name="test")).documents(DocumentQuery())

    with ThreadPoolExecutor(3) as pool:
        revisions = set(pool.map(migrate.upgrade, [fresh_database] * 3))

    assert revisions == {migrate.head()}
    assert migrate.current(fresh_database) == migrate.head()
    assert migrate.check(fresh_database) == []
    assert rows(fresh_database, "SHOW enable_partitionwise_join") == [("on",)]


def test_the_schema_is_still_the_same_once_it_is_used(database: str) -> None:
    with history_at(database) as history:
        append(history, make_batch([make_record("a")]))

    assert migrate.check(database) == []
    assert rows(database, "SELECT count(*) FROM pg_namespace WHERE nspname = 'groundswell_check'") == [(0,)]


@pytest.mark.parametrize(
    ("change", "undo", "seen"),
    [
        ("ALTER TABLE document ADD extra integer", "ALTER TABLE document DROP extra", "column document.extra"),
        (
            "ALTER TABLE delivery ALTER duration TYPE real",
            "ALTER TABLE delivery ALTER duration TYPE double precision",
            "column delivery.duration",
        ),
        (
            "ALTER TABLE alert ALTER recorded_at DROP DEFAULT",
            "ALTER TABLE alert ALTER recorded_at SET DEFAULT now()",
            "column alert.recorded_at",
        ),
        (
            "ALTER TABLE alert ALTER rule DROP NOT NULL",
            "ALTER TABLE alert ALTER rule SET NOT NULL",
            "column alert.rule",
        ),
        (
            "DROP INDEX alert_open; CREATE UNIQUE INDEX alert_open ON alert (fingerprint) WHERE status <> 'firing'",
            "DROP INDEX alert_open; CREATE UNIQUE INDEX alert_open ON alert (fingerprint) WHERE status <> 'resolved'",
            "index alert.alert_open",
        ),
        (
            "ALTER TABLE ledger DROP CONSTRAINT ledger_published_at_check",
            "ALTER TABLE ledger ADD CONSTRAINT ledger_published_at_check"
            " CHECK (published_at >= '1970-01-01 00:00:00+00')",
            "constraint ledger.ledger_published_at_check",
        ),
        (
            "ALTER TABLE progress SET (fillfactor = 90)",
            "ALTER TABLE progress SET (fillfactor = 50)",
            "relation progress",
        ),
        (
            "COMMENT ON VIEW sentiment IS 'nothing'",
            f"COMMENT ON VIEW sentiment IS '{VIEWS[0].comment}'",
            "relation sentiment",
        ),
        (
            "CREATE TABLE document_default PARTITION OF document DEFAULT",
            "DROP TABLE document_default",
            "partition document.document_default",
        ),
        (
            "CREATE TABLE document_odd PARTITION OF document FOR VALUES FROM ('1980-01-01') TO ('1980-01-15')",
            "DROP TABLE document_odd",
            "partition document.document_odd",
        ),
        (
            f"GRANT SELECT ON document TO {READER_ROLE}",
            f"REVOKE SELECT ON document FROM {READER_ROLE}",
            f"grant document.{READER_ROLE}",
        ),
        (
            f"REVOKE SELECT ON alert_history FROM {READER_ROLE}",
            f"GRANT SELECT ON alert_history TO {READER_ROLE}",
            f"grant alert_history.{READER_ROLE}",
        ),
        ("DROP VIEW alert_history; CREATE VIEW alert_history AS SELECT 1 AS one", None, "view alert_history"),
    ],
    ids=lambda value: value if value and value.split()[0] in {"column", "index", "view", "grant", "relation"} else "",
)
def test_check_sees(database: str, change: str, undo: str | None, seen: str) -> None:
    if undo is None:
        undo = f"DROP VIEW alert_history; {_remade('alert_history')}"
    rows(database, change)
    try:
        lines = migrate.check(database)
    finally:
        rows(database, undo)
    assert any(line.startswith(seen) for line in lines), lines
    assert migrate.check(database) == []


def _remade(name: str) -> str:
    (view,) = (view for view in VIEWS if view.name == name)
    return ";".join([*statements(view), f"GRANT SELECT ON {name} TO {READER_ROLE}"])


def test_the_reader_role_sees_the_views_and_nothing_else(database: str) -> None:
    readable = rows(
        database,
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'S')"
        f" AND has_any_column_privilege('{READER_ROLE}', oid, 'SELECT') ORDER BY 1",
    )
    assert [name for (name,) in readable] == sorted(view.name for view in VIEWS)
    assert rows(database, f"SET LOCAL ROLE {READER_ROLE}; SELECT count(*) FROM sentiment") == [(0,)]
    for forbidden in ("SELECT FROM document", "DELETE FROM alert", "CREATE TABLE mine (a integer)"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            rows(database, f"SET LOCAL ROLE {READER_ROLE}; {forbidden}")


def test_every_view_and_every_column_of_it_is_explained(database: str) -> None:
    unexplained = rows(
        database,
        "SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0"
        " WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace"
        " AND (col_description(pg_class.oid, attnum) IS NULL OR obj_description(pg_class.oid, 'pg_class') IS NULL)",
    )
    assert unexplained == []


def test_a_database_of_an_earlier_version_is_brought_to_the_schema_with_what_it_holds(fresh_database: str) -> None:
    with migrate._connected(fresh_database) as connection:
        config = migrate._config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    assert migrate.current(fresh_database) == "0001"
    rows(fresh_database, "INSERT INTO publisher (name) VALUES ('Example Wire')")

    assert migrate.upgrade(fresh_database) == migrate.head()
    assert migrate.check(fresh_database) == []
    assert rows(fresh_database, "SELECT name FROM publisher") == [("Example Wire",)]
