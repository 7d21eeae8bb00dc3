"""What a real server does to those who use it wrongly, or too long."""

from __future__ import annotations

import time
import traceback

import psycopg2.extensions
import pytest
from sqlalchemy import text

from domain.errors import GroundswellError, InvalidInput, PermanentError, TemporaryError
from domain.ports import DocumentQuery
from store.postgres.connection import Postgres, Timeouts
from store.postgres.reader import PostgresReader

pytestmark = pytest.mark.servers


def connected(dsn: str, **changed: str) -> Postgres:
    parameters = psycopg2.extensions.parse_dsn(dsn) | changed
    timeouts = Timeouts(statement=1, lock=0.4, idle_in_transaction=0.3)
    return Postgres(psycopg2.extensions.make_dsn(**parameters), application_name="test", timeouts=timeouts)


@pytest.mark.parametrize(
    ("query", "kind", "said"),
    [
        ("SELECT pg_sleep(5)", TemporaryError, "57014"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", TemporaryError, "closed the connection"),
        ("SELECT 1/0", InvalidInput, "22012"),
        ("SELECT * FROM nowhere", PermanentError, "groundswell db upgrade"),
        ("SET LOCAL transaction_read_only = on; CREATE TABLE a ()", TemporaryError, "25006"),
        ("SELECT pg_sleep(0); SELECT 'secret'::integer", InvalidInput, "22P02"),
    ],
)
def test_every_error_is_one_of_three_kinds(database: str, query: str, kind: type[Exception], said: str) -> None:
    postgres = connected(database)
    with pytest.raises(GroundswellError, match=said) as raised, postgres.transaction() as connection:
        connection.exec_driver_sql(query)
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is not None
    postgres.close()


@pytest.mark.parametrize("value", ["a\0b", "half \ud800 a pair"])
def test_a_question_that_postgres_cannot_be_asked_is_bad_input(database: str, value: str) -> None:
    postgres = connected(database)
    with pytest.raises(InvalidInput):
        PostgresReader(postgres).documents(DocumentQuery(source=value))
    postgres.close()


def test_a_server_that_is_not_there_is_worth_waiting_for_also_from_the_pool() -> None:
    nowhere = Postgres("postgresql://user@127.0.0.1:1/db", application_name="test")
    with pytest.raises(TemporaryError, match="can't be reached"):
        PostgresReader(nowhere).alerts()


def test_more_readers_than_connections_wait_and_then_are_told_to_come_back(database: str) -> None:
    postgres = Postgres(database, application_name="test", pool_size=1, pool_timeout=0.2)
    with postgres.transaction(), pytest.raises(TemporaryError, match="in use"):
        PostgresReader(postgres).alerts()
    postgres.close()


def test_a_transaction_that_stands_still_is_ended(database: str) -> None:
    postgres = connected(database)

    def stand_still() -> None:
        with postgres.transaction() as connection:
            connection.execute(text("SELECT 1"))
            time.sleep(0.9)
            connection.execute(text("SELECT 1"))

    with pytest.raises(TemporaryError):
        stand_still()
    postgres.close()


def test_a_pooled_connection_that_died_is_replaced_unnoticed(database: str) -> None:
    postgres = connected(database)
    with postgres.transaction() as connection:
        connection.execute(text("SELECT 1"))
    admin = connected(database)
    with admin.transaction() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'test' AND pid <> pg_backend_pid()"
        )
    with postgres.transaction() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1
    postgres.close()
    admin.close()


def test_a_database_that_does_not_exist_takes_a_person_and_no_password_is_told(database: str) -> None:
    postgres = connected(database, dbname="nowhere", password="pa55-w0rd")
    with pytest.raises(PermanentError) as raised:
        postgres.open()
    assert "pa55-w0rd" not in "".join(traceback.format_exception(raised.value))


def test_sessions_carry_their_time_outs_their_name_and_the_time_zone(database: str) -> None:
    postgres = connected(database, options="-c work_mem=5MB")
    with postgres.transaction() as connection:
        shown = {
            name: connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in (
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "TimeZone",
                "application_name",
                "synchronous_commit",
                "work_mem",
            )
        }
    assert shown == {
        "statement_timeout": "1s",
        "lock_timeout": "400ms",
        "idle_in_transaction_session_timeout": "300ms",
        "TimeZone": "UTC",
        "application_name": "test",
        "synchronous_commit": "on",
        "work_mem": "5MB",
    }
    postgres.close()
