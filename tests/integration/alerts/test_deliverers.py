"""Deliverers at work: crashes, leases, several of them, their loop; to a real HTTP server, from an outbox in memory."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.builders import make_alert, make_change
from support.delivery_world import FIRING, Clock, deliverer, desk, notified, outcomes, running
from support.fake_store import FakeAlertStore, FakeOutbox
from support.receiver import Answer, WebhookReceiver, wait_until

from alerts.delivery.deliver import Deliverer, DeliveryPolicy
from alerts.delivery.schedule import Schedule
from domain.alert import Claimed, Delivery, Notification, Outcome, Transition, webhook_id
from domain.errors import TemporaryError

# --- crashes, leases, and others ---


class Crash(BaseException):
    """The process ends here."""


class CrashingOutbox:
    """An outbox whose process dies between sending and settling."""

    def __init__(self, inner: FakeOutbox) -> None:
        self.inner = inner
        self.claim = inner.claim
        self.next_due = inner.next_due

    def settle(self, claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
        raise Crash


def test_after_a_crash_between_sending_and_settling_it_is_sent_again_under_the_same_id(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    dying = Deliverer([desk(receiver)], outbox=CrashingOutbox(outbox), clock=clock)
    with pytest.raises(Crash):
        dying.deliver_due()
    survivor = deliverer(outbox, clock, desk(receiver))
    assert survivor.deliver_due() == (), "the lease still runs"
    clock.forward(timedelta(seconds=36))
    assert [one.outcome for one in survivor.deliver_due()] == [Outcome.DELIVERED]
    assert receiver.webhook_ids == [FIRING, FIRING]
    assert receiver.requests[0].body == receiver.requests[1].body


def test_a_lease_outlasts_the_longest_attempt(outbox: FakeOutbox, clock: Clock) -> None:
    receivers = [desk("http://127.0.0.1:9/", timeout=1), desk("http://127.0.0.1:9/", name="slow", timeout=20)]
    claiming = CrashingOutbox(outbox)
    with pytest.raises(Crash):
        Deliverer(receivers, outbox=claiming, clock=clock).deliver_due()
    due = outbox.next_due()
    assert due is not None
    assert timedelta(seconds=49) < due - clock() < timedelta(seconds=51)


def test_of_two_deliverers_with_the_same_notification_only_the_one_with_the_lease_settles(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    """The first is frozen while it sends; the second takes over; the first wakes up."""
    receiver.answer(Answer(delay=0.5, status=500))
    settled: list[bool] = []

    class Noting(FakeOutbox):
        def __init__(self) -> None:
            self.__dict__.update(outbox.__dict__)

        def settle(self, claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
            settled.append(super().settle(claimed, delivery, next_attempt_at=next_attempt_at))
            return settled[-1]

    shared = Noting()
    frozen = deliverer(shared, clock, desk(receiver))
    thread = threading.Thread(target=frozen.deliver_due)
    thread.start()
    receiver.wait_for(1)
    clock.forward(timedelta(minutes=5))
    deliverer(shared, clock, desk(receiver)).deliver_due()
    thread.join(5)
    assert settled == [True, False]
    assert shared.next_due() is None, "it is delivered, whatever the first one says"
    assert len(shared.deliveries) == 2


def test_an_outbox_that_is_down_while_an_attempt_is_to_be_settled_is_waited_for(
    receiver: WebhookReceiver, outbox: FakeOutbox, clock: Clock
) -> None:
    settle, failures = outbox.settle, 1

    def unsteady(claimed: Claimed, delivery: Delivery, *, next_attempt_at: datetime | None) -> bool:
        nonlocal failures
        if failures:
            failures -= 1
            raise TemporaryError("the server went away")
        return settle(claimed, delivery, next_attempt_at=next_attempt_at)

    outbox.settle = unsteady  # type: ignore[method-assign]
    deliverer(outbox, clock, desk(receiver)).deliver_due()
    assert outcomes(outbox) == [(Outcome.DELIVERED, 204)]
    assert len(receiver.requests) == 1


# --- run ---

QUICK = DeliveryPolicy(poll=timedelta(milliseconds=20), concurrency=4)


def test_it_runs_until_it_is_told_to_stop(receiver: WebhookReceiver, clock: Clock) -> None:
    outbox = notified(clock, alerts=20)
    with running(deliverer(outbox, clock, desk(receiver), policy=QUICK)):
        receiver.wait_for(20)
        wait_until(lambda: outbox.next_due() is None)
        outbox.put(
            Notification(webhook_id="msg_later", receiver="desk", transition=Transition.FIRING, payload=b"{}"),
            ("fingerprint", clock()),
            clock(),
        )
        receiver.wait_for(21)
    assert len(set(receiver.webhook_ids)) == 21


def test_several_deliverers_share_an_outbox_and_send_each_notification_once(
    receiver: WebhookReceiver, clock: Clock
) -> None:
    outbox = notified(clock, alerts=40)
    with running(*(deliverer(outbox, clock, desk(receiver), policy=QUICK) for _ in range(3))):
        receiver.wait_for(40)
        wait_until(lambda: outbox.next_due() is None)
    assert sorted(receiver.webhook_ids) == sorted({one for one, _ in outbox.pending})
    assert outcomes(outbox) == [(Outcome.DELIVERED, 204)] * 40


def test_attempts_run_side_by_side_but_never_more_than_allowed(receiver: WebhookReceiver, clock: Clock) -> None:
    receiver.always = Answer(delay=1.0)
    outbox = notified(clock, alerts=8)
    with running(deliverer(outbox, clock, desk(receiver, timeout=9), policy=QUICK)):
        first = receiver.wait_for(4)[0].at
        wait_until(lambda: len(receiver.requests) == 8)
        wait_until(lambda: outbox.next_due() is None)
    waited = [request.at - first for request in receiver.requests]
    assert max(waited[:4]) < timedelta(seconds=1), "four at a time"
    assert min(waited[4:]) >= timedelta(seconds=1), "and no more"


def test_a_receiver_hears_first_that_an_alert_fires_even_when_it_refuses_that_at_first(
    receiver: WebhookReceiver, clock: Clock
) -> None:
    receiver.answer(Answer(status=500, delay=0.2))
    store = FakeAlertStore(clock=clock)
    changes = [make_change(make_alert(), transition, receivers=("desk",)) for transition in Transition]
    store.save(expected=None, evaluated_through=1, changes=changes)
    schedule = Schedule(delays=(timedelta(milliseconds=300),))
    with running(deliverer(store.outbox, clock, desk(receiver), policy=replace(QUICK, schedule=schedule))):
        receiver.wait_for(3)
        wait_until(lambda: store.outbox.next_due() is None)
    firing, resolved = (webhook_id(make_alert(), transition) for transition in Transition)
    assert receiver.webhook_ids == [firing, firing, resolved]


def test_a_receiver_that_is_slow_does_not_hold_up_another(receiver: WebhookReceiver, clock: Clock) -> None:
    receiver.always = Answer(delay=9)
    outbox = notified(clock, alerts=2, receivers=("desk", "pager"))
    with WebhookReceiver() as pager:
        receivers = [desk(receiver, timeout=3), desk(pager, name="pager")]
        began = time.monotonic()
        with running(deliverer(outbox, clock, *receivers, policy=QUICK)):
            pager.wait_for(2)
            wait_until(lambda: len(outbox.deliveries) == 2)
            assert time.monotonic() - began < 3


def test_attempts_under_way_are_ended_and_settled_when_it_is_told_to_stop(
    receiver: WebhookReceiver, clock: Clock, outbox: FakeOutbox
) -> None:
    receiver.always = Answer(delay=0.3)
    with running(deliverer(outbox, clock, desk(receiver), policy=QUICK)):
        receiver.wait_for(1)
    assert outcomes(outbox) == [(Outcome.DELIVERED, 204)]


def test_it_waits_for_an_outbox_that_is_down(
    receiver: WebhookReceiver, clock: Clock, outbox: FakeOutbox, caplog: pytest.LogCaptureFixture
) -> None:
    claim, failures = outbox.claim, 2

    def unsteady(*, now: datetime, lease: timedelta, limit: int) -> object:
        nonlocal failures
        if failures:
            failures -= 1
            raise TemporaryError("no connection")
        return claim(now=now, lease=lease, limit=limit)

    outbox.claim = unsteady  # type: ignore[method-assign, assignment]
    with running(deliverer(outbox, clock, desk(receiver), policy=QUICK)):
        receiver.wait_for(1)
    assert caplog.text.count("no connection") == 2


def test_what_is_due_again_soon_is_sent_again_without_being_asked(
    receiver: WebhookReceiver, clock: Clock, outbox: FakeOutbox
) -> None:
    receiver.answer(Answer(status=500), Answer(drop=True))
    schedule = Schedule(delays=(timedelta(milliseconds=100),) * 3)
    with running(deliverer(outbox, clock, desk(receiver), policy=replace(QUICK, schedule=schedule))):
        receiver.wait_for(3)
        wait_until(lambda: outbox.next_due() is None)
    assert outcomes(outbox) == [(Outcome.RETRY, 500), (Outcome.RETRY, None), (Outcome.DELIVERED, 204)]
    assert set(receiver.webhook_ids) == {FIRING}
