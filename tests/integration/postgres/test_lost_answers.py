"""The answer to a COMMIT is lost: nobody knows whether it happened, and it does not matter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from support.builders import at, make_alert, make_batch, make_change, make_mark, make_record, scored_partition, topic
from support.histories import append, changes_of
from support.postgres_databases import history_at, rolled_up, rows
from support.postgres_proxy import Proxy, proxy_before

from domain.alert import AlertStatus, Transition
from domain.errors import Conflict, TemporaryError
from domain.timeline import minute_of
from store.postgres.alerts import PostgresAlertStore
from store.postgres.connection import Postgres
from store.postgres.outbox import PostgresOutbox

pytestmark = pytest.mark.servers

M = minute_of(at())


@pytest.fixture
def proxy(database: str) -> Iterator[Proxy]:
    with proxy_before(database) as proxy:
        yield proxy


def test_a_batch_whose_commit_was_not_answered_comes_again_and_changes_nothing(database: str, proxy: Proxy) -> None:
    batch = make_batch([make_record("a"), make_record("b")], [make_mark()])
    with history_at(proxy.dsn) as history:
        append(history, make_batch([make_record("first")], partition=scored_partition(1)))
        proxy.lose = 1
        with pytest.raises(TemporaryError):
            append(history, batch)
        assert proxy.lost == 1
        assert rows(database, "SELECT count(*) FROM ledger") == [(3,)], "it did happen"

        again = append(history, batch)

        assert (again.new, again.duplicates) == (0, 2)
        assert changes_of(history, scored_partition(), 0).counts[topic("Earnings"), M].count == 2
    assert rolled_up(database)[topic("Earnings"), M, False].count == 3


def test_a_watcher_whose_save_was_not_answered_finds_that_it_was_here_itself(proxy: Proxy) -> None:
    postgres = Postgres(proxy.dsn, application_name="test")
    store, outbox = PostgresAlertStore(postgres), PostgresOutbox(postgres)
    firing = make_alert(status=AlertStatus.FIRING, fired_at=at(1))
    change = make_change(firing, Transition.FIRING, receivers=["risk"])
    store.load()
    proxy.lose = 1
    with pytest.raises(TemporaryError):
        store.save(expected=None, evaluated_through=M, changes=[change])

    with pytest.raises(Conflict):
        store.save(expected=None, evaluated_through=M, changes=[change])
    assert store.load().evaluated_through == M
    claimed = outbox.claim(now=datetime.now(UTC) + timedelta(hours=1), lease=timedelta(minutes=1), limit=10)
    assert len(claimed) == 1
    postgres.close()
