"""What domain.ports.Outbox promises, on every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from support.builders import at, entity, make_alert, make_change
from support.fake_store import FakeAlertStore, FakeDocuments, FakeHistoryReader

from domain.alert import AlertStatus, Claimed, Delivery, Outcome, Transition
from domain.ports import AlertStore, HistoryReader, Outbox
from domain.timeline import minute_of
from store.postgres.alerts import PostgresAlertStore
from store.postgres.connection import Postgres
from store.postgres.outbox import PostgresOutbox
from store.postgres.reader import PostgresReader

NOW = datetime.now(UTC) + timedelta(hours=1)
"""Well after everything was put in, by whichever clock."""
LEASE = timedelta(seconds=30)

Parts = tuple[AlertStore, Outbox, HistoryReader]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def parts(request: pytest.FixtureRequest) -> Iterator[Parts]:
    if request.param == "memory":
        fake = FakeAlertStore()
        yield fake, fake.outbox, FakeHistoryReader(FakeDocuments(), fake)
        return
    postgres = Postgres(request.getfixturevalue("database"), application_name="test", pool_size=8)
    yield PostgresAlertStore(postgres), PostgresOutbox(postgres), PostgresReader(postgres)
    postgres.close()


@pytest.fixture
def outbox(parts: Parts) -> Outbox:
    return parts[1]


@pytest.fixture
def reader(parts: Parts) -> HistoryReader:
    return parts[2]


@pytest.fixture
def put(parts: Parts) -> Callable[..., None]:
    """Put one notification per symbol into the outbox: an alert on it fired."""
    store = parts[0]

    def put_in(*symbols: str) -> None:
        through = store.load().evaluated_through
        changes = [
            make_change(
                make_alert(entity(symbol), status=AlertStatus.FIRING, fired_at=at(1)),
                Transition.FIRING,
                receivers=["risk"],
                payload=symbol.encode(),
            )
            for symbol in symbols
        ]
        store.save(expected=through, evaluated_through=(through or minute_of(at())) + 1, changes=changes)

    return put_in


def attempt(claimed: Claimed, outcome: Outcome, *, made_at: datetime = NOW) -> Delivery:
    ok = outcome is Outcome.DELIVERED
    return Delivery(
        webhook_id=claimed.notification.webhook_id,
        fingerprint=claimed.fingerprint,
        receiver=claimed.notification.receiver,
        attempt=claimed.attempt,
        outcome=outcome,
        status_code=200 if ok else 503,
        error=None if ok else "503 Service Unavailable",
        at=made_at,
        duration=0.125,
    )


def payloads(claimed: object) -> list[bytes]:
    assert isinstance(claimed, list)
    return [one.notification.payload for one in claimed]


def test_an_empty_outbox_has_nothing_due(outbox: Outbox) -> None:
    assert outbox.next_due() is None
    assert outbox.waiting() == 0
    assert outbox.claim(now=NOW, lease=LEASE, limit=10) == []


def test_what_is_leased_or_will_be_tried_again_still_waits(outbox: Outbox, put: Callable[..., None]) -> None:
    put("A", "B", "C")
    first, second = outbox.claim(now=NOW, lease=LEASE, limit=2)
    assert outbox.waiting() == 3

    outbox.settle(first, attempt(first, Outcome.DELIVERED), next_attempt_at=None)
    outbox.settle(second, attempt(second, Outcome.RETRY), next_attempt_at=NOW + LEASE)
    assert outbox.waiting() == 2


def test_the_oldest_are_claimed_first_up_to_the_limit(outbox: Outbox, put: Callable[..., None]) -> None:
    put("A", "B")
    put("C")

    assert payloads(outbox.claim(now=NOW, lease=LEASE, limit=2)) == [b"A", b"B"]
    assert payloads(outbox.claim(now=NOW, lease=LEASE, limit=2)) == [b"C"]


def test_what_is_leased_is_nobody_elses_until_the_lease_runs_out(outbox: Outbox, put: Callable[..., None]) -> None:
    put("A")
    (first,) = outbox.claim(now=NOW, lease=LEASE, limit=1)

    assert outbox.next_due() == NOW + LEASE
    assert outbox.claim(now=NOW + LEASE / 2, lease=LEASE, limit=1) == []
    (second,) = outbox.claim(now=NOW + LEASE, lease=LEASE, limit=1)
    assert second.notification == first.notification
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.lease_token != second.lease_token


def test_what_is_delivered_is_done(outbox: Outbox, reader: HistoryReader, put: Callable[..., None]) -> None:
    put("A")
    (claimed,) = outbox.claim(now=NOW, lease=LEASE, limit=1)
    delivery = attempt(claimed, Outcome.DELIVERED)

    assert outbox.settle(claimed, delivery, next_attempt_at=None)
    assert outbox.next_due() is None
    assert outbox.claim(now=NOW + timedelta(days=1), lease=LEASE, limit=1) == []
    assert list(reader.deliveries()) == [delivery]


def test_what_failed_is_tried_again_when_told_and_not_before(outbox: Outbox, put: Callable[..., None]) -> None:
    put("A")
    (claimed,) = outbox.claim(now=NOW, lease=LEASE, limit=1)
    due = NOW + timedelta(minutes=5)

    assert outbox.settle(claimed, attempt(claimed, Outcome.RETRY), next_attempt_at=due)
    assert outbox.next_due() == due
    assert outbox.claim(now=due - timedelta(seconds=1), lease=LEASE, limit=1) == []
    (again,) = outbox.claim(now=due, lease=LEASE, limit=1)
    assert again.attempt == 2


def test_what_was_given_up_stays_so(outbox: Outbox, put: Callable[..., None]) -> None:
    put("A")
    (claimed,) = outbox.claim(now=NOW, lease=LEASE, limit=1)

    assert outbox.settle(claimed, attempt(claimed, Outcome.FAILED), next_attempt_at=None)
    assert outbox.next_due() is None


def test_a_late_settlement_writes_its_attempt_and_leaves_the_schedule_alone(
    outbox: Outbox, reader: HistoryReader, put: Callable[..., None]
) -> None:
    put("A")
    (slow,) = outbox.claim(now=NOW, lease=LEASE, limit=1)
    (quick,) = outbox.claim(now=NOW + LEASE, lease=LEASE, limit=1)
    late = attempt(slow, Outcome.FAILED, made_at=NOW + LEASE)

    assert not outbox.settle(slow, late, next_attempt_at=None)
    assert outbox.next_due() == NOW + 2 * LEASE
    delivery = attempt(quick, Outcome.DELIVERED, made_at=NOW + LEASE * 1.5)
    assert outbox.settle(quick, delivery, next_attempt_at=None)
    later = attempt(slow, Outcome.FAILED, made_at=NOW + 2 * LEASE)
    assert not outbox.settle(slow, later, next_attempt_at=NOW), "done is done"
    assert outbox.next_due() is None
    assert list(reader.deliveries(fingerprint=quick.fingerprint)) == [later, delivery, late]


def test_a_lease_that_ran_out_but_was_not_taken_over_still_settles(outbox: Outbox, put: Callable[..., None]) -> None:
    put("A")
    (claimed,) = outbox.claim(now=NOW, lease=LEASE, limit=1)

    assert outbox.settle(claimed, attempt(claimed, Outcome.DELIVERED, made_at=NOW + 2 * LEASE), next_attempt_at=None)


def test_senders_side_by_side_never_claim_the_same(outbox: Outbox, put: Callable[..., None]) -> None:
    put(*(f"S{number}" for number in range(40)))

    def claim_all(_: int) -> list[bytes]:
        mine: list[bytes] = []
        while claimed := outbox.claim(now=NOW, lease=LEASE, limit=3):
            mine += [one.notification.payload for one in claimed]
        return mine

    with ThreadPoolExecutor(4) as pool:
        claimed = [payload for mine in pool.map(claim_all, range(4)) for payload in mine]
    assert sorted(claimed) == sorted(f"S{number}".encode() for number in range(40))


def test_a_receiver_hears_of_an_alert_in_order_however_often_a_transition_has_to_be_sent_again(
    parts: Parts,
) -> None:
    store, outbox, _ = parts
    firing = make_alert(entity("A"), status=AlertStatus.FIRING, fired_at=at(1))
    resolved = replace(firing, status=AlertStatus.RESOLVED, ends_at=at(9))
    fired, ended = (
        make_change(alert, transition, receivers=["risk", "pager"])
        for alert, transition in ((firing, Transition.FIRING), (resolved, Transition.RESOLVED))
    )
    store.save(expected=None, evaluated_through=1, changes=[fired])
    store.save(expected=1, evaluated_through=2, changes=[ended])

    def claim(now: datetime) -> list[tuple[str, Transition]]:
        nonlocal claimed
        claimed = outbox.claim(now=now, lease=LEASE, limit=10)
        return sorted((one.notification.receiver, one.notification.transition) for one in claimed)

    claimed: Sequence[Claimed] = ()
    both = [("pager", Transition.FIRING), ("risk", Transition.FIRING)]
    assert claim(NOW) == both
    assert claim(NOW) == [], "the first ones are being sent"
    assert claim(NOW + LEASE) == both, "whoever sent them may have died"
    for one in claimed:
        if one.notification.receiver == "risk":
            outbox.settle(one, attempt(one, Outcome.RETRY), next_attempt_at=NOW + 10 * LEASE)
        else:
            outbox.settle(one, attempt(one, Outcome.DELIVERED), next_attempt_at=None)
    assert claim(NOW + 2 * LEASE) == [("pager", Transition.RESOLVED)]
    assert outbox.waiting() == 3

    now = NOW + 10 * LEASE
    assert ("risk", Transition.FIRING) in claim(now)
    (given_up,) = [one for one in claimed if one.notification.receiver == "risk"]
    outbox.settle(given_up, attempt(given_up, Outcome.FAILED, made_at=now), next_attempt_at=None)
    assert ("risk", Transition.RESOLVED) in claim(now)


def test_the_next_alert_of_a_fingerprint_does_not_wait_for_the_one_before(parts: Parts) -> None:
    store, outbox, _ = parts
    before = make_alert(entity("A"), status=AlertStatus.RESOLVED, starts_at=at(1), fired_at=at(1), ends_at=at(9))
    after = make_alert(entity("A"), status=AlertStatus.FIRING, starts_at=at(20), fired_at=at(20))
    told = ((before, Transition.RESOLVED), (after, Transition.FIRING))
    changes = [make_change(alert, transition, receivers=["risk"]) for alert, transition in told]
    store.save(expected=None, evaluated_through=1, changes=changes)

    assert len(outbox.claim(now=NOW, lease=LEASE, limit=10)) == 2


def test_what_is_neither_delivered_nor_given_up_is_waiting(outbox: Outbox, put: Callable[..., None]) -> None:
    assert outbox.waiting() == 0
    put("A", "B", "C")
    delivered, retried, given_up = outbox.claim(now=NOW, lease=LEASE, limit=3)
    outbox.settle(delivered, attempt(delivered, Outcome.DELIVERED, made_at=NOW), next_attempt_at=None)
    outbox.settle(retried, attempt(retried, Outcome.RETRY, made_at=NOW), next_attempt_at=NOW + LEASE)
    assert outbox.waiting() == 2
    outbox.settle(given_up, attempt(given_up, Outcome.FAILED, made_at=NOW), next_attempt_at=None)
    assert outbox.waiting() == 1
