"""How Postgres is reached, as far as that can be told without one."""

from __future__ import annotations

import traceback

import psycopg2
import pytest

from domain.errors import PermanentError, TemporaryError
from store.postgres.connection import Postgres, Timeouts
from store.postgres.errors import translate

SECRET = "pa55-w0rd"


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://user:{SECRET}@host:not-a-port/db",
        f"postgresql://user:{SECRET}/with/slashes@host/db",
        f"postgresql://user:123/{SECRET}@host/db",
        f"postgresql://user:with@{SECRET}@host/db",
        f"postgresql://user:%zz{SECRET}@host/db",
        f"mysql://user:{SECRET}@host/db",
        f"host=h password='{SECRET}",
    ],
)
def test_a_dsn_that_cannot_be_read_says_so_without_quoting_it(dsn: str) -> None:
    with pytest.raises(PermanentError, match="can't be read") as raised:
        Postgres(dsn, application_name="test")
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_database_shows_where_it_is_but_never_the_password() -> None:
    postgres = Postgres(f"postgresql://user:{SECRET}@db.example:6432/risk?sslmode=verify-full", application_name="test")
    assert repr(postgres) == "Postgres(user@db.example:6432/risk)"


def test_a_server_that_is_not_there_is_worth_waiting_for() -> None:
    with pytest.raises(TemporaryError, match="can't be reached"):
        Postgres("postgresql://user@127.0.0.1:1/db", application_name="test").open()


def test_successors_wait_longer_than_a_frozen_worker_is_suffered() -> None:
    with pytest.raises(ValueError, match="lock time-out"):
        Timeouts(lock=10, idle_in_transaction=10)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ('connection to server failed: FATAL:  password authentication failed for user "x"', PermanentError),
        ('connection to server failed: FATAL:  database "x" does not exist', PermanentError),
        ("connection to server failed: FATAL:  the database system is starting up", TemporaryError),
        ("connection to server failed: FATAL:  sorry, too many clients already", TemporaryError),
        ("server closed the connection unexpectedly", TemporaryError),
        ("SSL SYSCALL error: EOF detected", TemporaryError),
    ],
)
def test_errors_without_a_state_are_told_apart_by_what_libpq_says(said: str, kind: type[Exception]) -> None:
    assert type(translate(psycopg2.OperationalError(said))) is kind
