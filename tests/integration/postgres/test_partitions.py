"""Monthly partitions are there before they are needed, whoever needs them."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from support.builders import make_batch, make_record, scored_partition
from support.histories import append
from support.postgres_databases import history_at, rows

from store.postgres import migrate
from store.postgres.connection import Postgres, Timeouts
from store.tables import PARTITIONED

pytestmark = pytest.mark.servers


@pytest.fixture
def unpartitioned(fresh_database: str) -> str:
    migrate.upgrade(fresh_database)
    return fresh_database


def months(dsn: str, table: str) -> list[str]:
    found = rows(
        dsn,
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid"
        f" WHERE inhparent = '{table}'::regclass ORDER BY 1",
    )
    return [name.removeprefix(f"{table}_") for (name,) in found]


def test_months_are_made_as_they_appear_and_the_one_that_follows(unpartitioned: str) -> None:
    with history_at(unpartitioned) as history:
        append(
            history,
            make_batch(
                [
                    make_record("a", published_at=datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
                    make_record("b", published_at=datetime(2014, 12, 1, tzinfo=UTC)),
                ]
            ),
        )
        for table in PARTITIONED:
            assert months(unpartitioned, table.name) == ["1999_12", "2014_12", "2015_01"]
        append(history, make_batch([make_record("c", published_at=datetime(2015, 1, 1, tzinfo=UTC))], start=2))

    assert months(unpartitioned, "mention") == ["1999_12", "2014_12", "2015_01", "2015_02"]
    assert migrate.check(unpartitioned) == []


def test_workers_make_the_same_months_at_once_without_getting_in_each_others_way(unpartitioned: str) -> None:
    barrier = threading.Barrier(3)

    def work(number: int) -> int:
        with history_at(unpartitioned) as history:
            barrier.wait()
            records = [
                make_record(f"{number}-{month}", published_at=datetime(2020, month, 3, tzinfo=UTC))
                for month in range(1, 7)
            ]
            return append(history, make_batch(records, partition=scored_partition(number))).new

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, range(3))) == [6, 6, 6]
    assert months(unpartitioned, "score") == [f"2020_{month:02}" for month in range(1, 8)]


def test_a_new_month_does_not_wait_for_those_who_read(unpartitioned: str) -> None:
    """Neither an analyst's long query nor a page that is being read may stop the flow at a month's end."""
    reader = Postgres(unpartitioned, application_name="analyst")
    impatient = Timeouts(lock=0.5, idle_in_transaction=0.1)
    with reader.transaction() as connection, history_at(unpartitioned, timeouts=impatient) as history:
        connection.exec_driver_sql("SELECT count(*) FROM sentiment")
        assert append(history, make_batch([make_record("a")])).new == 1
    reader.close()
