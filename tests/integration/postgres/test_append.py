"""Batches come again, overlap, race, and lose their connection: every document counts once."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.builders import (
    at,
    comments_partition,
    entity,
    make_batch,
    make_document,
    make_mark,
    make_record,
    make_scored,
    news_partition,
    scored_partition,
    topic,
)
from support.histories import append, changes_of
from support.postgres_databases import empty, history_at, recomputed, rolled_up, rows

from domain.classification import ScoredDocument
from domain.errors import TemporaryError
from domain.log import Partition, RecordBatch, ScoredRecord
from domain.ports import DocumentQuery
from domain.timeline import minute_of
from domain.window import Changes, Counts
from store.postgres import names
from store.postgres.changes import CHANGES
from store.postgres.connection import Postgres, Timeouts
from store.postgres.pages import read

pytestmark = pytest.mark.servers

P = scored_partition()


def stored(dsn: str) -> list[tuple[ScoredDocument, bool]]:
    """Every document that the history holds, and whether it is late."""
    postgres = Postgres(dsn, application_name="test")
    with postgres.transaction(snapshot=True) as connection:
        page = read(connection, DocumentQuery(limit=100_000))
    postgres.close()
    return [(one.scored, one.late) for one in page.documents]


def cut(partition: Partition, log: list[ScoredRecord], start: int, end: int) -> RecordBatch:
    """The messages [start, end) of a log, and a mark behind them that covers them."""
    records = [(offset, record) for offset, record in enumerate(log[start:end], start)]
    return make_batch(records, partition=partition, start=start, end=end)


def make_log(dice: random.Random, ids: list[str], length: int) -> list[ScoredRecord]:
    """Messages about documents that may repeat, of two source partitions, some of them late."""
    highs = {news_partition(): at(0), comments_partition(): at(0)}
    log: list[ScoredRecord] = []
    for number in range(length):
        source = dice.choice(list(highs))
        published_at = at(number / 4 - dice.choice([0, 0, 0, 2, 20]))
        highs[source] = max(highs[source], published_at)
        negative = dice.random()
        scored = make_scored(
            dice.choice(ids),
            published_at=published_at,
            negative=negative,
            positive=(1 - negative) * dice.random(),
            topic=dice.choice(["Earnings", "Fed"]),
            symbols=dice.sample(["A", "B", "C"], dice.randint(0, 3)),
            source=dice.choice([None, "Wire", "Post", "Blog"]),
        )
        log.append(make_record(scored, source=source, high_time=highs[source]))
    return log


@given(seed=st.integers(0, 2**32), reach=st.integers(0, 12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_roll_ups_equal_the_documents_however_batches_come_again(database: str, seed: int, reach: int) -> None:
    empty(database)
    dice = random.Random(seed)
    ids = [f"doc-{number}" for number in range(30)]
    logs = {scored_partition(number): make_log(dice, ids, 20) for number in range(2)}
    applied: dict[Partition, list[Changes]] = {partition: [] for partition in logs}

    def apply(partitions: Iterable[Partition]) -> None:
        ends = {partition: applied[partition][-1].end if applied[partition] else 0 for partition in partitions}
        for changes in one.changes(ends):
            applied[changes.partition].append(changes)

    with history_at(database) as one, history_at(database) as other:
        done = dict.fromkeys(logs, 0)
        while any(done[partition] < len(log) for partition, log in logs.items()):
            batches = []
            for partition in dice.sample(list(logs), dice.randint(1, len(logs))):
                start = max(0, done[partition] - dice.randint(0, reach))
                end = min(len(logs[partition]), start + dice.randint(1, 12))
                batches.append(cut(partition, logs[partition], start, end))
                done[partition] = max(done[partition], end)
            dice.choice([one, other]).append(batches)
            apply(dice.sample(list(logs), dice.randint(0, len(logs))))
        apply(logs)

    documents = stored(database)
    assert {scored.document.id for scored, _ in documents} == {
        record.scored.document.id for log in logs.values() for record in log
    }
    assert len(documents) == len({scored.document.id for scored, _ in documents})
    assert rolled_up(database) == recomputed(documents)
    windows: dict[object, Counts] = {}
    for changes in [changes for made in applied.values() for changes in made]:
        for key, counts in changes.counts.items():
            windows[key] = windows.get(key, Counts()) + counts
    in_time = {(subject, minute): counts for (subject, minute, late), counts in rolled_up(database).items() if not late}
    assert windows == in_time, "the changes, read in any steps, add up to what is in time"


def test_workers_that_race_over_the_same_messages_write_them_once(database: str) -> None:
    log = make_log(random.Random(1), [f"doc-{number}" for number in range(150)], 200)
    batches = [cut(P, log, start, start + 25) for start in range(0, 200, 20)]
    barrier = threading.Barrier(3)

    def work(_: int) -> int:
        with history_at(database) as history:
            barrier.wait()
            return sum(append(history, batch).new for batch in batches)

    with ThreadPoolExecutor(3) as pool:
        new = sum(pool.map(work, range(3)))

    documents = stored(database)
    assert new == len(documents) == len({record.scored.document.id for record in log})
    assert rolled_up(database) == recomputed(documents)


def test_workers_of_many_partitions_with_the_same_documents_and_minutes_never_deadlock(database: str) -> None:
    """Some of them have a partition in common, as a worker and its successor do, and name it in another order."""
    ids = [f"doc-{number}" for number in range(400)]
    logs = {scored_partition(number): make_log(random.Random(number), ids, 400) for number in range(4)}
    barrier = threading.Barrier(3)

    def work(numbers: tuple[int, ...]) -> int:
        with history_at(database) as history:
            barrier.wait()
            new = 0
            for span in pairwise(range(0, 401, 40)):
                partitions = [scored_partition(number) for number in numbers]
                done = history.append([cut(partition, logs[partition], *span) for partition in partitions])
                new += sum(appended.new for appended in done)
            return new

    with ThreadPoolExecutor(3) as pool:
        new = sum(pool.map(work, [(0, 1), (2, 1, 0), (3, 2)]))

    documents = stored(database)
    assert new == len(documents)
    assert rolled_up(database) == recomputed(documents)
    ((deadlocks,),) = rows(database, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == 0


def test_a_connection_killed_at_commit_leaves_nothing_and_the_batch_can_come_again(database: str) -> None:
    rows(
        database,
        "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END';"
        "CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON progress DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION die()",
    )
    batch = make_batch([make_record("a"), make_record("b")])
    try:
        with history_at(database) as history:
            with pytest.raises(TemporaryError):
                append(history, batch)
            assert history.next_offset(P) is None
            assert rows(database, "SELECT count(*) FROM ledger") == [(0,)]
            rows(database, "DROP FUNCTION die CASCADE")
            assert append(history, batch).new == 2
    finally:
        rows(database, "DROP FUNCTION IF EXISTS die CASCADE")
    assert rolled_up(database)[topic("Earnings"), minute_of(at()), False].count == 2


def test_a_connection_that_dies_between_batches_costs_one_try(database: str) -> None:
    with history_at(database) as history:
        append(history, make_batch([make_record("a")]))
        rows(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'")
        with pytest.raises(TemporaryError):
            append(history, make_batch([make_record("b")], start=1))
        assert append(history, make_batch([make_record("b")], start=1)).new == 1


def test_a_database_put_back_to_an_earlier_state_gives_names_new_numbers(database: str) -> None:
    """Numbers remembered from before would stand for other names, or for none."""
    with history_at(database) as history:
        append(history, make_batch([make_record("a", symbols=["OLD"])]))
        empty(database)
        rows(database, "INSERT INTO subject (kind, name) VALUES ('entity', 'OTHER')")
        rows(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'")
        with pytest.raises(TemporaryError):
            history.next_offset(P)
        append(history, make_batch([make_record("a", symbols=["OLD"])]))

        assert (entity("OLD"), minute_of(at())) in changes_of(history, P, 0).counts
    assert (entity("OLD"), minute_of(at()), False) in rolled_up(database)


def test_while_one_worker_holds_a_partition_its_successor_gives_up_in_time(database: str) -> None:
    with history_at(database) as history:
        append(history, make_batch([make_record("a")]))
    holder = Postgres(database, application_name="holder")
    impatient = Timeouts(lock=1, idle_in_transaction=0.5)
    with history_at(database, timeouts=impatient) as history, holder.transaction() as connection:
        connection.exec_driver_sql("SELECT FROM progress FOR UPDATE")
        with pytest.raises(TemporaryError, match="55P03"):
            append(history, make_batch([make_record("b")], start=1))
    holder.close()


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_changes_are_read_by_index_even_from_a_ledger_never_analysed(database: str, mode: str) -> None:
    plan = "\n".join(
        line
        for (line,) in rows(
            database,
            f"SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = {mode}; PREPARE changes AS {CHANGES};"
            "EXPLAIN EXECUTE changes (%s, %s, %s)",
            [1, 2],
            [1000, 0],
            [2000, 100],
        )
    )
    assert "ledger_message" in plan
    assert "Seq Scan" not in plan


def test_everything_about_a_document_is_written_with_it(database: str) -> None:
    document = make_document("a", symbols=["ACME"], title="Title", author="ann")
    with history_at(database) as history:
        append(history, make_batch([make_record(make_scored(document, negative=0.9))], [make_mark()]))

    counted = {
        table: rows(database, f"SELECT count(*) FROM {table} WHERE recorded_at > now() - interval '1 minute'")[0][0]
        for table in ("ledger", "document", "document_text", "score", "mention", "rollup_minute", "mark", "progress")
    }
    assert counted == {
        "ledger": 1,
        "document": 1,
        "document_text": 1,
        "score": 1,
        "mention": 2,
        "rollup_minute": 2,
        "mark": 1,
        "progress": 1,
    }


def test_more_names_than_are_remembered_cost_time_and_nothing_else(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "_CACHED", 3)
    log = make_log(random.Random(5), [f"doc-{number}" for number in range(60)], 60)
    with history_at(database) as history:
        for start in range(0, 60, 10):
            append(history, cut(P, log, start, start + 10))

    assert rolled_up(database) == recomputed(stored(database))


def test_a_rebuild_sees_one_instant_however_long_it_takes(database: str) -> None:
    with history_at(database) as history, history_at(database) as other:
        append(history, make_batch([make_record("a")], [make_mark(high_time=at(0))]))
        with history.window_source() as snapshot:
            append(other, make_batch([make_record("b")], [make_mark(high_time=at(9))], start=2))
            assert snapshot.guards == {P: 2}
            assert [state.high_time for state in snapshot.marks] == [at(0)]
            assert [increment.counts.count for increment in snapshot.increments(0)] == [1]


def test_a_rebuild_whose_connection_dies_can_be_tried_again(database: str) -> None:
    with history_at(database) as history:

        def rebuild(before: str = "SELECT 1") -> int:
            with history.window_source() as snapshot:
                rows(database, before)
                return len(list(snapshot.increments(0)))

        append(history, make_batch([make_record("a")]))
        with pytest.raises(TemporaryError):
            rebuild("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'")
        assert rebuild() == 1
