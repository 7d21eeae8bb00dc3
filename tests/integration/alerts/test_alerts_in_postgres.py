"""The watcher and the deliverer on the real history, alert store and outbox give what they give in memory."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from support.builders import make_batch, make_record, scored_partition
from support.histories import append
from support.receiver import SECRET, Answer, WebhookReceiver, wait_until
from support.watch_world import WatchWorld

from alerts.delivery.deliver import Deliverer, DeliveryPolicy
from alerts.delivery.receiver import Receiver
from alerts.delivery.schedule import Schedule
from alerts.surge import SurgeRule
from alerts.watch import Watcher
from domain.alert import Alert, Outcome, Transition, webhook_id
from domain.errors import Conflict
from store.postgres import migrate
from store.postgres.alerts import PostgresAlertStore
from store.postgres.connection import Postgres
from store.postgres.history import PostgresHistory
from store.postgres.outbox import PostgresOutbox
from store.postgres.reader import PostgresReader
from store.tables import notification

pytestmark = pytest.mark.servers

LATENESS = timedelta(minutes=5)
RULE = SurgeRule(name="surge", receivers=("desk",))
POLICY = DeliveryPolicy(
    poll=timedelta(milliseconds=20), schedule=Schedule(delays=(timedelta(milliseconds=200),) * 5, jitter=0)
)


@pytest.fixture
def postgres(fresh_database: str) -> Postgres:
    migrate.upgrade(fresh_database)
    return Postgres(fresh_database, application_name="test")


def surging() -> WatchWorld:
    """Three surges within ten hours, one of which is open at the end."""
    world = WatchWorld(RULE)
    world.push(0, "ACME", neutral=1, negative=1, every=7, until=600)
    for minute in (121, 300, 590):
        world.push(minute, "ACME", negative=14, publishers=["Wire", None, "Post", "Herald"])
    return world


def recorded(world: WatchWorld, postgres: Postgres) -> None:
    """The documents of the world, in the history."""
    records = [
        make_record(stored.scored, source_offset=offset)
        for offset, stored in enumerate(
            sorted(world.documents.by_id.values(), key=lambda stored: stored.scored.document.published_at)
        )
    ]
    history = PostgresHistory(postgres, lateness=LATENESS)
    appended = append(history, make_batch(records, partition=scored_partition()))
    assert (appended.new, appended.late) == (len(records), 0)
    history.close()


def watcher(world: WatchWorld, postgres: Postgres) -> Watcher:
    return Watcher(
        [RULE],
        windows=world.windows,
        history=PostgresReader(postgres),
        alerts=PostgresAlertStore(postgres),
        lateness=LATENESS,
    )


def rounded(alert: Alert) -> Alert:
    """Without the texts of its evidence, whose scores a store may round."""
    return replace(alert, evidence=alert.evidence and replace(alert.evidence, documents=()))


def test_the_alerts_and_their_webhooks_are_those_of_a_run_in_memory_however_often_it_restarts(
    postgres: Postgres,
) -> None:
    world = surging()
    world.watch(to=600)
    expected = world.alerts()
    recorded(world, postgres)
    chance = random.Random(1)
    running, rival = watcher(world, postgres), watcher(world, postgres)
    while running.tick().evaluated_through != world.store.evaluated_through:
        if chance.random() < 0.5:
            running, rival = rival, watcher(world, postgres)
    alerts = PostgresReader(postgres).alerts()
    key = lambda alert: (alert.starts_at, str(alert.subject))  # noqa: E731
    assert sorted(map(rounded, alerts), key=key) == [rounded(alert) for alert in expected]
    with postgres.transaction() as connection:
        rows = connection.execute(sa.select(notification.c.webhook_id, notification.c.payload))
        payloads = {row.webhook_id: bytes(row.payload) for row in rows}
    in_memory = world.store.outbox.pending.values()
    assert payloads == {one.notification.webhook_id: one.notification.payload for one in in_memory}
    assert len(payloads) == 2 * 2 * 2 + 2, "two subjects surged: two surges ended, one is open"


def test_a_watcher_that_was_overtaken_finds_out(postgres: Postgres) -> None:
    store = PostgresAlertStore(postgres)
    store.save(expected=None, evaluated_through=10, changes=[])
    with pytest.raises(Conflict):
        store.save(expected=None, evaluated_through=11, changes=[])
    assert store.load().evaluated_through == 10


def test_every_webhook_arrives_though_the_receiver_fails_and_deliverers_die(postgres: Postgres) -> None:
    world = surging()
    recorded(world, postgres)
    world.watch(to=600)
    running = watcher(world, postgres)
    while running.tick().behind:
        pass
    outbox = PostgresOutbox(postgres)
    wanted = {
        webhook_id(alert, transition)
        for alert in PostgresReader(postgres).alerts()
        for transition, at in ((Transition.FIRING, alert.fired_at), (Transition.RESOLVED, alert.ends_at))
        if at is not None
    }
    with WebhookReceiver() as receiver:
        desk = Receiver(name="desk", url=receiver.url, secret=SECRET, timeout=timedelta(seconds=2))
        receiver.answer(Answer(status=503), Answer(drop=True), Answer(status=500), Answer(status=429))
        # A deliverer that claimed everything that may be sent and died: its leases run out, nothing else.
        assert outbox.claim(now=datetime.now(UTC), lease=timedelta(seconds=1), limit=100)
        stop = threading.Event()
        deliverers = [
            Deliverer([desk], outbox=PostgresOutbox(postgres), clock=lambda: datetime.now(UTC), policy=POLICY)
            for _ in range(2)
        ]
        threads = [threading.Thread(target=one.run, args=(stop,)) for one in deliverers]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: outbox.next_due() is None, timeout=20)
        finally:
            stop.set()
            for thread in threads:
                thread.join(10)
        for request in receiver.requests:
            request.verify()
        assert set(receiver.webhook_ids) == wanted
        assert len(receiver.requests) == len(wanted) + 4
    deliveries = PostgresReader(postgres).deliveries()
    assert sorted(one.webhook_id for one in deliveries if one.outcome is Outcome.DELIVERED) == sorted(wanted)
    assert sum(one.outcome is Outcome.RETRY for one in deliveries) == 4
